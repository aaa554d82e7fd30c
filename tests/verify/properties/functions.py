"""Right functions of awkward arguments, which every check must pass."""

from typing import NamedTuple

import torch

from vae_fn import random


class Pair(NamedTuple):
    first: torch.Tensor
    second: torch.Tensor | None


def normals(seed, *shape, dtype=torch.float32):
    return random.normal(random.key(seed), shape, dtype)


NESTED = {"w": normals(0, 2, 3), "pair": Pair(normals(1, 3), None), "none": torch.empty(0), "scalar": normals(2)}


def nested(tree, number, x):
    """A pytree of a pytree, with a Python number, an absent part, an empty leaf, and an integer result."""
    y = torch.tanh(tree["w"] @ (x * tree["pair"].first)) * tree["scalar"] * number
    return {
        "y": y,
        "sum": y.sum(),
        "none": tree["none"] * 2,
        "absent": None,
        "count": torch.ones((), dtype=torch.int64),
    }


AWKWARD = {
    "pytrees": (nested, (NESTED, 2.0, normals(3, 3))),
    "no dimensions": (torch.sin, (torch.tensor(0.3),)),
    "bfloat16": (torch.exp, (torch.tensor([0.5, -1.0], dtype=torch.bfloat16),)),
    "float64": (lambda x: x.square().sum(), (normals(4, 5, dtype=torch.float64),)),
    "integers beside": (lambda x, i: x[i], (normals(5, 4), torch.tensor([2, 0]))),
    "a matrix product": (torch.matmul, (normals(6, 7, 5), normals(7, 5, 3))),
}
