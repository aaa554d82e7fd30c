"""What the wake phase follows: against sums over tuples of samples, the estimator's own mean, posteriors, limits."""

import math

import pytest
import torch
from scipy import integrate

from tests.gaps import largest
from tests.gradients.oracles.cases import gap, tuples
from vae_fn import tree
from vae_fn.distributions import Normal, positive
from vae_fn.gradients.estimators import wake as estimator
from vae_fn.gradients.oracles import closed_form, importance
from vae_fn.gradients.oracles.variance import moments_of
from vae_fn.gradients.oracles.wake import phase
from vae_fn.verify.problems import at_posterior, bernoulli_decoder, bernoulli_latents, categorical, linear_gaussian

KNOWN = [(bernoulli_latents(2), 2, 1), (categorical(1, 3), 3, 1), (bernoulli_decoder(1), 2, 150)]


def self_normalised(known, samples, order):
    """E[sum_k w~_k d log q(z_k)] in q's parameters, over all tuples of samples, by torch.distributions and autograd."""
    params = tree.map(lambda leaf: leaf.clone().requires_grad_(), known.params)
    problem = known.problem
    held = problem.q(known.params)
    z, weights = tuples(held, samples, order)
    p = problem.p(known.params).to_torch()
    log_w = problem.f(known.params, z) + p.log_prob(z) - held.to_torch().log_prob(z)
    q = problem.q(params).to_torch()
    total = (weights * (torch.softmax(log_w, 0) * q.log_prob(z)).sum(0)).sum()
    leaves = tree.leaves(params["encoder"])
    return torch.autograd.grad(total, leaves)


@pytest.mark.parametrize(("known", "samples", "order"), KNOWN, ids=lambda case: getattr(case, "name", case))
def test_q_follows_the_self_normalised_scores_and_all_else_the_bound(known, samples, order):
    found = phase(known.problem, known.params, samples)
    bound = importance.bound(known.problem, known.params, samples)
    for mine, theirs in zip(tree.leaves(found.grads["encoder"]), self_normalised(known, samples, order), strict=True):
        assert gap(mine, theirs) <= found.error.grads + 1e-10
    assert gap(found.value, bound.value) < 1e-12
    for network in ("decoder", "prior"):
        assert gap(found.grads[network], bound.grads[network]) < 1e-12
    assert gap(found.grads["encoder"], bound.grads["encoder"]) > 1e-2  # negative: the bound's own gradient in q


def test_it_is_the_mean_of_the_estimator():
    known = bernoulli_latents(2)
    found = phase(known.problem, known.params, 3)
    mean = moments_of(estimator(), known.problem, known.params, 3, ()).mean
    assert gap(found.value, mean["value"]) < 1e-12
    assert gap(found.grads, mean["grads"]) < 1e-12


def test_the_limit_of_many_samples_is_the_score_under_the_posterior():
    """One latent, by scipy: E_{p(z | x)} of the score in q's location and standard deviation."""
    known = linear_gaussian(1)
    problem, params = known.problem, known.params
    q, p = problem.q(params).to_torch(), problem.p(params).to_torch()

    def density(z):
        at = torch.tensor([z], dtype=torch.float64)
        return float((problem.f(params, at) + p.log_prob(at)).exp())

    loc, scale = float(q.mean), float(q.stddev)
    evidence, first, second = (
        integrate.quad(lambda z, n=n: density(z) * ((z - loc) / scale) ** n, -15, 15, epsabs=1e-13)[0] for n in range(3)
    )
    by_loc, by_scale = first / evidence / scale, (second / evidence - 1) / scale
    found = phase(problem, params, math.inf)
    assert float(found.value) == pytest.approx(math.log(evidence), abs=1e-9)
    loc_and_raw = found.grads["encoder"]["bias"]
    raw = (known.params["encoder"]["weight"] @ known.x + known.params["encoder"]["bias"])[1]
    assert float(loc_and_raw[0]) == pytest.approx(by_loc, abs=1e-8)
    assert float(loc_and_raw[1]) == pytest.approx(by_scale * float(torch.sigmoid(raw)), abs=1e-8)
    assert found.method == "posterior"


@pytest.mark.parametrize("order", [12, 27, 40, 60, 90])
def test_the_error_bounds_what_lies_in_the_tails(order):
    """A q narrower than the posterior, so that E w comes from where the nodes weigh least: none may be left out."""
    known = linear_gaussian(2)

    def evidence(params):
        prior = Normal(params["prior"]["loc"], positive(params["prior"]["raw"]))
        model = closed_form.LinearGaussian(prior, **params["decoder"], scale=torch.full_like(known.x, 1.5))
        return closed_form.log_evidence(model, known.x)

    truth, found = closed_form.exact(evidence, known.params), phase(known.problem, known.params, math.inf, order)
    assert 1e-10 < gap(found.value, truth.value) <= found.error.value
    assert gap(found.grads["decoder"], truth.grads["decoder"]) <= found.error.grads


def test_it_is_approached_as_one_over_the_samples():
    known = bernoulli_latents(2)
    limit = phase(known.problem, known.params, math.inf).grads["encoder"]
    gaps = [gap(phase(known.problem, known.params, k).grads["encoder"], limit) for k in (100, 1000, 10_000)]
    for near, far in zip(gaps[1:], gaps, strict=False):
        assert far / near == pytest.approx(10, rel=0.1)


@pytest.mark.parametrize("samples", [2, 50, math.inf])
def test_at_the_posterior_q_is_at_rest(samples):
    known = at_posterior(2)
    found = phase(known.problem, known.params, samples)
    assert largest(leaf.abs().max() for leaf in tree.leaves(found.grads["encoder"])) < 1e-10
    assert largest(leaf.abs().max() for leaf in tree.leaves(found.grads["decoder"])) > 1e-2


def test_a_batch_is_its_examples():
    known = bernoulli_latents(2)
    x = torch.tensor([[0.0, 1, 1], [1, 0, 0], [1, 1, 1]], dtype=torch.float64)
    together = phase(known.pose(x), known.params, 4)
    alone = [phase(known.pose(row), known.params, 4) for row in x]
    assert gap(together.value, torch.stack([each.value for each in alone])) < 1e-12
    assert gap(together.grads, tree.add(*(each.grads for each in alone))) < 1e-12


def test_what_are_no_importance_weights_is_refused():
    closed, tempered = bernoulli_decoder(1, closed_kl=True), bernoulli_latents(1, beta=0.7)
    with pytest.raises(ValueError, match="use elbo_sampled_problem"):
        phase(closed.problem, closed.params, 2)
    with pytest.raises(ValueError, match="set beta to the number 1"):
        phase(tempered.problem, tempered.params, 2)
