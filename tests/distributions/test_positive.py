"""The map from raw outputs to scales: bounds, monotony, derivative; exhaustively in bfloat16."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from vae_fn.distributions import positive

EPS = 1e-8
BFLOAT16 = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(torch.bfloat16)
"""All 65,536 bit patterns."""

Map = Callable[[Tensor], Tensor]


def finite_bfloat16() -> Tensor:
    """All finite bfloat16 numbers in increasing order."""
    return BFLOAT16[torch.isfinite(BFLOAT16)].sort().values


def grid(dtype: torch.dtype) -> Tensor:
    """Finite numbers of every size and both signs, and their neighbours; in increasing order."""
    limits = torch.finfo(dtype)
    sizes = torch.cat(
        [torch.logspace(math.log10(limits.tiny), math.log10(limits.max) - 1e-3, 4001, dtype=torch.float64)]
    )
    sizes = torch.cat([sizes, torch.linspace(0, 1100, 22_001, dtype=torch.float64), torch.tensor([limits.max])])
    points = torch.cat([sizes, -sizes]).to(dtype)
    above = torch.nextafter(points, torch.tensor(math.inf, dtype=dtype))
    points = torch.cat([points, above, torch.nextafter(above, torch.tensor(math.inf, dtype=dtype))])
    return points[torch.isfinite(points)].sort().values


def check(fn: Map, raw: Tensor) -> None:
    """At least eps, finite, monotone, derivative in [0, 1]; `raw` in increasing order.

    Monotone exactly in bfloat16, and to one ulp in float32 and float64, whose logarithms are not better rounded.
    """
    slack = 0.0 if raw.dtype == torch.bfloat16 else torch.finfo(raw.dtype).eps
    raw = raw.clone().requires_grad_()
    scale = fn(raw)
    (slope,) = torch.autograd.grad(scale.sum(), raw)
    scale = scale.detach()
    assert scale.dtype == raw.dtype
    assert bool(torch.isfinite(scale).all())
    assert bool((scale >= torch.tensor(EPS, dtype=raw.dtype)).all())
    assert bool((scale[1:] >= scale[:-1] * (1 - slack)).all())
    assert bool(((slope >= 0) & (slope <= 1)).all())


def test_positive_on_every_bfloat16() -> None:
    assert len(finite_bfloat16()) == 2 * 0x7F80
    check(positive, finite_bfloat16())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_positive_on_a_grid(dtype: torch.dtype) -> None:
    check(positive, grid(dtype))


@given(raws=st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=50))
def test_positive_on_any_float32(raws: list[float]) -> None:
    check(positive, torch.tensor(sorted(raws), dtype=torch.float32))


near_the_switch = st.floats(19, 21)
anywhere = st.floats(allow_nan=False, allow_infinity=False)


@given(raws=st.lists(anywhere | near_the_switch, min_size=1, max_size=50))
def test_positive_on_any_float64(raws: list[float]) -> None:
    check(positive, torch.tensor(sorted(raws), dtype=torch.float64))


MUTANTS: dict[str, tuple[Map, torch.dtype]] = {
    "softplus with a switch at 20": (lambda raw: F.softplus(raw) + EPS, torch.float64),
    "no eps": (lambda raw: -F.logsigmoid(-raw), torch.float32),
    "exponential": (lambda raw: raw.exp() + EPS, torch.float32),
    "log of one plus exponential": (lambda raw: torch.log1p(raw.exp()) + EPS, torch.float64),
    "absolute value": (lambda raw: raw.abs() + EPS, torch.float64),
}


@pytest.mark.parametrize(("mutant", "dtype"), MUTANTS.values(), ids=MUTANTS)
def test_a_wrong_map_is_rejected(mutant: Map, dtype: torch.dtype) -> None:
    with pytest.raises(AssertionError):
        check(mutant, grid(dtype))


def test_float64_values() -> None:
    """Against a formula of its own, and log 2 at 0."""
    raw = torch.linspace(-40, 60, 1001, dtype=torch.float64)
    expected = raw.clamp(min=0) + torch.log1p(torch.exp(-raw.abs())) + EPS
    torch.testing.assert_close(positive(raw), expected, rtol=1e-15, atol=0)
    assert positive(torch.zeros((), dtype=torch.float64)).item() == pytest.approx(math.log(2) + EPS, rel=1e-15)
    assert positive(torch.zeros(())).item() == pytest.approx(0.693147, abs=1e-6)


def test_eps_is_an_argument() -> None:
    assert positive(torch.tensor(-1e4), eps=1e-3).item() == pytest.approx(1e-3)


def test_float16_is_refused() -> None:
    with pytest.raises(TypeError, match="cast the raw outputs to float32"):
        positive(torch.zeros(2, dtype=torch.float16))
