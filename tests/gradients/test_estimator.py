"""The contract of estimators: noise, state, refusals; eager, vmapped and compiled they are one function."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.gradients.references import ESTIMATORS, assert_same, mean_estimate
from tests.models.toys import bernoulli_vae, bits, learned_prior, normal_nodes, normals, parameters, small_vae
from vae_fn import random, tree
from vae_fn.distributions import Categorical, Normal, positive
from vae_fn.gradients import Problem, elbo_problem, elbo_sampled_problem, from_coefficients
from vae_fn.gradients.estimators import CATALOGUE
from vae_fn.gradients.estimators.importance import iwae_rule
from vae_fn.models import heads

SEED = st.integers(0, 2**31)
SCORES = ("rloo", "vimco")
DISCRETE = (*SCORES, "rws")


def model():
    return learned_prior(small_vae(3, 2), 2)


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("batch", [(), (4,), (2, 3)])
def test_the_contract(name, batch):
    estimator, vae = ESTIMATORS[name], model()
    params, x = vae.init(random.key(0)), bits(0, *batch, 3).float()
    problem = elbo_sampled_problem(vae, x)
    specs = estimator.noise_like(problem, params, 5)
    assert specs == random.Noise(random.normal, (5, *batch, 2))
    state = estimator.init(problem, params)
    estimate = estimator.estimate(problem, params, random.draw(random.key(1), specs), state)
    assert estimate.value.shape == batch
    assert estimate.state == state == ()
    assert estimator.name == name
    assert estimator.evaluations(problem.q(params), 3) == (3, 3)
    for grads, leaf in zip(tree.leaves(estimate.grads), tree.leaves(params), strict=True):
        assert (grads.shape, grads.dtype) == (leaf.shape, leaf.dtype)
        assert grads.isfinite().all()


@pytest.mark.parametrize("name", ESTIMATORS)
def test_noise_like_runs_no_network(name):
    vae = model()
    params = vae.init(random.key(0))
    computed = []

    def q(params):
        posterior = vae.posterior(params, torch.zeros(3), None)
        computed.append(type(posterior.loc))
        return posterior

    ESTIMATORS[name].noise_like(elbo_sampled_problem(vae, torch.zeros(3))._replace(q=q), params, 2)
    assert computed
    assert torch.Tensor not in computed


@pytest.mark.parametrize("name", SCORES)
def test_one_sample_has_nobody_to_be_compared_with(name):
    vae = model()
    problem, params = elbo_sampled_problem(vae, bits(0, 3)), parameters(vae, 0)
    for act in (
        lambda: ESTIMATORS[name].noise_like(problem, params, 1),
        lambda: ESTIMATORS[name].estimate(problem, params, normals(0, 1, 2), ()),
    ):
        with pytest.raises(ValueError, match=f"{name} compares samples .* needs at least 2, not 1"):
            act()


@pytest.mark.parametrize("name", ["pathwise", "vimco", "rebar"])
@pytest.mark.parametrize("samples", [0, -1, 2.5, None])
def test_samples_are_whole_numbers(name, samples, unchecked):
    vae = bernoulli_vae(3, 2, True) if name == "rebar" else model()
    problem, params = elbo_sampled_problem(vae, bits(0, 3)), parameters(vae, 0)
    refusal = "samples=.* is out of range: give a whole number, 1 or more"
    with pytest.raises(ValueError, match=refusal):
        CATALOGUE[name].make().noise_like(problem, params, samples)


def test_noise_of_no_samples_is_refused():
    vae = model()
    problem, params = elbo_sampled_problem(vae, bits(0, 3)), parameters(vae, 0)
    with pytest.raises(ValueError, match="samples=0 is out of range"):
        ESTIMATORS["pathwise"].estimate(problem, params, torch.zeros(0, 2), ())


@pytest.mark.parametrize("name", [name for name in ESTIMATORS if name not in DISCRETE])
def test_discrete_samples_have_no_path(name):
    vae = bernoulli_vae(3, 2, True)
    problem, params = elbo_sampled_problem(vae, bits(0, 3)), parameters(vae, 0)
    with pytest.raises(ValueError, match=f"{name} differentiates samples.*use rloo or vimco"):
        ESTIMATORS[name].estimate(problem, params, normals(0, 2, 2), ())


# --- plain costs


def quadratic(target=0.3):
    """E -(z - t)**2 = -(m - t)**2 - s**2 for z ~ N(m, s**2), t fixed."""
    return Problem(
        q=lambda params: Normal(params["q"]["loc"], positive(params["q"]["raw"])),
        f=lambda params, z: -((z - target) ** 2).sum(-1),
    )


def check_plain_cost(name, seed, problem):
    """A plain cost by hand: the mean over noise of gradients, at nodes exact for polynomials."""
    loc, raw = (0.5 + normals(seed + i, 1) for i in range(2))
    params = {"q": {"loc": loc, "raw": raw}}
    nodes, weights = normal_nodes(3, dims=2)
    value, grads = mean_estimate(ESTIMATORS[name], problem, params, nodes.unsqueeze(-1), weights)
    scale = positive(raw)
    torch.testing.assert_close(value, -((loc - 0.3) ** 2 + scale**2).sum(), rtol=1e-12, atol=1e-12)
    exact = {"loc": -2 * (loc - 0.3), "raw": -2 * scale * torch.sigmoid(raw)}
    assert_same(grads, {"q": exact}, 1e-11)


@pytest.mark.parametrize("name", ["pathwise", "stl", "rloo"])
@given(seed=SEED)
def test_plain_costs(name, seed):
    check_plain_cost(name, seed, quadratic())


@pytest.mark.parametrize("name", ["pathwise", "rloo"])
def test_another_cost_or_an_entropy_is_rejected(name):
    for problem in (quadratic(0.31), quadratic()._replace(beta=0.1)):
        with pytest.raises(AssertionError):
            check_plain_cost(name, 0, problem)


def test_plain_costs_of_one_hot_latents():
    """The event may have two axes: the gradient of E f in the logits, by enumeration."""
    logits, costs = normals(0, 1, 3), normals(1, 3)
    problem = Problem(
        q=lambda params: Categorical(params["q"]["logits"]), f=lambda params, z: (z * costs).sum((-2, -1))
    )
    # Gumbel noise that makes class c the winner, for every pair of classes.
    states = torch.cartesian_prod(torch.arange(3), torch.arange(3))
    noise = 100 * torch.nn.functional.one_hot(states, 3).double().unsqueeze(-2)
    weights = torch.softmax(logits[0], 0)[states].prod(-1)
    _, grads = mean_estimate(ESTIMATORS["rloo"], problem, {"q": {"logits": logits}}, noise, weights)
    exact = torch.func.grad(lambda logits: (torch.softmax(logits, -1) * costs).sum())(logits)
    assert_same(grads, {"q": {"logits": exact}}, 1e-12)


def test_importance_estimators_take_plain_costs():
    params = {"q": {"loc": normals(0, 1), "raw": normals(1, 1)}}
    noise = normals(2, 4, 1)
    estimate = ESTIMATORS["iwae"].estimate(quadratic(), params, noise, ())
    f = quadratic().f(params, quadratic().q(params).sample(noise))
    torch.testing.assert_close(estimate.value, f.exp().mean().log())


# --- eager, vmapped, compiled


def check_examples(estimators, seed):
    """Vmapped over examples: the estimates of each alone, and gradients whose sum is the batch's."""
    vae = model()
    params, x, noise = parameters(vae, seed), bits(seed, 4, 3), normals(seed, 3, 4, 2)

    def gradients(x, noise):
        problem = elbo_sampled_problem(vae, x)
        estimates = {name: one.estimate(problem, params, noise, ()) for name, one in estimators.items()}
        return {name: (estimate.value, estimate.grads) for name, estimate in estimates.items()}

    together, each = gradients(x, noise), torch.vmap(gradients, (0, 1))(x, noise)
    alone = [gradients(x[i], noise[:, i]) for i in range(4)]
    for name in estimators:
        torch.testing.assert_close(each[name][0], together[name][0], rtol=1e-12, atol=1e-12)
        assert_same(tree.map(lambda leaf: leaf.sum(0), each[name][1]), together[name][1], 1e-12)
        for i in range(4):
            assert_same(tree.map(lambda leaf, i=i: leaf[i], each[name][1]), alone[i][name][1], 1e-12)


