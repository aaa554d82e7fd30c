"""Wrong versions of a pure function, made of the function itself."""

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from vae_fn import tree
from vae_fn.gradients.wires import vjp
from vae_fn.types import Tree
from vae_fn.verify.batteries.functions import other_values
from vae_fn.verify.coordinates import as_tensors
from vae_fn.verify.mutations.effects import effects
from vae_fn.verify.mutations.fates import Fate, fates
from vae_fn.verify.properties.additive import additive
from vae_fn.verify.properties.arguments import arguments, dims_of, is_floating
from vae_fn.verify.properties.finite import finite
from vae_fn.verify.properties.generators import watched_generators
from vae_fn.verify.properties.gradients import gradients
from vae_fn.verify.properties.no_recompile import no_recompile
from vae_fn.verify.properties.parity import parity
from vae_fn.verify.properties.permutation import permutation
from vae_fn.verify.properties.pure import pure
from vae_fn.verify.subjects import Example
from vae_fn.verify.verdict import Verdict

Function = Callable[..., Tree]
Check = Callable[[Function], Verdict]


def fates_of_function(fn: Function, example: Example, name: str) -> Iterator[tuple[str, Fate]]:
    """The fates of wrong versions of a function under its battery, compiled without code generation.

    Raises:
        ValueError: the original does not pass.
    """
    yield from fates(name, fn, mutations(fn, example), checks(fn, example, name), same_as(fn, example.args))


def checks(fn: Function, example: Example, name: str) -> list[Check]:
    """The checks of the battery of `fn`, as checks of a wrong version."""
    args, batched, reduction = example.args, example.batched, example.reduction
    given = arguments(fn, args)
    found: list[Check] = [lambda fn: pure(fn, *args, name=name)]
    if given.varied:
        found.append(lambda fn: gradients(fn, *args, name=name))
    if batched is not None:
        out_dims = 0 if reduction == "none" else None
        found.append(lambda fn: permutation(fn, *args, batched=batched, out_dims=out_dims, name=name))
        found.append(lambda fn: additive(fn, *args, batched=batched, reduction=reduction, name=name))
    if given.varied and example.domains is not None:
        found.append(lambda fn: finite(fn, *args, domains=example.domains, name=name))
    calls = [args, other_values(given, name).tuple]
    found.append(lambda fn: no_recompile(fn, calls, name=name))
    found.append(lambda fn: parity(fn, *args, backend="aot_eager", name=name))
    return found


def same_as(fn: Function, args: tuple[Tree, ...]) -> Callable[[Function], bool]:
    """Whether a mutant has the result, the gradient and the effects of `fn`, also in float64 and on a second call."""
    expected = _numbers(fn, args)

    def same(mutant: Function) -> bool:
        with watched_generators():
            found = _numbers(mutant, args)
        return len(found) == len(expected) and all(map(_equal, found, expected))

    return same


def mutations(fn: Function, example: Example) -> Iterator[tuple[str, Function]]:
    """Wrong versions of a function: impure ones, ones with a wrong gradient, ones whose examples are not alike."""
    for what, mutant in itertools.chain(impure(fn, example.args), _smooth(fn, example.args), _batched(fn, example)):
        yield what, functools.wraps(fn)(mutant)  # its arguments keep their names


def impure(fn: Function, args: tuple[Tree, ...]) -> Iterator[tuple[str, Function]]:
    """Versions that change or share what is not theirs."""
    yield "global generator: drawn from", lambda *args: _scaled(fn(*args), 1 + 1e-3 * torch.rand(()))
    yield "state: counts its calls", _counting(fn)
    if _floating(args):
        yield "argument: changed in place", lambda *args: _then(fn(*args), _floating(args)[0].mul_(0.99))
    if _view_of(fn(*args), args) is not None:
        yield "result: a view of an argument", lambda *args: _view_of(fn(*args), args)


def _smooth(fn: Function, args: tuple[Tree, ...]) -> Iterator[tuple[str, Function]]:
    if _floating(args):
        yield "result: in float32", _in_float32(fn)
        yield "gradient: lost at zero", lambda *args: _plus(fn(*args), 0 * _floating(args)[0].square().sum().sqrt())
    for index, (name, part) in enumerate(arguments(fn, args).parts.items()):
        if _floating(part):
            yield f"gradient: {name} cut", _with_part(fn, index, _cut)


