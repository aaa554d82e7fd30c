"""An optimizer as a pair of pure functions, against one of `torch.optim` and against what all of them promise."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch

from vae_fn import random, tree
from vae_fn.errors import lacks_memory
from vae_fn.training import Optimizer
from vae_fn.types import Tree
from vae_fn.verify.places import raised
from vae_fn.verify.properties.pure import pure
from vae_fn.verify.properties.results import differing_shapes, judged, refused, stands
from vae_fn.verify.properties.trajectories import (
    Factory,
    gradient_sequence,
    movements,
    parameters,
    path,
    reference_path,
)
from vae_fn.verify.report import Report, gather
from vae_fn.verify.seeds import key_of, name_of
from vae_fn.verify.verdict import Verdict

DTYPES = (torch.float32, torch.float64, torch.bfloat16)
"""The dtypes of parameters that every optimizer keeps."""

STEPS = 50
"""Updates that are compared, unless told otherwise."""

LEFT = (
    "learning rates that are tensors or schedules, and whether they compile without compiling again: no_recompile",
    "the accuracy of float32: parity",
)
"""What the checks do not look at."""

WITHOUT = "the rule itself: give a reference, a function of parameters that makes the torch.optim optimizer to follow"


def optimizer(
    opt: Optimizer, reference: Factory | None = None, *, steps: int = STEPS, name: str | None = None
) -> Report:
    """Check an optimizer on parameters of several shapes and on gradients of sizes from 0 to 1000.

    Args:
        opt: `init(params) -> state` and `update(grads, state, params) -> (params, state)`, with its hyper-parameters.
        reference: makes what it must move like, for a list of float64 parameters: a `torch.optim.Optimizer` with the
            same hyper-parameters, or anything with its `step()`.
        steps: how many updates are compared.
        name: of what is checked; by default where `update` is defined.

    Returns:
        The verdicts `follows` (the reference, in float64, movement for movement), `pure`, `leaf by leaf` (a tree moves
        as its flattened vector; rules with norms of each leaf do not), `dtypes` (parameters and state keep theirs, and
        structure and shapes), `descends` (the first movement goes down the gradient) and `advances` (a state changes).
    """
    label = name_of(opt.update, name)
    return gather(label, of_optimizer(opt, reference, steps=steps, name=label))


def of_optimizer(
    opt: Optimizer, reference: Factory | None = None, *, steps: int = STEPS, name: str
) -> Iterator[Verdict | str]:
    """What `optimizer` finds, as it finds it."""
    key = key_of(name, (), "optimizer")
    params = parameters(random.fold_in(key, 0))
    grads = gradient_sequence(params, random.fold_in(key, 1), steps)
    if reference is not None:
        yield _follows(opt, reference, params, grads, name)
    yield _pure(opt, params, grads, name)
    yield _leaf_by_leaf(opt, params, grads, name)
    yield _dtypes(opt, name)
    yield _descends(opt, params, grads, name)
    yield _advances(opt, params, grads, name)
    if reference is None:
        yield WITHOUT
    yield from LEFT


def _follows(opt: Optimizer, reference: Factory, params: Tree, grads: Sequence[Tree], name: str) -> Verdict:
    start = time.perf_counter()
    expected = reference_path(reference, params, grads)
    return judged("follows", name, start, movements(path(opt, params, grads), expected, params))


def _pure(opt: Optimizer, params: Tree, grads: Sequence[Tree], name: str) -> Verdict:
    """`init` and the first two updates; the gravest."""
    state = opt.init(params)
    verdicts = [pure(opt.init, tree.clone(params)), pure(opt.update, *tree.clone((grads[0], state, params)))]
    later = opt.update(*tree.clone((grads[0], state, params)))
    verdicts.append(pure(opt.update, *tree.clone((grads[1], later[1], later[0]))))
    found = next((verdict for verdict in verdicts if not verdict.passed), verdicts[-1])
    return replace(found, name=name, seconds=sum(verdict.seconds for verdict in verdicts))


def _leaf_by_leaf(opt: Optimizer, params: Tree, grads: Sequence[Tree], name: str) -> Verdict:
    start = time.perf_counter()
    by_leaf = [_flat(moved) for moved in path(opt, params, grads)]
    together = path(opt, _flat(params), [_flat(grad) for grad in grads])
    return judged("leaf by leaf", name, start, movements(by_leaf, together, _flat(params)))


def _flat(params: Tree) -> Tree:
    return torch.cat([leaf.reshape(-1) for leaf in tree.leaves(params)])


def _dtypes(opt: Optimizer, name: str) -> Verdict:
    """Two updates of parameters in three dtypes, with and without dimensions: scalars promote where tensors do not."""
    start = time.perf_counter()
    params = {f"{dtype} {shape}": torch.ones(shape, dtype=dtype) for dtype in DTYPES for shape in ((), (2,))}
    moved, state = params, opt.init(params)
    try:
        for _ in range(2):
            before, (moved, state) = state, opt.update(tree.map(torch.ones_like, params), state, moved)
            for what, after, was in (("parameters", moved, params), ("state", state, before)):
                if tree.leaves(was) and (said := differing_shapes(after, was)):
                    return refused("dtypes", name, start, f"{what} after an update: {said}")
    except (RuntimeError, TypeError) as error:
        if lacks_memory(error):
            raise
        return refused("dtypes", name, start, f"parameters of several dtypes: {raised(error)}")
    return stands("dtypes", name, start, "parameters and state keep structure, shapes and dtypes")


def _descends(opt: Optimizer, params: Tree, grads: Sequence[Tree], name: str) -> Verdict:
    """From zero, where no decay acts: the first movement along one gradient, which a warm-up may put off."""
    start = time.perf_counter()
    zeros, grad = tree.zeros_like(params), grads[0]
    for step, moved in enumerate(path(opt, zeros, [grad] * len(grads)), start=1):
        if any(bool((leaf != 0).any()) for leaf in tree.leaves(moved)):
            along = float(torch.dot(_flat(moved), _flat(grad)))
            if along < 0:
                return stands("descends", name, start, "the first movement goes down the gradient")
            said = (
                f"update {step} moves up the gradient, by {along:.3g} along it: the gradient is a loss's, subtract it"
            )
            return refused("descends", name, start, said)
    return refused("descends", name, start, f"{len(grads)} updates move nothing")


def _advances(opt: Optimizer, params: Tree, grads: Sequence[Tree], name: str) -> Verdict:
    start = time.perf_counter()
    state = opt.init(tree.clone(params))
    if not tree.leaves(state):
        return stands("advances", name, start, "it keeps no state")
    _, after = opt.update(tree.clone(grads[1]), tree.clone(state), tree.clone(params))
    if all(map(torch.equal, tree.leaves(state), tree.leaves(after))):
        return refused("advances", name, start, "its state after an update is the one before it: return the new one")
    return stands("advances", name, start, "an update changes the state")