@settings(max_examples=5)
@given(seed=SEED)
def test_vmap_gives_the_gradients_of_each_example(seed):
    check_examples(ESTIMATORS, seed)


def test_averaging_over_the_batch_is_rejected():
    def averaged(problem, params, noise, state):
        estimate = ESTIMATORS["pathwise"].estimate(problem, params, noise, state)
        return estimate._replace(grads=tree.scale(estimate.grads, 1 / max(1, estimate.value.numel())))

    with pytest.raises(AssertionError):
        check_examples({"averaged": ESTIMATORS["pathwise"]._replace(estimate=averaged)}, 0)


BETAS = tuple(torch.tensor(beta, dtype=torch.float64) for beta in (0.5, 1.5))


def check_compiled(gradients, params, backend, betas=BETAS):
    """Two batches of one shape under two values of beta: one graph, equal to eager."""
    compiled = torch.compile(gradients, fullgraph=True, dynamic=False, backend=backend)
    for seed, stance in ((0, "default"), (1, "fail_on_recompile")):
        args = (params, bits(seed, 4, 3), normals(seed, 3, 4, 2), betas[seed])
        with torch.compiler.set_stance(stance):
            made = compiled(*args)
        for name, (value, grads) in gradients(*args).items():
            torch.testing.assert_close(made[name][0], value, rtol=1e-12, atol=1e-12)
            assert_same(made[name][1], grads, 1e-12)


