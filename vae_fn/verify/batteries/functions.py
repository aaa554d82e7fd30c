"""The checks that fit a pure function and example arguments."""

from collections.abc import Callable, Iterator
from typing import Any, get_args

import torch

from vae_fn import random, tree
from vae_fn.types import Tree
from vae_fn.verify.coordinates import as_tensors
from vae_fn.verify.properties.additive import Reduction, additive
from vae_fn.verify.properties.arguments import Arguments, arguments, is_floating
from vae_fn.verify.properties.finite import finite
from vae_fn.verify.properties.gradients import gradients
from vae_fn.verify.properties.no_recompile import no_recompile
from vae_fn.verify.properties.parity import parity
from vae_fn.verify.properties.permutation import permutation
from vae_fn.verify.properties.pure import pure
from vae_fn.verify.report import Report, gather
from vae_fn.verify.seeds import name_of
from vae_fn.verify.subjects import Example
from vae_fn.verify.verdict import Verdict

NOT_COVERED = ("other shapes than those of the example arguments", "whether the values are what they should be")

SHRINKAGE = 0.1
"""By how much at most numbers differ between the calls that must not compile again."""


def function(fn: Callable[..., Tree], example: Example | tuple[Tree, ...], *, name: str | None = None) -> Report:
    """Check all that fits a pure function.

    `pure`, `parity` and `no_recompile`; `gradients` where there are floating-point arguments and results; `finite`
    where the example names domains; `permutation` and `additive` where it says which arguments are batches.

    Args:
        fn: a pure function of tensors and whatever else, to a tensor or a pytree.
        example: its arguments.
        name: of what is checked; by default where `fn` is defined.

    Raises:
        ValueError: the result has no numbers, or the example names another reduction.
    """
    label = name_of(fn, name)
    given = example if isinstance(example, Example) else Example(example)
    return gather(label, of_function(fn, given, label))


def of_function(fn: Callable[..., Tree], example: Example, name: str) -> Iterator[Verdict | str]:
    """What `function` finds, as it finds it."""
    if example.reduction not in get_args(Reduction):
        raise ValueError(f"reduction is one of {', '.join(get_args(Reduction))}, not {example.reduction!r}")
    args = example.args
    given = arguments(fn, args)
    yield pure(fn, *args, name=name)
    yield parity(fn, *args, name=name)
    yield no_recompile(fn, [args, other_values(given, name).tuple], name=name)
    if not given.varied:
        yield "gradients, finite: there are no floating-point arguments"
    elif not any(map(is_floating, tree.leaves(as_tensors(fn(*args))))):
        yield "gradients, finite: the result has no floating-point numbers"
    else:
        yield gradients(fn, *args, name=name)
        if example.domains is None:
            yield "finite at all magnitudes: the example names no domains (vae_fn.verify.Example)"
        else:
            yield finite(fn, *args, domains=example.domains, name=name)
    if example.batched is not None:
        yield permutation(
            fn, *args, batched=example.batched, out_dims=0 if example.reduction == "none" else None, name=name
        )
        yield additive(fn, *args, batched=example.batched, reduction=example.reduction, name=name)
    else:
        yield "permutation, additive: the example does not say which arguments are batches (vae_fn.verify.Example)"
    if any(isinstance(leaf, torch.Tensor) and leaf.is_complex() for leaf in given.leaves.values()):
        yield "complex arguments other than these, and derivatives in them"
    if given.varied and not any(bool(leaf.any()) for leaf in given.varied.values()):
        yield "values other than 0, at which much is the same: give example arguments that are not all 0"
    yield from NOT_COVERED


def other_values(given: Arguments, name: str) -> Arguments:
    """The arguments with other values: tensors and Python's floating-point numbers shrunk by up to a tenth."""
    key = given.key(name, "other values")

    def shrunk(index: int, leaf: Any) -> Any:
        factor = 1 - SHRINKAGE * random.uniform(random.fold_in(key, index), ())
        if isinstance(leaf, torch.Tensor) and leaf.is_floating_point():
            return leaf * factor.to(leaf)
        return leaf * float(factor) if isinstance(leaf, float) else leaf

    return given.at({path: shrunk(index, leaf) for index, (path, leaf) in enumerate(given.leaves.items())})
