"""Initial parameters from a key, by the default law of each layer in `torch.nn`."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from vae_fn import random
from vae_fn.types import Key, Shape

Law = Callable[[Key, Shape], Tensor]


class UnknownLayerError(ValueError):
    """A layer has parameters whose initial law is not known."""


def initial_parameters(template: nn.Module) -> Callable[[Key], dict[str, Tensor]]:
    """The function from a key to the module's parameters, flat under `functional_call`'s dotted names.

    Parameter i in the order of `named_parameters` is drawn from `fold_in(key, i)`, float32, on the key's device.

    Raises:
        UnknownLayerError: some parameter belongs to no layer of `torch.nn` whose law is known here.
    """
    laws = dict(_laws(template))
    shapes = {name: tuple(parameter.shape) for name, parameter in template.named_parameters()}

    def init(key: Key) -> dict[str, Tensor]:
        return {name: laws[name](random.fold_in(key, i), shape) for i, (name, shape) in enumerate(shapes.items())}

    return init


def uniform_fan_in(fan_in: int) -> Law:
    """U(-1/sqrt(fan_in), 1/sqrt(fan_in)): the default of `nn.Linear` and of convolutions, weights and biases alike."""
    bound = fan_in**-0.5
    return lambda key, shape: bound * (2 * random.uniform(key, shape) - 1)


def constant(value: float) -> Law:
    """All entries equal: the scales (1) and shifts (0) of normalising layers, the slope of `nn.PReLU`."""
    return lambda key, shape: torch.full(shape, value, device=key.device)


FAN_IN = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
AFFINE = (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)


def _law(layer: nn.Module, name: str) -> Law | None:
    if name not in ("weight", "bias"):
        return None
    if isinstance(layer, FAN_IN):
        return uniform_fan_in(layer.weight[0].numel())
    if isinstance(layer, AFFINE):
        return constant(1.0 if name == "weight" else 0.0)
    if isinstance(layer, nn.Embedding) and layer.padding_idx is None:
        return random.normal
    if isinstance(layer, nn.PReLU):
        return constant(0.25)
    return None


def _laws(template: nn.Module) -> Iterator[tuple[str, Law]]:
    for prefix, layer in template.named_modules():
        for name, _ in layer.named_parameters(recurse=False):
            path, law = f"{prefix}.{name}".lstrip("."), _law(layer, name)
            if law is None:
                raise UnknownLayerError(
                    f"no initial law is known for parameter '{path}' of {type(layer).__name__}: "
                    "build it from torch.nn layers, or pass Network(init, apply) with your own init"
                )
            yield path, law
