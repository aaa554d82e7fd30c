"""What `vae-fn verify` is given: an object of some kind, and what goes with it, each mistake in one line."""

import inspect
from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.utils import _pytree as pytree

from vae_fn import tree
from vae_fn.cli.locate import Located, locate, reported, takes
from vae_fn.errors import UserError
from vae_fn.gradients import Estimator
from vae_fn.training import Algorithm
from vae_fn.verify.subjects import Example, Kind, Subject, kind_of
from vae_fn.words import counted

EXPECTED: dict[Kind, str] = {
    "estimator": "a vae_fn.gradients.Estimator, or a function without arguments that returns one",
    "distribution": "a NamedTuple of tensors with the methods of vae_fn.distributions.Family, or a function "
    "without arguments that returns one",
    "optimizer": "a vae_fn.training.Optimizer, or a function without arguments that returns one",
    "step": "a vae_fn.training.Algorithm, a function without arguments that returns one, or a function (state, "
    "*inputs) -> (state, info)",
    "function": "a function of tensors",
}
"""What an object of each kind is."""

ARGS: dict[Kind, str] = {
    "function": "a tuple of example arguments",
    "step": "(batch,) for an Algorithm, else the tuple (state, *inputs)",
    "optimizer": "(reference,), a function that makes a torch.optim optimizer of a list of parameters",
    "distribution": "(p,), another distribution over the same events",
}
"""What the function of `--args` returns."""

SIGNATURES: dict[Kind, dict[str, tuple[str, ...]]] = {
    "estimator": {
        "init": ("problem", "params"),
        "noise_like": ("problem", "params", "samples"),
        "estimate": ("problem", "params", "noise", "state"),
    },
    "optimizer": {"init": ("params",), "update": ("grads", "state", "params")},
    "distribution": {"sample": ("noise",), "log_prob": ("value",), "log_prob_from_noise": ("noise", "value")},
}
"""Methods and the arguments that each takes."""


def subject_of(located: Located, kind: Kind | None, args: str | None) -> Subject:
    """What is to be verified: the object, or what it returns as a factory, and what goes with it.

    Args:
        located: what MODULE:OBJECT refers to.
        kind: what it is said to be, if it is.
        args: the MODULE:FUNCTION that returns what goes with it, if there is one.

    Raises:
        UserError: it is nothing that can be verified, or not of that kind, or `args` is missing or does not fit.
    """
    value, found = located.value, _reported_kind(located.value, located)
    if found in (None, "function") and callable(value) and takes(value):
        value = _called(located)
        found = _reported_kind(value, located)
    if isinstance(value, type):
        found = None
    if found == "function" and kind == "step":
        found = "step"
    if found is None or (kind is not None and kind != found):
        wanted = EXPECTED[kind] if kind else "an estimator, a distribution, an optimizer, a step or a function"
        raise UserError(f"{located.target} {_said(located.value, value)}: give {wanted}")
    example = _example(found, value, located.target, args)
    name = value.name if isinstance(value, Estimator) else located.target
    subject = Subject(found, name, value, example, located.file)
    _check_signatures(subject, located.target)
    _check_example(subject, located.target)
    return subject


def _example(kind: Kind, value: Any, target: str, args: str | None) -> Example:
    if args is None:
        if kind in ("function", "step"):
            needed = f"--args MODULE:FUNCTION must name a function that returns {_wanted(kind, value)}"
            raise UserError(f"{target} is a {kind}: {needed}")
        return Example(())
    if kind == "estimator":
        raise UserError(f"{target} is an estimator, which takes no --args: the kit has problems for it")
    source = locate(args, "--args")
    given = _called(source)
    example = given if isinstance(given, Example) else Example(given)
    if type(example.args) is not tuple:
        raise UserError(f"{args} must return {_wanted(kind, value)}, not {_in_words(example.args)}")
    if not _fit(example.args, kind, value, source):
        raise UserError(f"--args of {target} must return {_wanted(kind, value)}, not {_in_words(example.args)}")
    return example


def _fit(args: tuple, kind: Kind, value: Any, source: Located) -> bool:
    """Whether arguments go with an object of a kind, as far as types tell."""
    if kind == "optimizer":
        return not args or (len(args) == 1 and callable(args[0]))
    if kind == "distribution":
        return not args or (len(args) == 1 and _reported_kind(args[0], source) == "distribution")
    if isinstance(value, Algorithm):
        return len(args) == 1
    return any(isinstance(leaf, Tensor) for leaf in pytree.tree_leaves(args))


def _check_signatures(subject: Subject, target: str) -> None:
    for method, parameters in SIGNATURES.get(subject.kind, {}).items():
        if not takes(getattr(subject.value, method), *parameters):
            raise UserError(f"{method} of {target} must take ({', '.join(parameters)})")


def _check_example(subject: Subject, target: str) -> None:
    kind, value, args, batched = subject.kind, subject.value, subject.example.args, subject.example.batched
    if callable(value) and not takes(value, *args):
        raise UserError(f"{target} {_said(value, value)}, and --args returns {_in_words(args)}")
    if isinstance(batched, tuple) and len(batched) != len(args):
        arguments = counted(len(args), "argument")
        raise UserError(f"batched of --args is a tuple of {len(batched)} for {arguments}: give an entry for each")
    if kind == "distribution" and not tree.leaves(value):
        raise UserError(f"{target} has no tensors: give {EXPECTED['distribution']}")


def _wanted(kind: Kind, value: Any) -> str:
    """What `--args` returns, with the names of a function's arguments."""
    names = _parameters(value) if kind == "function" else []
    return ARGS[kind] + (f" ({', '.join(names)}{',' * (len(names) == 1)})" if names else "")


def _called(located: Located) -> Any:
    if not (callable(located.value) and takes(located.value)):
        raise UserError(f"{located.target} {_said(located.value, located.value)}: give a function without arguments")
    with reported(located.target, located.file):
        return located.value()


def _reported_kind(value: Any, located: Located) -> Kind | None:
    """Its kind; on Python 3.11 properties run where they are looked for, and may raise."""
    with reported(located.target, located.file):
        return kind_of(value)


def _said(named: Any, value: Any) -> str:
    """What a name refers to, or returns where that is something else, in words."""
    return f"is {_in_words(value)}" if named is value else f"returns {_in_words(value)}"


def _in_words(value: Any) -> str:
    if type(value) is tuple:
        return f"a tuple of {len(value)}: ({', '.join(type(entry).__name__ for entry in value)})"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if inspect.isroutine(value):
        return f"a function of ({', '.join(_parameters(value))})"
    kind = type(value)
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return f"an object of type {module}{kind.__qualname__}"


def _parameters(value: Callable) -> list[str]:
    try:
        return list(inspect.signature(value).parameters)
    except ValueError:
        return ["..."]
