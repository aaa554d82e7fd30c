"""The engine: every row of coefficients is its surrogate loss differentiated by autograd, in float64."""

import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.gradients import references
from tests.gradients.references import ESTIMATORS, SURROGATES, assert_same
from tests.models.toys import bernoulli_vae, bits, learned_prior, normals, parameters, small_vae
from vae_fn import tree
from vae_fn.distributions import Normal
from vae_fn.gradients import Coefficients, Problem, elbo_problem, elbo_sampled_problem, from_coefficients, pull
from vae_fn.gradients.estimators import importance, single
from vae_fn.models import heads

SEED = st.integers(0, 2**31)
POSTERIORS = {"normal": heads.normal, "laplace": heads.laplace, "full": heads.full_normal}
CONTINUOUS = st.fixed_dictionaries(
    {
        "posterior": st.sampled_from(sorted(POSTERIORS)),
        "learned": st.booleans(),
        "data": st.sampled_from([1, 4]),
        "latents": st.integers(1, 4),
        "batch": st.sampled_from([(), (1,), (3,), (2, 2)]),
        "samples": st.integers(1, 5),
        "beta": st.sampled_from([1.0, 0.3, 2.0]),
        "seed": SEED,
    }
)
FIXED = {"posterior": "normal", "learned": True, "data": 4, "latents": 2, "batch": (3,), "samples": 3, "seed": 0}


def continuous(posterior, learned, data, latents, batch, samples, beta, seed):
    vae = small_vae(data, latents, posterior=POSTERIORS[posterior])
    vae = learned_prior(vae, latents) if learned else vae
    return vae, parameters(vae, seed), bits(seed, *batch, data), normals(seed, samples, *batch, latents), beta


def discrete(learned, latents, batch, samples, beta, seed):
    vae = bernoulli_vae(3, latents, learned)
    noise = torch.special.ndtr(normals(seed, samples, *batch, latents))
    return vae, parameters(vae, seed), bits(seed, *batch, 3), noise, beta


def check_surrogate(estimator, surrogate, vae, params, x, noise, beta, make=elbo_sampled_problem):
    estimate = estimator.estimate(make(vae, x, beta=beta), params, noise, ())
    assert_same(estimate.grads, references.surrogate_gradient(surrogate, vae, params, x, noise, beta))


def possible(name, samples, beta):
    return max(samples, ESTIMATORS[name].min_samples), 1.0 if name == "rws" else beta


@pytest.mark.parametrize("name", ESTIMATORS)
@given(case=CONTINUOUS)
def test_rows_are_their_surrogates(name, case):
    samples, beta = possible(name, case["samples"], case["beta"])
    check_surrogate(ESTIMATORS[name], SURROGATES[name], *continuous(**{**case, "samples": samples, "beta": beta}))


@given(case=CONTINUOUS)
def test_the_elbo_with_its_exact_part(case):
    check_surrogate(ESTIMATORS["pathwise"], references.surrogate_closed, *continuous(**case), elbo_problem)


@pytest.mark.parametrize("name", ["rloo", "vimco", "rws"])
@given(
    learned=st.booleans(),
    latents=st.integers(1, 4),
    batch=st.sampled_from([(), (3,), (2, 2)]),
    samples=st.integers(2, 5),
    beta=st.sampled_from([1.0, 0.3, 2.0]),
    seed=SEED,
)
def test_rows_with_discrete_latents(name, learned, latents, batch, samples, beta, seed):
    samples, beta = possible(name, samples, beta)
    check_surrogate(ESTIMATORS[name], SURROGATES[name], *discrete(learned, latents, batch, samples, beta, seed))


def altered(rule, **changes):
    """A rule with some coefficients replaced by functions of (coefficients, log-weights, beta)."""

    def mutant(log_weights, beta):
        right = rule(log_weights, beta)
        return right._replace(**{field: change(right, log_weights, beta) for field, change in changes.items()})

    return from_coefficients("mutant", mutant, unbiased_for="nothing", latents="any")


def self_included(right, log_weights, beta):
    return (log_weights - log_weights.mean(0) - beta) / len(log_weights)


