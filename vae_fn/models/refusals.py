"""What makes a module no function of its parameters and input, found before anything is trained."""

from typing import Any, NamedTuple, NoReturn

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.hooks import RemovableHandle

from vae_fn.errors import described
from vae_fn.types import Shape


class ImpureModuleError(ValueError):
    """A module changes state, draws random numbers, or does not take the input that it is given."""


def refuse_impure(template: nn.Module, buffers: dict[str, Tensor], input_shape: Shape, called: str) -> None:
    """Inspect a meta-device template, then run it once on shapes alone and watch what it does.

    Args:
        template: the module.
        buffers: with their values.
        input_shape: of one input.
        called: what the module is called.

    Raises:
        ImpureModuleError: with the layer's name and the alternative.
    """
    for name, layer in template.named_modules():
        _refuse_layer(name or "the module", layer)
    for name, buffer in buffers.items():
        _refuse_buffer(name, buffer)
    _watch(template, input_shape, called)


def _refuse_layer(name: str, layer: nn.Module) -> None:
    kind = type(layer).__name__
    if isinstance(layer, _BatchNorm) or (isinstance(layer, _InstanceNorm) and layer.track_running_stats):
        raise ImpureModuleError(
            f"layer '{name}' ({kind}) mixes examples or keeps running averages: use LayerNorm or GroupNorm"
        )
    if isinstance(layer, _DropoutNd) and layer.training and layer.p > 0:
        raise ImpureModuleError(
            f"layer '{name}' ({kind}) draws random numbers: remove it or call .eval(); randomness enters as an argument"
        )


def _refuse_buffer(name: str, buffer: Tensor) -> None:
    if buffer.is_meta:
        raise ImpureModuleError(f"buffer '{name}' is on the meta device and has no value: build the module on the CPU")
    if not buffer.is_floating_point():
        raise ImpureModuleError(
            f"buffer '{name}' is {buffer.dtype}: integer buffers count something; compute it in forward or drop it"
        )


def _watch(template: nn.Module, input_shape: Shape, called: str) -> None:
    running = [_Call("the module", template, ())]
    hooks = [hook for name, layer in template.named_modules() for hook in _follow(running, name or "the module", layer)]
    before = {name: (buffer, buffer._version) for name, buffer in template.named_buffers()}
    try:
        with torch.no_grad(), _NoRandomness(running):
            output = template(torch.empty(_BATCH, *input_shape, device="meta"))
    except (RuntimeError, NotImplementedError, TypeError, IndexError, AssertionError) as error:
        raise ImpureModuleError(
            f"{called} cannot be run on a batch of inputs of shape {input_shape}: at {running[-1]}: {error}"
        ) from error
    finally:
        for hook in hooks:
            hook.remove()
    for name, buffer in template.named_buffers():
        if name not in before or before[name][0] is not buffer or before[name][1] != buffer._version:
            raise ImpureModuleError(f"buffer '{name}' changes in forward: pass what changes as an input, or as state")
    _check_output(called, output, input_shape)


_BATCH = 2
"""Inputs that a module is run on."""


def _check_output(called: str, output: Any, input_shape: Shape) -> None:
    if not isinstance(output, Tensor):
        raise ImpureModuleError(
            f"{called} gives {described(output)}: let it give one tensor of raw outputs, as torch.cat of the parts of "
            "a tuple, which its head splits"
        )
    if output.shape[:1] != (_BATCH,):
        raise ImpureModuleError(
            f"{called} maps {_BATCH} inputs of shape {input_shape} to {tuple(output.shape)}: let it give "
            f"({_BATCH}, ...), one row for each input"
        )


class _Call(NamedTuple):
    """A layer that runs, and what on."""

    name: str
    layer: nn.Module
    inputs: tuple[Any, ...]

    def __str__(self) -> str:
        composite = any(True for _ in self.layer.children())  # whose text has many lines
        if composite or not self.inputs or not isinstance(self.inputs[0], Tensor):
            return f"'{self.name}'"
        return f"'{self.name}', {self.layer} on a tensor of shape {tuple(self.inputs[0].shape)}"


def _follow(running: list[_Call], name: str, layer: nn.Module) -> tuple[RemovableHandle, RemovableHandle]:
    """Keep the layers that run, the innermost last; one that raises stays there."""

    def enter(module: nn.Module, inputs: Any) -> None:
        running.append(_Call(name, module, inputs))

    def leave(module: nn.Module, inputs: Any, output: Any) -> None:
        running.pop()

    return layer.register_forward_pre_hook(enter), layer.register_forward_hook(leave)


class _NoRandomness(TorchDispatchMode):
    """Refuses every operation that reads the global generator."""

    def __init__(self, running: list[_Call]):
        super().__init__()
        self.running = running

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if torch.Tag.nondeterministic_seeded in func.tags:
            self._refuse(func)
        return func(*args, **(kwargs or {}))

    def _refuse(self, func: Any) -> NoReturn:
        name = self.running[-1].name
        raise ImpureModuleError(
            f"layer '{name}' draws random numbers ({func}): draw noise from a key and pass it as an input"
        )
