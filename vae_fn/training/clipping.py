"""Clipping of gradients by their norm."""

from jaxtyping import Float
from torch import Tensor

from vae_fn import tree
from vae_fn.errors import described, is_number
from vae_fn.optimization.scalars import computed_once
from vae_fn.types import Tree


def clip_by_global_norm(grads: Tree, max_norm: float | Tensor) -> tuple[Tree, Float[Tensor, ""]]:
    """Scale the gradients so that their Euclidean norm, over all leaves, is at most `max_norm`.

    The factor is `min(1, max_norm / (norm + 1e-6))`, as in `torch.nn.utils.clip_grad_norm_` (Pascanu et al., 2013,
    algorithm 1). What is not finite stays visible: a NaN anywhere makes every gradient NaN; an infinite norm makes the
    infinite gradients NaN and the others 0.

    Args:
        grads: A tree of gradients.
        max_norm: The largest norm, positive; infinity never clips. A 0-d tensor or a float.

    Returns:
        The clipped gradients, in their dtypes, and the norm before clipping.

    Raises:
        ValueError: If `max_norm` is a float that is not positive.
    """
    check_max_norm("max_norm", max_norm)
    norm = tree.global_norm(grads)
    norm, factor = computed_once(norm, (max_norm / (norm + 1e-6)).clamp(max=1.0).to(norm.dtype))
    return tree.map(lambda grad: grad * factor.to(grad.dtype), grads), norm


def check_max_norm(what: str, value: float | Tensor) -> None:
    """Hold a largest norm against its range; a tensor's value is not looked at.

    Raises:
        ValueError: it is not positive, or has dimensions.
    """
    if not is_number(value) or (not isinstance(value, Tensor) and not value > 0):
        raise ValueError(f"{what}={described(value)} is out of range: give a positive number (infinity never clips)")
