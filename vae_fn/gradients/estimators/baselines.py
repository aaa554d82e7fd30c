"""What baselines are made of: running means, q's tensors by example, q apart from what it is made of."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from vae_fn import tree
from vae_fn.distributions import Distribution, batch_shape
from vae_fn.gradients.estimators.layering import as_layers
from vae_fn.gradients.problem import Problem
from vae_fn.gradients.wires import Pulled, Rule, pull
from vae_fn.types import Params, Shape, Tree


class Running(NamedTuple):
    """A decaying mean of what earlier steps saw: their weights and their weighted values, summed, shape () both."""

    weight: Float[Tensor, ""]
    total: Float[Tensor, ""]


def nothing_seen(params: Params) -> Running:
    """Before the first step, in the dtype and on the device of the parameters."""
    zero = tree.leaves(params)[0].new_zeros(())
    return Running(zero, zero.clone())


def mean_of(running: Running) -> Float[Tensor, ""]:
    """The mean of what was seen; 0 before that."""
    return ratio(running.total, running.weight)


def ratio(total: Float[Tensor, "*s"], weight: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
    """Total over weight, 0 where nothing has been weighed."""
    return total / torch.where(weight > 0, weight, 1)


def follow(running: Running, value: Float[Tensor, ""], decay: float) -> Running:
    """The next running mean; dividing by its weight corrects what the first steps lack."""
    return Running(decayed(running.weight, torch.ones_like(value), decay), decayed(running.total, value, decay))


def decayed(old: Float[Tensor, "*s"], new: Float[Tensor, "*s"], decay: float) -> Float[Tensor, "*s"]:
    """The decaying sum with a new value in it."""
    return decay * old + (1 - decay) * new


def check_decay(decay: float) -> None:
    """Refuse a decay that keeps everything or less than nothing.

    Raises:
        ValueError: it is not in [0, 1).
    """
    if not 0 <= decay < 1:
        raise ValueError(f"decay is what a running mean keeps of the steps before, in [0, 1), not {decay}")


def first_layer(q: Distribution) -> Any:
    """What is drawn first: q itself unless it has layers."""
    return as_layers(q).first


def spread(family: Any, shape: Shape) -> Any:
    """The family with every tensor expanded to this batch shape, before the axes of its event."""
    ndims = getattr(family, "leaf_ndims", (family.event_ndim,) * len(family))
    return type(family)(
        *(leaf.expand(*shape, *leaf.shape[leaf.ndim - ndim :]) for leaf, ndim in zip(family, ndims, strict=True))
    )


def features(family: Any) -> Float[Tensor, "*b n"]:
    """The tensors of a family, one vector for each example."""
    batch = batch_shape(family)
    return torch.cat([leaf.flatten(len(batch)) for leaf in tree.leaves(spread(family, batch))], -1)


def pull_beside(problem: Problem, params: Params, q: Distribution, noise: Tree, rule: Rule) -> tuple[Pulled, Tree]:
    """`wires.pull` at a q that is known, its gradient apart: the grads of the rest, and those of q's tensors."""
    pulled = pull(_beside(problem), {"rest": params, "q": q}, noise, rule)
    return pulled._replace(grads=pulled.grads["rest"]), pulled.grads["q"]


def _beside(problem: Problem) -> Problem:
    """The problem with q as one of its parameters."""
    p, exact = problem.p, problem.exact
    return Problem(
        q=lambda both: both["q"],
        f=lambda both, z: problem.f(both["rest"], z),
        p=None if p is None else lambda both: p(both["rest"]),
        beta=problem.beta,
        exact=None if exact is None else lambda both, q: exact(both["rest"], q),
    )
