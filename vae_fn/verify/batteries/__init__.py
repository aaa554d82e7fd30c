"""The checks that fit each kind of object, found one after the other."""

from collections.abc import Iterator

from vae_fn.errors import UserError, lacks_memory
from vae_fn.verify.batteries.functions import of_function
from vae_fn.verify.batteries.steps import of_step
from vae_fn.verify.distributions.battery import of_distribution
from vae_fn.verify.estimators.battery import of_estimator
from vae_fn.verify.places import raised, users_line
from vae_fn.verify.properties.optimizer import of_optimizer
from vae_fn.verify.subjects import Subject
from vae_fn.verify.verdict import Verdict

AT_OTHER_PARAMETERS = "parameters other than these: vae_fn.verify.strategies.distributions draws others"
AFTER = "everything after that, as it raised"
WITHOUT_P = "the KL divergence from another distribution: none was given"


def findings(subject: Subject) -> Iterator[Verdict | str]:
    """What the battery that fits an object finds: verdicts as they come, and sentences about what is not covered.

    Where code of the user's raises, the last verdict is `runs`, rejected with its line. Want of memory is no fault of
    the code: it is raised, as are a user's mistakes and faults of this package.
    """
    try:
        yield from _of_its_kind(subject)
    except Exception as error:
        of_code = not isinstance(error, UserError) and not lacks_memory(error)
        if not of_code or users_line(error, own=subject.file) is None:
            raise
        said = f"it raised {raised(error, own=subject.file)}"
        yield Verdict("runs", subject.name, "deterministic", "rejected", said)
        yield AFTER


def _of_its_kind(subject: Subject) -> Iterator[Verdict | str]:
    value, example, name = subject.value, subject.example, subject.name
    if subject.kind == "estimator":
        yield from of_estimator(value, subject.file)
    elif subject.kind == "distribution":
        p = example.args[0] if example.args else None
        yield from of_distribution(value, p=p, name=name)
        yield from (AT_OTHER_PARAMETERS, *([WITHOUT_P] if p is None else []))
    elif subject.kind == "optimizer":
        yield from of_optimizer(value, *example.args, name=name)
    elif subject.kind == "step":
        yield from of_step(value, example.args, name)
    else:
        yield from of_function(value, example, name)