MUTANTS = {
    "pathwise: log q held": ("pathwise", altered(single.pathwise_rule, density=lambda c, w, b: 0 * c.density)),
    "pathwise: beta forgotten": ("pathwise", altered(single.pathwise_rule, density=lambda c, w, b: -c.joint)),
    "pathwise: path twice": ("pathwise", altered(single.pathwise_rule, path=lambda c, w, b: 2 * c.path)),
    "stl: log q live": ("stl", altered(single.pathwise_rule)),
    "rloo: self-included baseline": ("rloo", altered(single.rloo_rule, density=self_included)),
    "rloo: no -beta/K": (
        "rloo",
        altered(single.rloo_rule, density=lambda c, w, b: c.density + b * c.joint),
    ),
    "rloo: z left attached": ("rloo", altered(single.rloo_rule, path=lambda c, w, b: torch.ones_like(w))),
    "iwae: log q held": ("iwae", altered(importance.iwae_rule, density=lambda c, w, b: 0 * w)),
    "iwae: weights not normalised": ("iwae", altered(importance.iwae_rule, joint=lambda c, w, b: w.exp())),
    "dreg: weights not squared": ("dreg", altered(importance.dreg_rule, path=lambda c, w, b: torch.ones_like(w))),
    "dreg: beta forgotten": ("dreg", altered(importance.dreg_rule, path=lambda c, w, b: c.joint)),
    "dreg: decoder squared too": ("dreg", altered(importance.dreg_rule, joint=lambda c, w, b: c.joint**2)),
    "vimco: weights' sign": (
        "vimco",
        altered(importance.vimco_rule, density=lambda c, w, b: c.density + 2 * b * c.joint),
    ),
    "vimco: no baseline": (
        "vimco",
        altered(importance.vimco_rule, density=lambda c, w, b: references.log_mean(w) - b * c.joint),
    ),
    "rws: sign": ("rws", altered(importance.wake_rule, density=lambda c, w, b: -c.joint)),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_altered_rows_are_rejected(mutant):
    name, estimator = MUTANTS[mutant]
    _, beta = possible(name, 3, 0.3)
    check_surrogate(ESTIMATORS[name], SURROGATES[name], *continuous(**FIXED, beta=beta))
    with pytest.raises(AssertionError):
        check_surrogate(estimator, SURROGATES[name], *continuous(**FIXED, beta=beta))


# --- the engine itself


@pytest.mark.parametrize("make", [elbo_problem, elbo_sampled_problem])
def test_every_part_is_evaluated_once(make):
    vae, params, x, noise, beta = continuous(**FIXED, beta=0.5)
    problem, calls = make(vae, x, beta=beta), []

    def counting(part):
        fn = getattr(problem, part)
        return fn and (lambda *args: (calls.append(part), fn(*args))[1])

    pull(
        problem._replace(**{part: counting(part) for part in ("q", "f", "p", "exact")}),
        params,
        noise,
        single.pathwise_rule,
    )
    assert sorted(calls) == sorted(part for part in ("q", "f", "p", "exact") if getattr(problem, part))


@given(case=CONTINUOUS)
def test_info_is_what_was_seen(case):
    vae, params, x, noise, beta = continuous(**case)
    info = pull(elbo_sampled_problem(vae, x, beta=beta), params, noise, single.pathwise_rule).info
    model = references.Model(vae, params, x, beta)
    z = model.q.sample(noise)
    torch.testing.assert_close(info.f, model.log_likelihood(z), rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(info.log_weights, model.log_w(z), rtol=1e-11, atol=1e-11)
    assert type(info.posterior) is type(model.q)


@given(seed=SEED)
def test_pulls_are_linear_in_the_coefficients(seed):
    """Each wire alone; together they are any estimator."""
    vae, params, x, noise, _ = continuous(**{**FIXED, "seed": seed}, beta=1.0)
    problem, a, r, c = elbo_sampled_problem(vae, x), *(normals(seed + i, 3, 3) for i in range(3))
    zero = torch.zeros_like(a)

    def pulled(joint, path, density):
        return pull(problem, params, noise, lambda w, beta: Coefficients(w.mean(0), joint, path, density)).grads

    joint, path = pulled(a, zero, zero), tree.add(pulled(a, r, zero), tree.scale(pulled(a, zero, zero), -1.0))
    assert_same(pulled(a, r, c), tree.add(joint, path, pulled(zero, r, c)))


def test_the_name_of_a_rule_stands_first(unchecked):
    with pytest.raises(TypeError, match=r"name must be a str, not the function .*: the name stands first"):
        from_coefficients(single.pathwise_rule, "mine", unbiased_for="the ELBO")
    with pytest.raises(ValueError, match="latents='discret' is unknown: use one of continuous, discrete, any"):
        from_coefficients("mine", single.pathwise_rule, unbiased_for="the ELBO", latents="discret")


def test_inputs_are_left_as_they_were():
    vae, params, x, noise, beta = continuous(**FIXED, beta=0.5)
    copies = tree.clone((params, x, noise))
    for name, estimator in ESTIMATORS.items():
        estimator.estimate(elbo_sampled_problem(vae, x, beta=possible(name, 3, beta)[1]), params, noise, ())
    assert all(torch.equal(a, b) for a, b in zip(tree.leaves(copies), tree.leaves((params, x, noise)), strict=True))


@pytest.mark.parametrize("name", ESTIMATORS)
def test_gradients_of_gradients(name):
    """Nothing is detached: a derivative through an estimate agrees with finite differences."""
    vae, params, x, noise, _ = continuous(**FIXED, beta=1.0)
    direction = tree.map(lambda leaf: torch.sin(torch.arange(leaf.numel()).to(leaf)).reshape(leaf.shape), params)

    def along(step):
        moved = tree.add(params, tree.scale(direction, step))
        grads = ESTIMATORS[name].estimate(elbo_sampled_problem(vae, x), moved, noise, ()).grads
        return sum((leaf**2).sum() for leaf in tree.leaves(grads))

    derivative = torch.func.grad(along)(torch.zeros((), dtype=torch.float64))
    torch.testing.assert_close(derivative, (along(1e-5) - along(-1e-5)) / 2e-5, rtol=1e-7, atol=1e-7)


def check_small_scale(rounded):
    """At scale 1e-6 and location 1 in float32, log q is right from the noise alone."""
    params, noise = {"loc": torch.ones(2)}, torch.tensor([[0.3, -1.2]])
    problem = Problem(
        q=lambda params: Normal(params["loc"], torch.full((2,), 1e-6)),
        f=lambda params, z: 0 * z.sum(-1),
        p=lambda params: Normal(torch.ones(2), torch.ones(2)),
        beta=1.0,
    )
    pulled = pull(problem, params, noise, single.pathwise_rule)
    q, p = (Normal(*tree.map(torch.Tensor.double, family)) for family in (problem.q(params), problem.p(params)))
    z = q.sample(noise.double())
    expected = p.log_prob(z) - q.log_prob(rounded(z))
    torch.testing.assert_close(pulled.value.double(), expected[0], rtol=1e-6, atol=0)


def test_log_weights_come_from_the_noise():
    check_small_scale(lambda z: z)


def test_a_sample_rounded_to_float32_is_rejected():
    with pytest.raises(AssertionError):
        check_small_scale(lambda z: z.float().double())


def whole(log_weights):
    return Coefficients(log_weights.mean(0), *(torch.ones_like(log_weights) for _ in range(3)))


@pytest.mark.parametrize(
    ("spoilt", "given"),
    [
        (lambda found: None, "NoneType"),
        (lambda found: found.value, "Tensor"),
        (lambda found: tuple(found), "tuple"),
        (lambda found: found._replace(value=found.joint), "of (2, 3), (2, 3), (2, 3), (2, 3)"),
        (lambda found: found._replace(path=found.path[0]), "of (3,), (2, 3), (3,), (2, 3)"),
        (lambda found: found._replace(density=0.0), "of (3,), (2, 3), (2, 3), float"),
    ],
)
def test_a_rule_that_gives_something_else_than_its_coefficients_is_told_what_to_return(spoilt, given):
    def rule(log_weights, beta):
        return spoilt(whole(log_weights))

    problem = Problem(lambda params: Normal(params["q"], torch.ones(3, 1)), lambda params, z: -(z**2).sum(-1))
    said = (
        "the rule rule must return Coefficients(value, joint, path, density) of shape (3,) for the value and (2, 3) "
        f"for each of the others, not {given}"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        pull(problem, {"q": torch.zeros(3, 1)}, torch.zeros(2, 3, 1), rule)
