"""Clipping of gradients by their norm."""

import torch
from jaxtyping import Float
from torch import Tensor

from vae_fn import tree
from vae_fn.errors import described, is_number
from vae_fn.optimization.scalars import computed_once
from vae_fn.types import Tree


def clip_by_global_norm(grads: Tree, max_norm: float | Tensor) -> tuple[Tree, Float[Tensor, ""]]:
    """Scale the gradients so that their Euclidean norm, over all leaves, is at most `max_norm`.

    The factor is `min(1, max_norm / (norm + 1e-6))`, as in `torch.nn.utils.clip_grad_norm_` (Pascanu et al., 2013,
    algorithm 1). What is not finite stays visible: a NaN anywhere makes every gradient NaN. A norm is infinite also
    where the squares of finite gradients overflow, as those of 1e20 do in float32; it makes infinite gradients NaN and
    all others 0, unless `max_norm` is infinite too.

    Args:
        grads: A tree of gradients.
        max_norm: The largest norm, positive; infinity never clips, whatever the norm. A 0-d tensor or a float.

    Returns:
        The clipped gradients, in their dtypes, and the norm before clipping.

    Raises:
        ValueError: If `max_norm` is a float that is not positive.
    """
    check_max_norm("max_norm", max_norm)
    norm = tree.global_norm(grads)
    norm, factor = computed_once(norm, _factor(norm + 1e-6, max_norm).to(norm.dtype))
    return tree.map(lambda grad: grad * factor.to(grad.dtype), grads), norm


def _factor(norm: Float[Tensor, ""], max_norm: float | Tensor) -> Float[Tensor, ""]:
    """`min(1, max_norm / norm)`, and 1 where both are infinite."""
    return torch.where(norm <= max_norm, 1.0, max_norm / norm)


def check_max_norm(what: str, value: float | Tensor) -> None:
    """Hold a largest norm against its range; a tensor's value is not looked at.

    Raises:
        ValueError: it is not positive, or has dimensions.
    """
    if not is_number(value) or (not isinstance(value, Tensor) and not value > 0):
        raise ValueError(f"{what}={described(value)} is out of range: give a positive number (infinity never clips)")
