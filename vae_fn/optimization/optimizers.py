"""Optimizers as pairs of pure functions, with the arithmetic of `torch.optim`.

Gradients are those of a loss: an update descends. The weight decay of all of them is decoupled from the gradient
(Loshchilov and Hutter, 2019): each update first takes `p` to `p (1 - learning_rate * weight_decay)`.

Scalars (learning rate, bias corrections) are computed in float64, as Python's floats are in `torch.optim`; states and
parameters keep the parameters' dtypes.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vae_fn import tree
from vae_fn.optimization.scalars import computed_once
from vae_fn.optimization.schedules import Schedule, as_scalar, check_schedule, checked, constant
from vae_fn.types import Tree


class Optimizer(NamedTuple):
    """A rule of descent as two pure functions: they change no argument, and what they return shares no storage with it.

    Attributes:
        init: `init(params) -> state`, the state before the first update.
        update: `update(grads, state, params) -> (params, state)`, one step down the gradients of a loss.
    """

    init: Callable[[Tree], Any]
    update: Callable[[Tree, Any, Tree], tuple[Tree, Any]]


class AdamState(NamedTuple):
    """What Adam's next update needs.

    Attributes:
        step: The number of updates done, int64.
        mean: The running mean of the gradients, shaped as the parameters.
        variance: The running mean of the squared gradients (not centred), shaped as the parameters.
    """

    step: Int[Tensor, ""]
    mean: Tree
    variance: Tree


class SGDState(NamedTuple):
    """What the next update of gradient descent needs.

    Attributes:
        step: The number of updates done, int64.
        velocity: The decaying sum of the gradients, shaped as the parameters.
    """

    step: Int[Tensor, ""]
    velocity: Tree


def adam(
    learning_rate: float | Tensor | Schedule,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> Optimizer:
    """Adam (Kingma and Ba, 2015, algorithm 1), with decoupled weight decay.

    Args:
        learning_rate: A float, a 0-d tensor, or a schedule, which is asked for step 0 at the first update.
        b1: The decay of the running mean, in [0, 1).
        b2: The decay of the running variance, in [0, 1).
        eps: What is added to the square root of the variance, not negative.
        weight_decay: The rate of the decoupled decay, not negative.

    Raises:
        ValueError: If a number is out of its range, or a learning rate has dimensions; from `init`, if parameters are
            float16, in which eps is nothing; from `update`, if a gradient is not shaped and typed as its parameter.
        TypeError: From `init`, if a schedule gives no 0-d tensor.
    """
    schedule = _as_schedule(learning_rate)
    checked("b1", b1, below=1.0)
    checked("b2", b2, below=1.0)
    checked("eps", eps)
    checked("weight_decay", weight_decay)

    def init(params: Tree) -> AdamState:
        step = _step_zero(params)
        check_schedule("learning_rate", schedule, step)
        if any(leaf.dtype == torch.float16 for leaf in tree.leaves(params)):
            raise ValueError("float16 parameters leave nothing of eps: keep them in float32 or bfloat16")
        return AdamState(step, tree.zeros_like(params), tree.zeros_like(params))

    def update(grads: Tree, state: AdamState, params: Tree) -> tuple[Tree, AdamState]:
        _check_grads(grads, params)
        step, rate = state.step + 1, schedule(state.step)
        mean = tree.map(lambda m, g: m.lerp(g, 1 - b1), state.mean, grads)
        variance = tree.map(lambda v, g: (b2 * v).addcmul(g, g, value=1 - b2), state.variance, grads)
        root = _bias_correction(b2, step).sqrt()  # of the variance: taken out of the division of every parameter
        step_size, floor, shrinkage = computed_once(
            rate * root / _bias_correction(b1, step), eps * root, 1 - rate * weight_decay
        )
        direction = tree.map(lambda m, v: m / (v.sqrt() + floor), mean, variance)
        return _descend(params, direction, step_size, shrinkage), AdamState(step, mean, variance)

    return Optimizer(init, update)


def adamw(
    learning_rate: float | Tensor | Schedule,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
) -> Optimizer:
    """`adam` with weight decay by default (Loshchilov and Hutter, 2019, algorithm 2)."""
    return adam(learning_rate, b1, b2, eps, weight_decay)


def sgd(
    learning_rate: float | Tensor | Schedule,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
) -> Optimizer:
    """Gradient descent with momentum (Sutskever et al., 2013, in the form of `torch.optim.SGD`).

    The velocity is `v <- momentum * v + g`; the parameters move along `v`, or with `nesterov` along `g + momentum * v`.

    Args:
        learning_rate: A float, a 0-d tensor, or a schedule, which is asked for step 0 at the first update.
        momentum: The decay of the velocity, in [0, 1).
        nesterov: Whether to look ahead along the new velocity.
        weight_decay: The rate of the decoupled decay, not negative.

    Raises:
        ValueError: If a number is out of its range, a learning rate has dimensions, or `nesterov` has no momentum; from
            `update`, if a gradient is not shaped and typed as its parameter.
        TypeError: From `init`, if a schedule gives no 0-d tensor.
    """
    schedule = _as_schedule(learning_rate)
    checked("momentum", momentum, below=1.0)
    checked("weight_decay", weight_decay)
    if nesterov and momentum == 0:
        raise ValueError("nesterov=True does nothing without momentum: give momentum > 0 or leave nesterov out")

    def init(params: Tree) -> SGDState:
        step = _step_zero(params)
        check_schedule("learning_rate", schedule, step)
        return SGDState(step, tree.zeros_like(params))

    def update(grads: Tree, state: SGDState, params: Tree) -> tuple[Tree, SGDState]:
        _check_grads(grads, params)
        rate = schedule(state.step)
        velocity = tree.map(lambda v, g: momentum * v + g, state.velocity, grads)
        direction = tree.map(lambda v, g: g + momentum * v, velocity, grads) if nesterov else velocity
        step_size, shrinkage = computed_once(rate, 1 - rate * weight_decay)
        return _descend(params, direction, step_size, shrinkage), SGDState(state.step + 1, velocity)

    return Optimizer(init, update)


def _as_schedule(learning_rate: float | Tensor | Schedule) -> Schedule:
    if callable(learning_rate):
        return learning_rate
    return constant(as_scalar("learning_rate", learning_rate))


def _step_zero(params: Tree) -> Int[Tensor, ""]:
    leaves = tree.leaves(params)
    if not leaves or not all(leaf.is_floating_point() for leaf in leaves):
        raise ValueError("params must have leaves, real floating-point ones only: keep other tensors out of the tree")
    return torch.zeros((), dtype=torch.int64, device=leaves[0].device)


def _differ(param: Tensor, grad: Tensor) -> bool:
    return grad.shape != param.shape or grad.dtype != param.dtype


def _check_grads(grads: Tree, params: Tree) -> None:
    """Refuse gradients that would be broadcast, or would change the dtype of a state."""
    if not any(tree.leaves(tree.map(_differ, params, grads))):
        return
    name = next(name for name, differ in tree.flat_names(tree.map(_differ, params, grads)).items() if differ)
    given, param = tree.flat_names(grads)[name], tree.flat_names(params)[name]
    raise ValueError(
        f"the gradient of {name or 'the parameter'} is {given.dtype} of shape {tuple(given.shape)}, and the parameter "
        f"{param.dtype} of shape {tuple(param.shape)}: give each parameter a gradient of its own shape and dtype"
    )


def _bias_correction(decay: float, step: Int[Tensor, ""]) -> Float[Tensor, ""]:
    """The weight that a running mean from zero has given to its inputs, `1 - decay**step`."""
    return 1 - decay ** step.to(torch.float64)


def _descend(params: Tree, direction: Tree, step_size: Float[Tensor, ""], shrinkage: Float[Tensor, ""]) -> Tree:
    """`shrinkage * p - step_size * d`; the cast is for 0-d parameters, which float64 scalars would promote."""
    return tree.map(lambda p, d: (shrinkage * p - step_size * d).to(p.dtype), params, direction)
