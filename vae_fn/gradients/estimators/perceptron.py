"""A small network for what estimators learn: one hidden layer with tanh, one number out, zero at first."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from vae_fn import random
from vae_fn.models.initial import uniform_fan_in
from vae_fn.types import Params

UNITS = 32
"""Hidden units."""

CHILD = -1
"""Which child of the seed's key: not those of a run that has the same seed."""


def perceptron(seed: int, inputs: int) -> Params:
    """The first parameters: `nn.Linear`'s law for the hidden layer, zeros after it."""
    weight, bias = random.split(random.fold_in(random.key(seed), CHILD))
    law = uniform_fan_in(inputs)
    return {
        "hidden": {"weight": law(weight, (UNITS, inputs)), "bias": law(bias, (UNITS,))},
        "out": {"weight": torch.zeros(1, UNITS), "bias": torch.zeros(1)},
    }


def apply(params: Params, x: Float[Tensor, "*b d"]) -> Float[Tensor, "*b"]:
    """The network's number at x."""
    return F.linear(torch.tanh(F.linear(x, **params["hidden"])), **params["out"]).squeeze(-1)
