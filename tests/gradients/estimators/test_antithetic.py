"""Antithetic pairs: the same mean, no odd part, and the pathwise gradient of both draws."""

import pytest
import torch

from tests.gradients.references import assert_same
from tests.models.toys import bernoulli_vae, bits, learned_prior, normals, parameters, small_vae
from vae_fn import random, verify
from vae_fn.distributions import Logistic, Normal
from vae_fn.gradients import Problem, elbo_sampled_problem
from vae_fn.gradients.estimators import antithetic, pathwise
from vae_fn.gradients.oracles.moments import moments
from vae_fn.gradients.published import GaussianCosts
from vae_fn.models import heads
from vae_fn.verify.estimators.battery import estimator
from vae_fn.verify.estimators.settings import Setting
from vae_fn.verify.problems import bernoulli_decoder, linear_gaussian

SETTINGS = (
    Setting(bernoulli_decoder(1, beta=0.7), 2),
    Setting(bernoulli_decoder(1, closed_kl=True), 4),
    Setting(linear_gaussian(1), 2),
)


def test_unbiased():
    assert len(verify.unbiased(antithetic(), SETTINGS).check().verdicts) == len(SETTINGS) + 1


def test_what_holds_draw_by_draw():
    claims = {verdict.claim for verdict in estimator(antithetic()).check().verdicts}
    assert {"per_example", "every_sample", "derivative"} <= claims


@pytest.mark.parametrize("posterior", [heads.normal, heads.laplace, heads.logistic, heads.full_normal])
@pytest.mark.parametrize("batch", [(), (3,)])
def test_it_is_pathwise_at_mirrored_noise(posterior, batch):
    vae = learned_prior(small_vae(3, 2, posterior=posterior), 2)
    problem, params = elbo_sampled_problem(vae, bits(0, *batch, 3), beta=0.7), parameters(vae, 0)
    noise = normals(1, 3, *batch, 2)
    found = antithetic().estimate(problem, params, noise, ())
    expected = pathwise().estimate(problem, params, torch.cat([noise, -noise]), ())
    torch.testing.assert_close(found.value, expected.value, rtol=1e-14, atol=0)
    assert_same(found.grads, expected.grads, 1e-14)
    assert found.info.f.shape == (6, *batch)
    assert antithetic().noise_like(problem, params, 6).shape == (3, *batch, 2)
    assert antithetic().evaluations(problem.q(params), 6) == (6, 6)


def variances(estimator, problem, params, samples):
    """Of the gradients in q, one draw of `samples` samples."""
    specs = estimator.noise_like(problem, params, samples)
    return moments(lambda e: estimator.estimate(problem, params, e, ()).grads["q"], specs).variance


def test_what_is_odd_in_the_noise_has_no_variance():
    """A linear cost has the gradients a in loc and a e in scale."""
    problem = Problem(
        q=lambda params: Normal(params["q"]["loc"], params["q"]["scale"]), f=lambda params, z: (1.3 * z).sum(-1)
    )
    params = {"q": {"loc": torch.tensor([0.4]).double(), "scale": torch.tensor([0.7]).double()}}
    found = variances(antithetic(), problem, params, 2)
    assert found["loc"].item() < 1e-28
    assert found["scale"].item() < 1e-28
    assert variances(pathwise(), problem, params, 2)["scale"].item() == pytest.approx(1.3**2 / 2)


def test_the_variance_of_the_quadratic_cost():
    """2 (a + s e) over a pair is 2 a, and 2 (a + s e) e is 2 s e**2: variances 0 and 8 s**2, of one pair."""
    posed = GaussianCosts("quadratic", 2.0, loc=0.3, scale=1.4).make()
    found = variances(antithetic(), posed.problem, posed.params, 2)
    assert found["loc"].item() < 1e-26
    assert found["scale"].item() == pytest.approx(8 * 1.4**2, rel=1e-10)
    two = variances(pathwise(), posed.problem, posed.params, 2)
    assert two["loc"].item() == pytest.approx(4 * 1.4**2 / 2, rel=1e-10)
    assert two["scale"].item() == pytest.approx((4 * 1.7**2 + 8 * 1.4**2) / 2, rel=1e-10)


def test_an_even_cost_gains_nothing():
    """At its centre a pair of an even cost is one draw twice."""
    posed = GaussianCosts("quadratic", 1.0, loc=1.0, scale=1.0).make()
    pair = variances(antithetic(), posed.problem, posed.params, 2)["scale"].item()
    assert pair == pytest.approx(2 * variances(pathwise(), posed.problem, posed.params, 2)["scale"].item(), rel=1e-10)


@pytest.mark.parametrize("samples", [1, 3])
def test_an_odd_number_is_refused(samples):
    known = bernoulli_decoder(1)
    with pytest.raises(ValueError, match=f"even number of them, not {samples}"):
        antithetic().noise_like(known.problem, known.params, samples)
    assert antithetic().min_samples == 2


class Skewed(Logistic):
    """A family whose standard variate is not symmetric."""

    law = staticmethod(random.gumbel)


def test_what_has_no_mirror_image_is_refused():
    zero = torch.zeros(1)
    problem = Problem(q=lambda params: Skewed(params["q"], zero + 1), f=lambda params, z: z.sum(-1))
    with pytest.raises(ValueError, match="gumbel is not symmetric: use pathwise"):
        antithetic().noise_like(problem, {"q": zero}, 2)
    vae = bernoulli_vae(3, 2, True)
    with pytest.raises(ValueError, match="discrete ones have no gradient"):
        antithetic().noise_like(elbo_sampled_problem(vae, bits(0, 3)), parameters(vae, 0), 2)
