"""What holds of every estimator for discrete latents: examples by themselves, vmapped, compiled."""

import pytest
import torch

from tests.gradients.estimators import discrete
from tests.gradients.estimators.discrete import noise_of
from tests.models.toys import bits, parameters
from vae_fn import tree
from vae_fn.gradients import elbo_problem, elbo_sampled_problem
from vae_fn.gradients.estimators import CATALOGUE

NAMES = ("arm", "disarm", "rebar", "relax", "gumbel-softmax", "straight-through", "st-gumbel", "gumbel-rao")
CASES = [
    (name, model)
    for name in NAMES
    for model in discrete.VAES
    if not (name in ("arm", "disarm") and model == "classes") and not (name in ("rebar", "relax") and model == "layers")
]


def assert_equal(one, other, tolerance=1e-11):
    for a, b in zip(tree.leaves(one), tree.leaves(other), strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("name", "model"), CASES)
def test_a_batch_is_its_examples_added_up(name, model):
    check_examples(CATALOGUE[name].make(), model)


def check_examples(estimator, model):
    """Values in turn and gradients added up, in a loop and vmapped."""
    vae = discrete.VAES[model]
    params, x = parameters(vae, 0), bits(0, 3, 3)
    problem = elbo_sampled_problem(vae, x)
    noise, state = noise_of(estimator, problem, params, 2, 0), estimator.init(problem, params)

    def alone(x, noise):
        found = estimator.estimate(elbo_sampled_problem(vae, x), params, noise, state)
        return found.value, found.grads

    together = estimator.estimate(problem, params, noise, state)
    values, grads = torch.vmap(alone, in_dims=(0, 1))(x, noise)
    assert_equal(values, together.value)
    assert_equal(tree.map(lambda leaf: leaf.sum(0), grads), together.grads)
    each = [alone(x[i], tree.map(lambda leaf, i=i: leaf[:, i], noise)) for i in range(len(x))]
    assert_equal(torch.stack([value for value, _ in each]), values)
    assert_equal(tree.add(*(grads for _, grads in each)), together.grads)


def test_one_noise_for_the_whole_batch_is_rejected():
    disarm = CATALOGUE["disarm"].make()

    def shared(problem, params, noise, state):
        noise = tree.map(lambda leaf: leaf[:, :1].expand_as(leaf) if leaf.ndim == 3 else leaf, noise)
        return disarm.estimate(problem, params, noise, state)

    with pytest.raises(AssertionError):
        check_examples(disarm._replace(estimate=shared), "one")


@pytest.mark.parametrize("name", NAMES)
def test_the_exact_part_is_added(name):
    """With the KL in closed form, log-weights hold f alone, and value and gradient differ by the exact part's."""
    vae, estimator = discrete.VAES["one"], CATALOGUE[name].make()
    params, x = parameters(vae, 0), bits(0, 3, 3)
    problem = elbo_problem(vae, x, beta=0.7, free_bits=0.05)
    noise, state = noise_of(estimator, problem, params, 2, 0), estimator.init(problem, params)
    found = estimator.estimate(problem, params, noise, state)
    bare = estimator.estimate(problem._replace(exact=None), params, noise, state)
    grads, value = torch.func.grad_and_value(lambda params: problem.exact(params, problem.q(params)).sum())(params)
    torch.testing.assert_close((found.value - bare.value).sum(), value, rtol=1e-11, atol=1e-11)
    assert_equal(found.grads, tree.add(bare.grads, grads))


@pytest.mark.usefixtures("fresh_compiler")
def test_compiled_is_eager():
    made = {case: CATALOGUE[case[0]].make() for case in [("disarm", "layers"), ("relax", "one")]}
    params = {model: parameters(discrete.VAES[model], 0) for _, model in made}

    def estimates(params, x, noise, state):
        return {
            case: estimator.estimate(
                elbo_sampled_problem(discrete.VAES[case[1]], x), params[case[1]], noise[case], state[case]
            )[:3]
            for case, estimator in made.items()
        }

    x = bits(1, 4, 3)
    posed = {case: (elbo_sampled_problem(discrete.VAES[case[1]], x), params[case[1]]) for case in made}
    noise = {case: noise_of(estimator, *posed[case], 2, 0) for case, estimator in made.items()}
    state = {case: estimator.init(*posed[case]) for case, estimator in made.items()}
    compiled = torch.compile(estimates, fullgraph=True, dynamic=False, backend="aot_eager")
    assert_equal(compiled(params, x, noise, state), estimates(params, x, noise, state))
