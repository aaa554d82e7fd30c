"""`log_prob_from_noise` in float32 where `log_prob` has lost the noise: value, first and second derivatives.

The truth is `log_prob` in float64 at exactly `loc + scale * noise`, differentiated jointly in the location, the scale
and the value; lengths are measured in scales, so that every derivative has the size of 1 + |noise|**2.
"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tests.distributions.families import CONTINUOUS, Case, key_of, moved, names, unit
from vae_fn import random
from vae_fn.distributions import Distribution, MultivariateNormal

POINTS = 200
D = 2
TOLERANCE = 4 * torch.finfo(torch.float32).eps
"""Of the size that the terms have: 1 + |noise|**2 and, for the log scales, the value."""

SCALES = (1e-8, 1e-4, 1e-2)

Density = Callable[[Distribution, Tensor, Tensor], Tensor]

every_family = pytest.mark.parametrize("family", CONTINUOUS, ids=names(CONTINUOUS))
every_scale = pytest.mark.parametrize("scale", SCALES, ids=str)


def from_noise(q: Distribution, noise: Tensor, value: Tensor) -> Tensor:
    return q.log_prob_from_noise(noise, value)


def recomputed(q: Distribution, noise: Tensor, value: Tensor) -> Tensor:
    """The mutant that forgets the noise, and the truth where it is exact."""
    del noise
    return q.log_prob(value)


def wrong_signed(q: Distribution, noise: Tensor, value: Tensor) -> Tensor:
    """The mutant whose residual is right in value only: `noise + t - sg(t)` with t recomputed from the value."""
    t = q.noise_of(value)
    standard, log_scale = unit(q)
    return standard.log_prob(noise + (t - t.detach())) - log_scale


def detached(q: Distribution, noise: Tensor, value: Tensor) -> Tensor:
    """The mutant that is right in value and has no derivatives but that of the log scale."""
    standard, log_scale = unit(q)
    return standard.log_prob(noise + 0 * value) - log_scale


def posteriors(family: type, scale: float) -> Distribution:
    """POINTS members in float32 with scales about `scale`, locations within 1."""
    q = Case(seed=11, batch=(POINTS,), d=D).make(family, "q")
    return type(q)(q.loc.float(), (q[1] * scale).float())


def derivatives(density: Density, q: Distribution, noise: Tensor, value: Tensor) -> list[Tensor]:
    """Value, gradient and Hessian for every point, in the directions of `moved` and of the value in units of `size`."""
    sizes = [leaf[0].numel() for leaf in (*q, value)]

    def fn(by: Tensor, q: Distribution, noise: Tensor, value: Tensor) -> Tensor:
        shift, stretch, step = by.split(sizes)
        size = q[1].diagonal(dim1=-2, dim2=-1) if isinstance(q, MultivariateNormal) else q[1]
        return density(moved(q, shift, stretch.reshape(q[1].shape)), noise, value + size * step)

    gradient = torch.func.jacrev(fn)
    hessian = torch.func.jacrev(gradient)
    by = torch.zeros(len(value), sum(sizes), dtype=value.dtype)
    return [torch.func.vmap(f)(by, q, noise, value) for f in (fn, gradient, hessian)]


def check(density: Density, family: type, scale: float) -> None:
    q = posteriors(family, scale)
    noise = random.draw(key_of("from noise", family.__name__, scale), q.noise_like())
    exact = type(q)(*(leaf.double() for leaf in q))
    truth = derivatives(recomputed, exact, noise.double(), exact.sample(noise.double()))
    ours = derivatives(density, q, noise, q.sample(noise))
    size = 1 + noise.double().square().sum(-1)
    for order, (actual, expected) in enumerate(zip(ours, truth, strict=True)):
        error = (actual - expected).abs() / (size + truth[0].abs()).reshape(-1, *[1] * order)
        assert error.max() <= TOLERANCE, f"derivative {order} is off by {error.max()}, allowed {TOLERANCE}"


@every_scale
@every_family
def test_correct_at_small_scales(family: type, scale: float) -> None:
    check(from_noise, family, scale)


@every_scale
@every_family
def test_recomputing_the_noise_is_rejected(family: type, scale: float) -> None:
    with pytest.raises(AssertionError):
        check(recomputed, family, scale)


@pytest.mark.parametrize("scale", SCALES[:2], ids=str)
@every_family
def test_the_wrong_signed_residual_is_rejected_by_its_derivatives(family: type, scale: float) -> None:
    with pytest.raises(AssertionError, match="derivative 1"):
        check(wrong_signed, family, scale)


@every_scale
@every_family
def test_a_residual_without_derivatives_is_rejected(family: type, scale: float) -> None:
    with pytest.raises(AssertionError, match="derivative 1"):
        check(detached, family, scale)
