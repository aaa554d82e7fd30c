"""Score functions with baselines: unbiased at every state; the optimum is one."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.func import grad

from tests.gradients.estimators import discrete
from tests.gradients.estimators.discrete import exact_elbo, integrated
from tests.gradients.estimators.stirred import SCORES, at_state, stirred
from tests.gradients.references import assert_same, gradient
from tests.models.toys import bits, learned_prior, normals, parameters, small_vae
from vae_fn import random, tree
from vae_fn.distributions import MultivariateNormal
from vae_fn.gradients import elbo_problem, elbo_sampled_problem
from vae_fn.gradients.estimators import nvil, reinforce, reinforce_moving_average, reinforce_optimal, rloo
from vae_fn.gradients.estimators.baselines import features
from vae_fn.gradients.estimators.perceptron import perceptron
from vae_fn.gradients.estimators.reinforce import SecondMoments
from vae_fn.gradients.oracles.moments import moments
from vae_fn.gradients.oracles.nodes import enumerate_states
from vae_fn.gradients.published import GaussianCosts
from vae_fn.models import heads
from vae_fn.models.initial import uniform_fan_in
from vae_fn.optimization.optimizers import sgd
from vae_fn.verify.estimators.settings import Setting
from vae_fn.verify.estimators.unbiased import integrated as integrated_at
from vae_fn.verify.problems import bernoulli_decoder, bernoulli_latents, categorical

WITH_STATE = [name for name in SCORES if name != "reinforce"]
SETTINGS = (
    Setting(bernoulli_latents(2, beta=0.7), 1),
    Setting(bernoulli_latents(1), 3),
    Setting(categorical(2, 2), 2),
    Setting(bernoulli_decoder(1, closed_kl=True), 1),
    Setting(bernoulli_decoder(1, beta=0.7), 1),
)
SEED = st.integers(0, 2**31)


# --- means


@pytest.mark.parametrize("name", SCORES)
def test_unbiased_at_any_state(name):
    estimator = at_state(SCORES[name])
    for setting in SETTINGS:
        integrated_at(setting, estimator)(estimator).check()


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize(("kind", "samples"), [("layers", 1), ("layers", 2), ("classes", 1)])
def test_unbiased_with_layers_and_classes(name, kind, samples):
    vae = discrete.VAES[kind]
    params, x = parameters(vae, 1), bits(1, 3)
    problem, estimator = elbo_sampled_problem(vae, x, beta=0.7), at_state(SCORES[name])
    nodes = enumerate_states(problem.q(params), samples)
    mean, _ = integrated(estimator, problem, params, nodes, estimator.init(problem, params))
    torch.testing.assert_close(mean.pop("value")["value"], exact_elbo(vae, params, x, 0.7), rtol=1e-12, atol=1e-12)
    assert_same(mean, discrete.exact_gradient(vae, params, x, 0.7), 1e-10)


def used_at_once(estimator):
    """The baseline is that of this step, its own samples in it."""

    def estimate(problem, params, noise, state):
        return estimator.estimate(problem, params, noise, estimator.estimate(problem, params, noise, state).state)

    return estimator._replace(estimate=estimate)


@pytest.mark.parametrize("name", WITH_STATE)
def test_a_baseline_of_this_step_is_biased(name):
    estimator = SCORES[name]
    if name == "nvil":
        estimator = nvil(optimizer=sgd(0.1))
    wrong = used_at_once(at_state(estimator))
    assert integrated_at(SETTINGS[0], wrong)(wrong).status == "biased"


# --- one draw


@given(seed=SEED, samples=st.integers(1, 4), batch=st.sampled_from([(), (3,), (2, 2)]), closed=st.booleans())
@settings(max_examples=5)
def test_gradients_are_those_of_the_surrogate(seed, samples, batch, closed):
    """(F - b) held, times log q at a held sample; b of this state alone."""
    vae = learned_prior(small_vae(3, 2), 2)
    params, x, noise = parameters(vae, seed), bits(seed, *batch, 3), normals(seed, samples, *batch, 2)
    problem = elbo_problem(vae, x, beta=0.7) if closed else elbo_sampled_problem(vae, x, beta=0.7)
    z = problem.q(params).sample(noise)

    def objective(live, q):
        f = problem.f(live, z)
        return f if closed else f + 0.7 * (problem.p(live).log_prob(z) - q.log_prob(z))

    def surrogate(live, baseline):
        q = problem.q(params)
        exact = problem.exact(live, problem.q(live)).sum() if closed else 0.0
        signal = objective(params, q) - baseline
        return (objective(live, q) + signal * problem.q(live).log_prob(z)).mean(0).sum() + exact

    for name, baseline in baselines(problem, params).items():
        state = stirred(SCORES[name].init(problem, params))
        found = SCORES[name].estimate(problem, params, noise, state)
        assert_same(found.grads, gradient(lambda live, b=baseline: surrogate(live, b), params), 1e-10)
        exact = problem.exact(params, problem.q(params)) if closed else 0.0
        torch.testing.assert_close(found.value, objective(params, problem.q(params)).mean(0) + exact)


def baselines(problem, params):
    """What the state of `stirred` makes of each, by hand."""
    running = stirred(SCORES["reinforce-moving-average"].init(problem, params))
    learned = stirred(SCORES["nvil"].init(problem, params))
    q, net = problem.q(params), learned.network
    hidden = torch.tanh(torch.cat([q.loc, q.scale], -1) @ net["hidden"]["weight"].T + net["hidden"]["bias"])
    predicted = (hidden @ net["out"]["weight"].T + net["out"]["bias"]).squeeze(-1)
    return {
        "reinforce": 0.0,
        "reinforce-moving-average": running.total / running.weight,
        "nvil": predicted + learned.missed.total / learned.missed.weight,
    }


@given(seed=SEED)
@settings(max_examples=5)
def test_each_coordinate_has_its_own_baseline(seed):
    """Of location and scale of every latent, shared by the examples."""
    vae = learned_prior(small_vae(3, 2), 2)
    params, x, noise = parameters(vae, seed), bits(seed, 4, 3), normals(seed, 3, 4, 2)
    problem = elbo_sampled_problem(vae, x)
    state = stirred(reinforce_optimal().init(problem, params), seed % 1000)
    found = reinforce_optimal().estimate(problem, params, noise, state)
    (squares,), (weighted,) = state
    q = problem.q(params)
    scores = {"loc": noise / q.scale, "scale": (noise**2 - 1) / q.scale}
    f = found.info.log_weights.unsqueeze(-1)
    held = {
        name: ((f - getattr(weighted, name) / getattr(squares, name)) * score).mean(0) for name, score in scores.items()
    }

    def surrogate(live):
        return sum((held[name] * getattr(problem.q(live), name)).sum() for name in held)

    assert_same({"encoder": found.grads["encoder"]}, {"encoder": gradient(surrogate, params)["encoder"]}, 1e-10)
    plain = reinforce().estimate(problem, params, noise, ())
    for part in ("decoder", "prior"):
        assert all(map(torch.equal, tree.leaves(found.grads[part]), tree.leaves(plain.grads[part])))


# --- variances


def test_the_best_baseline_is_the_best():
    """At the exact moments the variance is E (F - b)**2 s**2 - g**2; any other b has more."""
    posed = GaussianCosts("cosine", 0.9).make()
    estimator, q = reinforce_optimal(), posed.problem.q(posed.params)
    noise = random.Noise(random.normal, (1, 1))

    def of_scores(e):
        f, scores = posed.problem.f(posed.params, q.sample(e)), q._replace(loc=e / q.scale, scale=(e**2 - 1) / q.scale)
        squares = tree.map(lambda s: s[0] ** 2, scores)
        return squares, tree.map(lambda s: f[0] * s, squares)

    exact = SecondMoments(*((part,) for part in moments(of_scores, noise).mean))

    def variance(state):
        draw = moments(lambda e: estimator.estimate(posed.problem, posed.params, e, state).grads["q"], noise)
        return draw.variance

    best = variance(exact)
    for name in ("loc", "scale"):
        b = getattr(exact.weighted[0], name) / getattr(exact.squares[0], name)

        def second(e, name=name, b=b):
            f, s = posed.problem.f(posed.params, q.sample(e)), e if name == "loc" else e**2 - 1
            return ((f - b) * s / q.scale).squeeze()

        expected = moments(second, noise).variance
        torch.testing.assert_close(best[name].squeeze(), expected, rtol=1e-9, atol=1e-12)
        for factor in (0.98, 1.02):
            other = exact._replace(weighted=tree.scale(exact.weighted, factor))
            assert variance(other)[name] > best[name]
        plain = moments(lambda e: reinforce().estimate(posed.problem, posed.params, e, ()).grads["q"], noise).variance
        assert best[name] < plain[name]


@given(seed=SEED)
@settings(max_examples=5)
def test_two_samples_of_rloo_are_each_other_s_baselines(seed):
    """RLOO at K = 2 is the mean of two REINFORCE draws whose baseline is the other's F, up to -beta s of mean zero."""
    vae = discrete.ONE_LAYER
    params, x = parameters(vae, seed), bits(seed, 3)
    problem = elbo_sampled_problem(vae, x)
    noise = torch.special.ndtr(normals(seed, 2, 2))
    f = rloo().estimate(problem, params, noise, ()).info.log_weights
    estimator = reinforce_moving_average()
    start = estimator.init(problem, params)
    halves = [
        estimator.estimate(
            problem, params, noise[k : k + 1], start._replace(weight=torch.ones_like(start.weight), total=f[1 - k])
        ).grads["encoder"]
        for k in range(2)
    ]
    score = grad(lambda live: problem.q(live).log_prob(problem.q(params).sample(noise)).mean(0))(params)["encoder"]
    expected = tree.map(lambda a, b, s: (a + b) / 2 - s, *halves, score)
    found = rloo().estimate(problem, params, noise, ()).grads["encoder"]
    assert_same({"encoder": found}, {"encoder": expected}, 1e-10)


