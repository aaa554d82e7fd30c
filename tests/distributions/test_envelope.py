"""The promised envelope: finite value and gradient in float32 and float64.

For |loc|, |raw| <= 1e4, |noise| <= 8 and |logits| <= 1e4 with targets 0 and 1.
"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tests.distributions.families import FACTORISED, names
from vae_fn.distributions import Bernoulli, Laplace, Normal, kl, positive

SIZES = torch.tensor([0.0, 1e-30, 1e-8, 1e-4, 0.3, 1.0, 5.0, 17.0, 20.0, 25.0, 88.0, 103.0, 104.0, 745.0, 1e3, 1e4])
RAW = torch.cat([SIZES, -SIZES])
NOISE = torch.tensor([-8.0, -1.0, -1e-6, 0.0, 1e-6, 1.0, 8.0])

Objective = Callable[..., Tensor]

both_dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
every_family = pytest.mark.parametrize("family", FACTORISED, ids=names(FACTORISED))


def check_finite(objective: Objective, dtype: torch.dtype, *axes: Tensor) -> None:
    """Value and gradient on the whole grid, one coordinate an example."""
    grid = [axis.flatten().unsqueeze(-1).to(dtype).requires_grad_() for axis in torch.meshgrid(*axes, indexing="ij")]
    value = objective(*grid)
    assert value.dtype == dtype
    assert bool(torch.isfinite(value).all()), "a value is not finite"
    for gradient in torch.autograd.grad(value.sum(), grid):
        assert bool(torch.isfinite(gradient).all()), "a derivative is not finite"


def divergence(family: type, eps: float = 1e-8) -> Objective:
    def objective(loc: Tensor, raw: Tensor) -> Tensor:
        return kl(family(loc, positive(raw, eps)), Normal(torch.zeros_like(loc), torch.ones_like(loc)))

    return objective


def sampled_divergence(family: type, eps: float = 1e-8) -> Objective:
    def objective(loc: Tensor, raw: Tensor, noise: Tensor) -> Tensor:
        q = family(loc, positive(raw, eps))
        value = q.sample(noise)
        prior = family(torch.zeros_like(loc), torch.ones_like(loc))
        return q.log_prob_from_noise(noise, value) - prior.log_prob(value)

    return objective


@both_dtypes
@every_family
def test_closed_form_kl(family: type, dtype: torch.dtype) -> None:
    check_finite(divergence(family), dtype, RAW, RAW)


@both_dtypes
@every_family
def test_log_prob_from_noise(family: type, dtype: torch.dtype) -> None:
    check_finite(sampled_divergence(family), dtype, RAW, RAW, NOISE)


@both_dtypes
def test_bernoulli_log_prob(dtype: torch.dtype) -> None:
    check_finite(lambda logits, bit: Bernoulli(logits).log_prob(bit), dtype, RAW, torch.tensor([0.0, 1.0]))


@both_dtypes
def test_bernoulli_log_prob_is_right_where_it_saturates(dtype: torch.dtype) -> None:
    """-|logit| for the improbable bit, with derivative 1."""
    logits = torch.tensor([[1e2], [1e3], [1e4]], dtype=dtype).requires_grad_()
    value = Bernoulli(logits).log_prob(torch.zeros_like(logits))
    (gradient,) = torch.autograd.grad(value.sum(), logits)
    torch.testing.assert_close(value.detach(), -logits.detach().squeeze(-1), rtol=1e-6, atol=0)
    torch.testing.assert_close(gradient, -torch.ones_like(gradient), rtol=1e-6, atol=0)


def binary_cross_entropy_of_probabilities(logits: Tensor, bit: Tensor) -> Tensor:
    probability = torch.sigmoid(logits)
    return (bit * probability.log() + (1 - bit) * (1 - probability).log()).sum(-1)


def of_exponential_scale(loc: Tensor, raw: Tensor) -> Tensor:
    return kl(Normal(loc, raw.exp()), Normal(torch.zeros_like(loc), torch.ones_like(loc)))


@both_dtypes
def test_unstable_forms_are_rejected(dtype: torch.dtype) -> None:
    bits = torch.tensor([0.0, 1.0])
    for mutant, axes in (
        (divergence(Normal, eps=0.0), (RAW, RAW)),
        (divergence(Laplace, eps=0.0), (RAW, RAW)),
        (sampled_divergence(Normal, eps=0.0), (RAW, RAW, NOISE)),
        (of_exponential_scale, (RAW, RAW)),
        (binary_cross_entropy_of_probabilities, (RAW, bits)),
    ):
        with pytest.raises(AssertionError):
            check_finite(mutant, dtype, *axes)
