"""Networks as pure functions: a template on the meta device, called through `torch.func.functional_call`."""

import copy
import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from vae_fn.errors import check_count, check_kind
from vae_fn.models.initial import initial_parameters
from vae_fn.models.refusals import refuse_impure
from vae_fn.types import Key, Shape


class Network(NamedTuple):
    """A function of parameters and input, and the law of its initial parameters.

    `apply(params, x)` takes any leading batch shape: x `(*batch, *event)` to raw outputs `(*batch, *out)`. Any pair of
    functions of these forms is a network; `network` makes one of an `nn.Module`.
    """

    init: Callable[[Key], dict[str, Tensor]]
    apply: Callable[[dict[str, Tensor], Float[Tensor, "..."]], Float[Tensor, "..."]]


class ShapeError(ValueError):
    """Data, a network and the head that reads it do not fit each other."""


def network(module: nn.Module, input_shape: Shape, called: str = "the module") -> Network:
    """The pure function of a module for inputs `(*batch, *input_shape)`; it computes in its parameters' dtype.

    The module serves as a template only: its parameter values are not used (`init` draws new ones by each layer's
    default law, from a key; all of them are trained, whatever their `requires_grad`) and it is not changed. Its buffers
    are constants and keep their values. `called` is what errors call it.

    Raises:
        TypeError: it is no module, or the shape no tuple.
        ImpureModuleError: the module is not a function of parameters and input (BatchNorm, Dropout, random numbers,
            buffers that change or count), or does not take `(batch, *input_shape)`, or gives no tensor with the batch
            in front; the message names the layer.
        UnknownLayerError: `init` would not know the law of a parameter.
        ShapeError: from `apply`, inputs have another shape.
    """
    check_kind(called, module, nn.Module, "a network is made of an instance of one")
    check_kind("input_shape", input_shape, tuple, "give that of one input, such as (784,)")
    buffers = {name: buffer.detach().clone() for name, buffer in module.named_buffers()}
    template = on_meta(module)
    refuse_impure(template, buffers, input_shape, called)
    init = initial_parameters(template)

    def apply(params: dict[str, Tensor], x: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        batch, event = x.shape[: x.ndim - len(input_shape)], x.shape[x.ndim - len(input_shape) :]
        if event != input_shape:
            raise ShapeError(
                f"{called} takes inputs (*batch, {', '.join(map(str, input_shape))}), not {tuple(x.shape)}: give what "
                "it was built for, or build it for these"
            )
        rows = x.reshape(math.prod(batch), *input_shape).to(next(iter(params.values()), x).dtype)
        constants = {name: buffer.to(rows) for name, buffer in buffers.items()}
        raw = functional_call(template, (params, constants), (rows,))
        return raw.reshape(*batch, *raw.shape[1:])

    return Network(init, apply)


def on_meta(module: nn.Module) -> nn.Module:
    """A copy without data, in which tied parameters stay tied (`copy.deepcopy(module).to("meta")` would part them)."""
    memo: dict[int, Any] = {id(buffer): buffer.to("meta") for buffer in module.buffers()}
    memo |= {id(parameter): nn.Parameter(parameter.to("meta")) for parameter in module.parameters()}
    return copy.deepcopy(module, memo)


def mlp(widths: list[int], activation: Callable[[], nn.Module] = nn.SiLU) -> nn.Sequential:
    """The template of a perceptron: linear layers of these widths with the activation between them.

    Raises:
        ValueError: a width is no whole number, or not positive.
    """
    for width in widths:
        check_count("a layer's width", width)
    layers: list[nn.Module] = []
    with torch.device("meta"):
        for fan_in, fan_out in pairwise(widths):
            layers += [nn.Linear(fan_in, fan_out), activation()]
    return nn.Sequential(*layers[:-1])


def entered(enter: Callable[[Tensor], Tensor], widths: list[int], activation: Callable[[], nn.Module]) -> Network:
    """A perceptron of `enter(x)`, such as of pixels about 0."""
    inner = network(mlp(widths, activation), (widths[0],))
    return Network(inner.init, lambda params, x: inner.apply(params, enter(x)))


def centred(x: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
    """Pixels in [0, 1] about 0."""
    return x - 0.5


def signs(bits: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
    """Bits as -1 and 1."""
    return 2 * bits - 1