def _batched(fn: Function, example: Example) -> Iterator[tuple[str, Function]]:
    if example.batched is not None:
        dims = dims_of(example.batched, example.args)
        yield "batch: the first example 1 % more", _with_batch(fn, dims, _first_more)
        yield "batch: centred", _with_batch(fn, dims, lambda leaf, dim: leaf - leaf.mean(dim, keepdim=True))


def _numbers(fn: Function, args: tuple[Tree, ...]) -> list[Tensor]:
    given = arguments(fn, args)
    seen = [number for _ in range(2) for number in effects(fn, args)[1]]
    if not given.varied:
        return seen
    wide = given.to(torch.float64)

    def floating(values: dict[str, Tensor]) -> list[Tensor]:
        return [leaf for leaf in tree.leaves(as_tensors(fn(*wide.at(values).tuple))) if is_floating(leaf)]

    result, pull = vjp(floating, tree.clone(wide.varied))
    return [*seen, *result, *tree.leaves(pull([torch.ones_like(leaf) for leaf in result]))]


def _equal(one: Tensor, other: Tensor) -> bool:
    return (
        one.dtype == other.dtype
        and one.shape == other.shape
        and torch.equal(one.nan_to_num(0.5), other.nan_to_num(0.5))
    )


def _floating(tree_of: Tree) -> list[Tensor]:
    return [leaf for leaf in tree.leaves(tree_of) if is_floating(leaf) and leaf.numel()]


def _scaled(result: Tree, factor: float | Tensor) -> Tree:
    return tree.map(lambda leaf: (leaf * factor).to(leaf.dtype), as_tensors(result))


def _plus(result: Tree, number: Tensor) -> Tree:
    return tree.map(lambda leaf: (leaf + number).to(leaf.dtype) if is_floating(leaf) else leaf, as_tensors(result))


def _then(result: Tree, effect: Any) -> Tree:
    del effect
    return result


def _counting(fn: Function) -> Function:
    calls = itertools.count()
    return lambda *args: _scaled(fn(*args), 1 + 1e-3 * next(calls))


def _in_float32(fn: Function) -> Function:
    def narrow(*args: Tree) -> Tree:
        wide = [leaf.dtype for leaf in tree.leaves(as_tensors(fn(*args)))]
        found = as_tensors(fn(*tree.map(lambda leaf: leaf.float() if is_floating(leaf) else leaf, args)))
        named = zip(tree.flat_names(found).items(), wide, strict=True)
        return tree.from_names({path: leaf.to(dtype) for (path, leaf), dtype in named}, found)

    return narrow


def _view_of(result: Tree, args: tuple[Tree, ...]) -> Tree | None:
    """The result with one leaf replaced by a view of an argument that has as many numbers of its kind; None without."""
    named = tree.flat_names(as_tensors(result))
    for path, leaf in named.items():
        for own in tree.leaves(args):
            if (
                isinstance(own, Tensor)
                and own.dtype == leaf.dtype
                and own.is_contiguous()
                and own.numel() >= leaf.numel() > 0
            ):
                view = own.view(-1)[: leaf.numel()].view(leaf.shape)
                return tree.from_names({**named, path: view}, as_tensors(result))
    return None


def _with_part(fn: Function, index: int, change: Callable[[Tensor], Tensor]) -> Function:
    def changed(*args: Tree) -> Tree:
        part = tree.map(lambda leaf: change(leaf) if is_floating(leaf) else leaf, args[index])
        return fn(*args[:index], part, *args[index + 1 :])

    return changed


def _cut(leaf: Tensor) -> Tensor:
    """The fault itself: the value without its derivative."""
    return leaf.detach()


def _with_batch(fn: Function, dims: list[int | None], change: Callable[[Tensor, int], Tensor]) -> Function:
    def changed(*args: Tree) -> Tree:
        parts = [
            part
            if dim is None
            else tree.map(lambda leaf, dim=dim: change(leaf, dim) if is_floating(leaf) else leaf, part)
            for part, dim in zip(args, dims, strict=True)
        ]
        return fn(*parts)

    return changed


def _first_more(leaf: Tensor, dim: int) -> Tensor:
    first = torch.arange(leaf.shape[dim], device=leaf.device) == 0
    return torch.where(first.reshape(-1, *[1] * (leaf.ndim - 1 - dim % leaf.ndim)), 1.01 * leaf, leaf)
