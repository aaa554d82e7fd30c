"""Scalars that a loop over all parameters uses."""

import torch
from jaxtyping import Float
from torch import Tensor


def computed_once(*scalars: Float[Tensor, ""]) -> tuple[Float[Tensor, ""], ...]:
    """The scalars, two or more of one dtype, laid in one small buffer.

    Left apart, the compiler copies their powers, roots and quotients into the loop: up to several times slower.
    """
    return torch.stack(scalars).unbind()