@pytest.mark.usefixtures("fresh_compiler")
def test_compiled_is_eager():
    """The row that pulls all three wires, and the longest one with bits as latents."""
    vae, discrete = model(), bernoulli_vae(3, 2, True)

    def gradients(params, x, noise, beta):
        dense, binary = elbo_sampled_problem(vae, x, beta=beta), elbo_sampled_problem(discrete, x, beta=beta)
        return {
            "iwae": ESTIMATORS["iwae"].estimate(dense, params[0], noise, ())[:2],
            "vimco": ESTIMATORS["vimco"].estimate(binary, params[1], torch.special.ndtr(noise), ())[:2],
        }

    check_compiled(gradients, (parameters(vae, 0), parameters(discrete, 1)), "inductor")


@pytest.mark.usefixtures("fresh_compiler")
def test_all_rows_are_one_graph():
    """Captured whole and run as captured: for time not lowered, since rows differ in a few elementwise operations."""
    vae, full = model(), small_vae(3, 2, posterior=heads.full_normal)

    def gradients(params, x, noise, beta):
        made = {"full": ESTIMATORS["pathwise"].estimate(elbo_problem(full, x, beta=beta), params[1], noise, ())[:2]}
        for name, estimator in ESTIMATORS.items():
            problem = elbo_sampled_problem(vae, x, beta=1.0 if name == "rws" else beta)
            made[name] = estimator.estimate(problem, params[0], noise, ())[:2]
        return made

    check_compiled(gradients, (parameters(vae, 0), parameters(full, 1)), "eager")


@pytest.mark.usefixtures("fresh_compiler")
def test_a_graph_for_each_number_is_rejected():
    def gradients(params, x, noise, beta):
        problem = quadratic()._replace(beta=beta)
        return {"pathwise": ESTIMATORS["pathwise"].estimate(problem, params, noise[:, 0, :1], ())[:2]}

    params = {"q": {"loc": normals(0, 1), "raw": normals(1, 1)}}
    check_compiled(gradients, params, "eager")
    with pytest.raises(RuntimeError, match="recompile"):
        check_compiled(gradients, params, "eager", betas=(0.5, 1.5))


def test_what_claims_the_bound_weighs_samples_and_takes_no_exact_part():
    """An estimator of one's own, which says no more than what it is unbiased for."""
    mine = from_coefficients("mine", iwae_rule, unbiased_for="the K-sample bound")
    vae = model()
    params, x = vae.init(random.key(0)), bits(0, 3).float()
    assert mine.importance_weighted
    assert not from_coefficients("mine", iwae_rule, unbiased_for="nothing: it is biased").importance_weighted
    with pytest.raises(ValueError, match="its KL cannot be exact: use elbo_sampled_problem"):
        mine.init(elbo_problem(vae, x), params)
    assert mine.init(elbo_sampled_problem(vae, x), params) == ()


def test_what_an_estimator_is_unbiased_for_is_said_in_words(unchecked):
    with pytest.raises(TypeError, match=r"unbiased_for must be a str, not None: give 'the ELBO', 'the K-sample bound'"):
        from_coefficients("mine", iwae_rule, unbiased_for=None)