def test_optimal_baselines_of_full_covariances_are_kept_in_their_dtype():
    """Shapes of layers are found with noise of q's own dtype: a matrix product takes no other."""
    vae = small_vae(4, 2, posterior=heads.full_normal)
    params, problem = parameters(vae, 0), elbo_sampled_problem(vae, bits(0, 3, 4))
    state = reinforce_optimal().init(problem, params)
    found = reinforce_optimal().estimate(problem, params, normals(1, 5, 3, 2), state)
    assert {leaf.dtype for leaf in tree.leaves((state, found.state))} == {torch.float64}


@pytest.mark.parametrize("batch", [2, 3])
def test_a_covariance_shared_by_the_batch_is_each_examples(batch):
    """Also where the batch is as large as the event, and axes cannot be told by their lengths."""
    lower = torch.tensor([[1.0, 0.0], [0.5, 2.0]])
    q = MultivariateNormal(torch.zeros(batch, 2), lower)
    assert torch.equal(features(q), torch.cat([torch.zeros(batch, 2), lower.flatten().expand(batch, 4)], 1))


def test_a_network_for_a_baseline_has_no_key_of_a_run():
    """A run of the same seed draws from other keys."""
    taken = random.split(random.key(0), len(random.Streams._fields))
    drawn = perceptron(0, 3)["hidden"]["bias"]
    assert not any(torch.equal(drawn, uniform_fan_in(3)(key, drawn.shape)) for key in taken)
