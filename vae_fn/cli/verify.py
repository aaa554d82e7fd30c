"""`vae-fn verify MODULE:OBJECT`: check one's own stochastic code, and get a certificate."""

import logging
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from tyro.conf import Positional, arg

from vae_fn.cli.output import check_json, write_json
from vae_fn.cli.parse import parse
from vae_fn.errors import shown

if TYPE_CHECKING:
    from vae_fn.verify.mutations.fates import Mutated
    from vae_fn.verify.subjects import Subject

SUMMARY = "Verify an estimator, distribution, optimizer, step or function, and print a certificate."

STATUSES = {"passed": 0, "biased": 1, "rejected": 1, "inconclusive": 3, "underpowered": 3}
"""Exit statuses; 2 is a mistake of the user, as everywhere."""

Item = TypeVar("Item")


@dataclass(frozen=True)
class VerifyOptions:
    """Verify an estimator, a distribution, an optimizer, a training step or a function, and print a certificate.

    MODULE is a dotted module or the path of a .py file; it is imported, so it runs. OBJECT is the object itself or a
    function without arguments that returns it. Exit status: 0 if every check passed, 1 if one rejected, 3 if none
    rejected but one could not decide, 2 for a mistake in the command or in what it names.
    """

    subject: Annotated[str, Positional, arg(metavar="MODULE:OBJECT")]
    """What to verify, such as my_file.py:my_estimator or vae_fn.gradients.estimators:pathwise."""
    kind: Annotated[
        Literal["estimator", "distribution", "optimizer", "step", "function"] | None, arg(name="as", metavar="KIND")
    ] = None
    """What it is: estimator, distribution, optimizer, step or function.
    By default its type tells, and what is of no other type is a function."""
    args: Annotated[str | None, arg(metavar="MODULE:FUNCTION")] = None
    """A function without arguments that returns what is needed beside the object, as a tuple.
    Of a function: example arguments, or a vae_fn.verify.Example of them.
    Of a step: a batch, or its state and further arguments.
    Of an optimizer, if you like: the torch.optim it must equal, as a function of parameters.
    Of a distribution, if you like: another one for the KL divergence."""
    mutate: bool = False
    """Also make wrong versions of the object, and list which of them the checks notice."""
    json: Path | None = None
    """File to write the certificate to, as JSON."""
    quiet: bool = False
    """Print nothing but errors; the exit status tells the outcome."""

    def __post_init__(self) -> None:
        check_json(self.json, None)


def main(args: Sequence[str]) -> int:
    """Verify, print the certificate, write it if asked, and return the exit status."""
    options = parse(VerifyOptions, args, prog="vae-fn verify")
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # it warns of each machine without a GPU
    from vae_fn.cli.given import subject_of
    from vae_fn.cli.locate import locate, reported
    from vae_fn.verify.batteries import findings
    from vae_fn.verify.certificate import Certificate, provenance
    from vae_fn.verify.report import gather

    located = locate(options.subject)
    subject = subject_of(located, options.kind, options.args)
    with reported(f"{options.subject}, while it was checked,", located.file):
        report = gather(subject.name, _shown(findings(subject), options.quiet))
        mutated = _mutated(subject, options.quiet) if options.mutate and report.verdicts and report.passed else None
    file = None if located.file is None else shown(located.file)
    where = provenance(options.subject, subject.kind, located.file, file)
    certificate = Certificate(report, mutated, where, mutants_asked=options.mutate)
    if options.json is not None:
        write_json(options.json, certificate.to_dict())
    if not options.quiet:
        print(certificate)
    return STATUSES[certificate.status]


def _mutated(subject: "Subject", quiet: bool) -> "Mutated":
    from vae_fn.verify.mutations.by_kind import fates_of
    from vae_fn.verify.mutations.fates import collect

    return collect(_shown(fates_of(subject), quiet))


def _shown(items: Iterable[Item], quiet: bool) -> Iterator[Item]:
    """The items as they come, each named on stderr."""
    from tqdm import tqdm

    form = "{n_fmt} done in {elapsed}{postfix}"
    with tqdm(bar_format=form, dynamic_ncols=True, disable=quiet, file=sys.stderr) as bar:
        for item in items:
            if not isinstance(item, str):
                bar.set_postfix_str(_name(item), refresh=False)
                bar.update()
            yield item


def _name(item: Any) -> str:
    """A verdict, or a mutant and its fate, in a few words."""
    return f"mutant {': '.join(item)}" if isinstance(item, tuple) else f"{item.claim} of {item.name}: {item.status}"
