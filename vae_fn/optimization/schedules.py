"""Hyper-parameters as pure functions of the step: learning rates, KL weights.

A schedule takes the int64 step and gives a float64 scalar, because `torch.optim` computes its schedules in Python's
floats. Whoever uses the value casts it: it leaves a float32 tensor of one or more dimensions float32, but it promotes a
float32 scalar.

A value may be a float or a 0-d tensor. Either is held as a tensor and read at every call, so that in a compiled step it
is an input: writing another value into the tensor (`rate.fill_(...)`) or passing another tensor does not recompile, and
`torch.vmap` runs over several. On an accelerator give a tensor that lies there: a float is copied over at every step,
but not by `fixed`. Numbers of steps are Python integers, constants of the compiled step.
"""

import math
from collections.abc import Callable
from typing import TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vae_fn.errors import check_count, described, is_number

Schedule: TypeAlias = Callable[[Int[Tensor, ""]], Float[Tensor, ""]]
"""`schedule(step)`: the value for the update that `step` updates went before."""


def constant(value: float | Tensor) -> Schedule:
    """The same value at every step.

    Raises:
        ValueError: If `value` is a negative, infinite or NaN float, or a tensor with dimensions.
    """
    held = _held("value", value)

    def schedule(step: Int[Tensor, ""]) -> Float[Tensor, ""]:
        return _beside(held, step)

    return schedule


def fixed(value: float) -> Schedule:
    """The same value at every step, of which a compiled step makes a constant: on an accelerator nothing is copied.

    Raises:
        ValueError: If `value` is negative, infinite or NaN.
    """
    checked("value", value)

    def schedule(step: Int[Tensor, ""]) -> Float[Tensor, ""]:
        return torch.full_like(step, value, dtype=torch.float64)

    return schedule


def linear_warmup(value: float | Tensor, steps: int) -> Schedule:
    """From 0 at step 0 in equal parts to `value` at step `steps`, and `value` from there on.

    At step `s` this is `value * min(1, s / steps)`; with `steps=0` it is `value` at once.

    Raises:
        ValueError: As `constant`, and if `steps` is negative or no whole number.
    """
    held = _held("value", value)
    check_count("steps", steps, 0)

    def schedule(step: Int[Tensor, ""]) -> Float[Tensor, ""]:
        return _beside(held, step) * _fraction(step, steps)

    return schedule


def warmup_cosine(peak: float | Tensor, warmup_steps: int, total_steps: int, final: float | Tensor = 0.0) -> Schedule:
    """Linear warm-up to `peak`, then half a cosine down to `final` (Loshchilov and Hutter, 2017, eq. 5, one period).

    With `W = warmup_steps` and `T = total_steps`, step `s` gets

    - `peak * s / W` for `s < W`: 0 at step 0 (with `W = 0` there is no warm-up and step 0 gets `peak`),
    - `final + (peak - final) * (1 + cos(π (s - W) / (T - W))) / 2` for `W <= s < T`: `peak` at step `W`,
    - `final` from step `T` on. A run of `T` updates uses steps 0 to `T - 1`, hence never quite reaches it.

    Raises:
        ValueError: If `peak` or `final` is a negative, infinite or NaN float or a tensor with dimensions, if
            `warmup_steps` or `total_steps` is negative or no whole number, or if the one leaves no step of the other
            for the cosine.
    """
    held_peak, held_final = _held("peak", peak), _held("final", final)
    check_count("warmup_steps", warmup_steps, 0)
    check_count("total_steps", total_steps, 0)
    if warmup_steps >= total_steps:
        raise ValueError(
            f"warmup_steps={warmup_steps} leaves no step of total_steps={total_steps} for the cosine: "
            "give a shorter warm-up or more steps, or use linear_warmup"
        )

    def schedule(step: Int[Tensor, ""]) -> Float[Tensor, ""]:
        top, bottom = _beside(held_peak, step), _beside(held_final, step)
        warmup = top * _fraction(step, warmup_steps)
        angle = math.pi * _fraction(step - warmup_steps, total_steps - warmup_steps)
        cosine = bottom + (top - bottom) * (1 + torch.cos(angle)) / 2
        return torch.where(step < warmup_steps, warmup, cosine)

    return schedule


def checked(name: str, value: int | float, below: float = math.inf) -> int | float:
    """The value itself, if it is a number in `[0, below)`.

    Raises:
        ValueError: If it is not, naming the argument and its range.
    """
    if not is_number(value) or not 0 <= value < below:
        raise ValueError(f"{name}={described(value)} is out of range: give a number with 0 <= {name} < {below}")
    return value


def check_schedule(name: str, schedule: Schedule, step: Int[Tensor, ""]) -> None:
    """Ask a schedule for its value at a step.

    Raises:
        TypeError: it gives something else than a tensor without dimensions.
    """
    value = schedule(step)
    if not isinstance(value, Tensor) or value.ndim > 0:
        raise TypeError(
            f"{name} as a function of the step must give a 0-d tensor, not {described(value)}: compute it from the "
            "step, as optimization.schedules do"
        )


def as_scalar(name: str, value: float | Tensor) -> Float[Tensor, ""]:
    """The value as a 0-d tensor: a checked float64 one for a float, a given tensor as it is.

    Raises:
        ValueError: If a float is negative, infinite or NaN, or a tensor has dimensions.
    """
    if not isinstance(value, Tensor):
        return torch.tensor(checked(name, value), dtype=torch.float64)
    if value.ndim > 0:
        raise ValueError(
            f"{name} has shape {tuple(value.shape)}: give a 0-d tensor, and torch.vmap over several values"
        )
    return value


def _held(name: str, value: float | Tensor) -> Float[Tensor, " 1"]:
    """The value as a schedule keeps it, a view of a given tensor.

    It has a dimension because a function is traced twice where a float64 tensor without one enters it (torch 2.14).
    """
    return as_scalar(name, value).unsqueeze(0)


def _beside(value: Float[Tensor, " 1"], step: Int[Tensor, ""]) -> Float[Tensor, ""]:
    return value.to(step.device, torch.float64).squeeze(0)


def _fraction(step: Int[Tensor, ""], steps: int) -> Float[Tensor, ""]:
    """How much of `steps` is done, at most 1."""
    return torch.where(step < steps, step.to(torch.float64) / max(steps, 1), 1.0)
