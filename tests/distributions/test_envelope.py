"""The promised envelope: finite value and gradient in float32 and float64.

For |loc|, |raw| <= 1e4, |noise| <= 8 and |logits| <= 1e4 with targets 0 and 1.
"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tests.distributions.families import FACTORISED, names
from vae_fn import verify
from vae_fn.distributions import Bernoulli, Laplace, Normal, kl, positive
from vae_fn.verify import Verdict
from vae_fn.verify.properties.envelope import EDGES

SIZES = torch.tensor(EDGES)
RAW = torch.cat([SIZES, -SIZES])
NOISE, BIT = {"noise": (-8.0, 8.0)}, {"bit": (0.0, 1.0)}

Objective = Callable[..., Tensor]

both_dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
every_family = pytest.mark.parametrize("family", FACTORISED, ids=names(FACTORISED))


def found(objective: Objective, dtype: torch.dtype, arguments: int, domains: dict | None = None) -> Verdict:
    """What is found with one number in every argument, in all combinations of magnitudes and signs."""
    zeros = [torch.zeros(1, dtype=dtype)] * arguments
    assert objective(*zeros).dtype == dtype
    return verify.finite(objective, *zeros, promise=1e4, domains=domains)


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
    found(divergence(family), dtype, 2).check()


@both_dtypes
@every_family
def test_log_prob_from_noise(family: type, dtype: torch.dtype) -> None:
    found(sampled_divergence(family), dtype, 3, NOISE).check()


@both_dtypes
def test_bernoulli_log_prob(dtype: torch.dtype) -> None:
    found(lambda logits, bit: Bernoulli(logits).log_prob(bit), dtype, 2, BIT).check()


@both_dtypes
def test_bernoulli_log_prob_is_right_where_it_saturates(dtype: torch.dtype) -> None:
    """-|logit| for the improbable bit, with derivative 1."""
    logits = torch.tensor([[1e2], [1e3], [1e4]], dtype=dtype).requires_grad_()
    value = Bernoulli(logits).log_prob(torch.zeros_like(logits))
    (gradient,) = torch.autograd.grad(value.sum(), logits)
    torch.testing.assert_close(value.detach(), -logits.detach().squeeze(-1), rtol=1e-6, atol=0)
    torch.testing.assert_close(gradient, -torch.ones_like(gradient), rtol=1e-6, atol=0)


def derivatives(log_prob: Objective, logits: Tensor, bit: float) -> list[Tensor]:
    """The log mass of one bit, its slope and its curvature in the logit, at every logit."""

    def at(logit: Tensor) -> Tensor:
        return log_prob(logit.unsqueeze(-1), logit.new_full((1,), bit))

    return [torch.vmap(fn)(logits) for fn in (at, torch.func.grad(at), torch.func.grad(torch.func.grad(at)))]


def check_derivatives(log_prob: Objective, rtol: float, derivatives: Callable[..., list[Tensor]] = derivatives) -> None:
    """In float32 against log sigma(l), 1 - sigma(l) and -sigma(l) sigma(-l) in float64, and the same at -l for a 0."""
    logits = RAW[RAW.abs() <= 80].float()
    wide = logits.double()
    curvature = -torch.sigmoid(wide) * torch.sigmoid(-wide)
    for bit, sign in ((1.0, 1.0), (0.0, -1.0)):
        log_mass = -torch.logaddexp(torch.zeros_like(wide), -sign * wide)
        exact = (log_mass, sign * torch.sigmoid(-sign * wide), curvature)
        for found, expected in zip(derivatives(log_prob, logits, bit), exact, strict=True):
            torch.testing.assert_close(found.double(), expected, rtol=rtol, atol=1e-38)


def test_bernoulli_log_prob_is_right_to_the_second_derivative() -> None:
    """Also at logits of 0, where its two branches meet."""
    check_derivatives(lambda logits, bit: Bernoulli(logits).log_prob(bit), 2e-6)


def test_compiled_bernoulli_log_prob_is_right_to_the_second_derivative(fresh_compiler: None) -> None:
    """The mutant is what a compiler would make of it that took 1 + z - 1 for z."""
    compiled = torch.compile(derivatives, fullgraph=True)
    check_derivatives(lambda logits, bit: Bernoulli(logits).log_prob(bit), 2e-6, compiled)
    with pytest.raises(AssertionError, match="Greatest relative difference: 1"):
        check_derivatives(rounding_z_away, 2e-6, compiled)


def rounding_z_away(logits: Tensor, bit: Tensor) -> Tensor:
    negative = logits < 0
    z = torch.exp(torch.where(negative, logits, -logits))
    return (torch.where(negative, bit, bit - 1) * logits - torch.log(1 + z)).sum(-1)


def test_forms_with_other_derivatives_are_rejected() -> None:
    """The absolute value has a slope of 0 at 0; log(1 + z) rounds z away."""
    for mutant in (
        lambda logits, bit: (
            torch.minimum(logits, 0 * logits) - (1 - bit) * logits - torch.exp(-logits.abs()).log1p()
        ).sum(-1),
        lambda logits, bit: (bit * logits - torch.log(1 + torch.exp(logits))).sum(-1),
    ):
        with pytest.raises(AssertionError):
            check_derivatives(mutant, 2e-6)


def binary_cross_entropy_of_probabilities(logits: Tensor, bit: Tensor) -> Tensor:
    probability = torch.sigmoid(logits)
    return (bit * probability.log() + (1 - bit) * (1 - probability).log()).sum(-1)


def of_exponential_scale(loc: Tensor, raw: Tensor) -> Tensor:
    return kl(Normal(loc, raw.exp()), Normal(torch.zeros_like(loc), torch.ones_like(loc)))


@both_dtypes
def test_unstable_forms_are_rejected(dtype: torch.dtype) -> None:
    for mutant, arguments, domains in (
        (divergence(Normal, eps=0.0), 2, None),
        (divergence(Laplace, eps=0.0), 2, None),
        (sampled_divergence(Normal, eps=0.0), 3, NOISE),
        (of_exponential_scale, 2, None),
        (binary_cross_entropy_of_probabilities, 2, BIT),
    ):
        assert found(mutant, dtype, arguments, domains).status == "rejected"
