"""Wrong versions of an optimizer, made of the optimizer itself."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from vae_fn import random, tree
from vae_fn.training import Optimizer
from vae_fn.types import Tree
from vae_fn.verify.mutations.effects import effects
from vae_fn.verify.mutations.fates import Fate, fates
from vae_fn.verify.properties.optimizer import optimizer
from vae_fn.verify.properties.trajectories import Factory, gradient_sequence, parameters
from vae_fn.verify.seeds import key_of

UPDATES = 3
"""In a row, for a comparison of numbers."""

Update = Callable[[Tree, Any, Tree], tuple[Tree, Any]]


def fates_of_optimizer(opt: Optimizer, reference: Factory | None, name: str) -> Iterator[tuple[str, Fate]]:
    """The fates of wrong versions of an optimizer under its battery.

    Raises:
        ValueError: the original does not pass.
    """
    expected = _numbers(opt, name)

    def same(mutant: Optimizer) -> bool:
        return all(map(torch.equal, _numbers(mutant, name), expected))

    yield from fates(name, opt, mutations(opt), [lambda opt: optimizer(opt, reference, name=name)], same)


def mutations(opt: Optimizer) -> Iterator[tuple[str, Optimizer]]:
    """Wrong versions of an optimizer: of its direction, its size, its state and its manners."""
    update = opt.update
    yield "gradient: negated", opt._replace(update=lambda g, s, p: update(tree.scale(g, -1.0), s, p))
    yield "gradient: 1 % more", opt._replace(update=lambda g, s, p: update(tree.scale(g, 1.01), s, p))
    yield "learning rate: 1 % more", opt._replace(update=_moving(update, lambda step: 1.01 * step))
    yield "movement: none", opt._replace(update=lambda g, s, p: (tree.clone(p), update(g, s, p)[1]))
    yield "state: not advanced", opt._replace(update=lambda g, s, p: (update(g, s, p)[0], tree.clone(s)))
    yield "state: the first gradient counts twice", opt._replace(update=_twice_at_first(opt))
    yield "state: step 1 at the start", opt._replace(init=lambda p: opt.update(tree.zeros_like(p), opt.init(p), p)[1])
    yield "parameters: changed in place", opt._replace(update=_in_place(update))
    yield "parameters: in float32", opt._replace(update=_narrow(update))
    yield "parameters: one leaf left out", opt._replace(update=_without_first(update))


def _moving(update: Update, change: Callable[[Tensor], Tensor]) -> Update:
    def moved(grads: Tree, state: Any, params: Tree) -> tuple[Tree, Any]:
        new, state = update(grads, state, params)
        return tree.map(lambda old, now: old + change(now - old), params, new), state

    return moved


def _twice_at_first(opt: Optimizer) -> Update:
    def update(grads: Tree, state: Any, params: Tree) -> tuple[Tree, Any]:
        leaves = zip(tree.leaves(state), tree.leaves(opt.init(params)), strict=True)
        fresh = torch.stack([torch.ones((), dtype=torch.bool), *((now == start).all() for now, start in leaves)]).all()
        once = opt.update(grads, state, params)
        twice = opt.update(grads, once[1], once[0])
        return tree.map(lambda one, two: torch.where(fresh, two, one), once, twice)

    return update


def _in_place(update: Update) -> Update:
    def overwritten(grads: Tree, state: Any, params: Tree) -> tuple[Tree, Any]:
        new, state = update(grads, state, params)
        return tree.map(lambda old, now: old.copy_(now), params, new), state

    return overwritten


def _narrow(update: Update) -> Update:
    def narrowed(grads: Tree, state: Any, params: Tree) -> tuple[Tree, Any]:
        new, state = update(grads, state, params)
        return tree.map(lambda leaf, old: leaf.float().to(old.dtype), new, params), state

    return narrowed


def _without_first(update: Update) -> Update:
    def shortened(grads: Tree, state: Any, params: Tree) -> tuple[Tree, Any]:
        new, state = update(grads, state, params)
        path, old = next(iter(tree.flat_names(params).items()))
        return tree.from_names({**tree.flat_names(new), path: old.clone()}, new), state

    return shortened


def _numbers(opt: Optimizer, name: str) -> list[Tensor]:
    """Parameters, state and effects of some updates."""
    key = key_of(name, (), "equivalent")
    params = parameters(random.fold_in(key, 0))
    state, found = opt.init(tree.clone(params)), []
    for grads in gradient_sequence(params, random.fold_in(key, 1), UPDATES):
        (params, state), seen = effects(opt.update, (grads, state, params))
        found += seen
    return found
