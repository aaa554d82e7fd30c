"""Wrong versions of anything that can be verified, under the checks that fit it."""

from collections.abc import Iterator
from typing import Any

from vae_fn.types import Tree
from vae_fn.verify.batteries.steps import finite_steps, laid_out
from vae_fn.verify.estimators.battery import fates_of as fates_of_estimator
from vae_fn.verify.mutations.distributions import fates_of_distribution
from vae_fn.verify.mutations.fates import Fate, Mutated, collect, fates
from vae_fn.verify.mutations.functions import fates_of_function, impure, same_as
from vae_fn.verify.mutations.optimizers import fates_of_optimizer
from vae_fn.verify.properties.no_recompile import no_recompile
from vae_fn.verify.properties.pure import pure
from vae_fn.verify.seeds import name_of
from vae_fn.verify.subjects import Example, Subject, kind_of


def mutate(value: Any, example: Example | tuple[Tree, ...] = (), *, name: str | None = None) -> Mutated:
    """Run the checks that fit an object on wrong versions of it, made of the object itself.

    Args:
        value: an estimator, a distribution, an optimizer, an `Algorithm` or a function.
        example: what goes with it, as in `Subject`.
        name: of what is checked; by default the estimator's own, or where it is defined.

    Raises:
        TypeError: it is of no kind that has a battery.
        ValueError: the original does not pass, so that nothing can be said of its mutants.
    """
    kind = kind_of(value)
    if kind is None:
        raise TypeError(f"give an estimator, a distribution, an optimizer, an Algorithm or a function, not {value!r}")
    label = name or getattr(value, "name", None) or name_of(value, None)
    return collect(fates_of(Subject(kind, label, value, example if isinstance(example, Example) else Example(example))))


def fates_of(subject: Subject) -> Iterator[tuple[str, Fate]]:
    """What `mutate` finds, as it finds it."""
    value, example, name = subject.value, subject.example, subject.name
    given = example.args[0] if example.args else None
    if subject.kind == "estimator":
        yield from fates_of_estimator(value)
    elif subject.kind == "distribution":
        yield from fates_of_distribution(value, given, name)
    elif subject.kind == "optimizer":
        yield from fates_of_optimizer(value, given, name)
    elif subject.kind == "step":
        yield from _of_step(value, example.args, name)
    else:
        yield from fates_of_function(value, example, name)


def _of_step(value: Any, args: tuple[Tree, ...], name: str) -> Iterator[tuple[str, Fate]]:
    """Those of impure versions of the step, under the checks that generate no code."""
    step, state, inputs = laid_out(value, args, name)
    later, _ = step(state, *inputs)
    checks = [
        lambda fn: pure(fn, state, *inputs, name=name),
        lambda fn: finite_steps(fn, state, inputs, name),
        lambda fn: no_recompile(fn, [(state, *inputs), (later, *inputs)], name=name),
    ]
    args = (state, *inputs)
    yield from fates(name, step, impure(step, args), checks, same_as(step, args))
