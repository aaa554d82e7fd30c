"""Networks to take gradients of, and what their graphs form."""

import itertools

import torch
from torch import Tensor
from torch.nn import functional as F

from vae_fn import random


def formed(module, batch, numbers):
    """The names of the values in a graph that hold so many numbers, or more, of each example of a batch, a prime."""
    values = ((node.name, node.meta.get("val")) for node in module.graph.nodes if node.op == "call_function")
    shapes = ((name, value.shape) for name, value in values if isinstance(value, Tensor) and value.ndim)
    return [name for name, shape in shapes if shape[0] % batch == 0 and shape.numel() >= batch * numbers]


def layers(widths, b, k, seed):
    """Parameters and k rows of input for each of b examples."""
    key = random.key(seed)
    params = {}
    for i, (fan_in, fan_out) in enumerate(itertools.pairwise(widths)):
        weight, bias = random.split(random.fold_in(key, i), 2)
        params[f"{i}.weight"] = random.normal(weight, (fan_out, fan_in)) / fan_in**0.5
        params[f"{i}.bias"] = random.normal(bias, (fan_out,))
    return params, random.normal(random.fold_in(key, -1), (b, k, widths[0]))


def gradients(params, x):
    """Of every example."""

    def loss(params, x):
        for i in range(len(params) // 2):
            x = F.linear(x, params[f"{i}.weight"], params[f"{i}.bias"]).tanh()
        return (x**2).sum()

    return torch.vmap(torch.func.grad(loss), (None, 0))(params, x)
