"""Estimators with states, mirrored or perturbed noise: compiled, vmapped and by example they are the eager ones."""

import pytest
import torch

from tests.gradients.estimators import discrete
from tests.gradients.estimators.stirred import SCORES, stirred
from tests.gradients.references import assert_same
from tests.models.toys import bernoulli_vae, bits, learned_prior, parameters, small_vae
from vae_fn import random, tree
from vae_fn.gradients import elbo_sampled_problem
from vae_fn.gradients.estimators import antithetic, enumeration, gdreg, measure_valued, stl_iwae

GAUSSIAN = {**SCORES, **{each.name: each for each in (antithetic(), measure_valued(), gdreg(), stl_iwae())}}
DISCRETE = {**SCORES, **{each.name: each for each in (measure_valued(), enumeration())}}
LAYERED = {**SCORES, "enumeration": enumeration()}
SUBJECTS = {
    "gaussian": (learned_prior(small_vae(3, 2), 2), GAUSSIAN),
    "bits": (bernoulli_vae(3, 2, True), DISCRETE),
    "layers": (discrete.VAES["layers"], LAYERED),
    "classes": (discrete.VAES["classes"], LAYERED),
}
CASES = [(kind, name) for kind, (_, estimators) in SUBJECTS.items() for name in estimators]


def case(kind, name, batch=4, dtype=torch.float64, seed=0):
    vae, estimators = SUBJECTS[kind]
    estimator, params, x = estimators[name], parameters(vae, seed), bits(seed, batch, 3)
    params, x = tree.map(lambda leaf: leaf.to(dtype), (params, x))
    problem = elbo_sampled_problem(vae, x)
    noise = random.draw(random.key(seed), estimator.noise_like(problem, params, 2), dtype)
    state = stirred(estimator.init(problem, params))
    return (
        estimator,
        vae,
        params,
        x,
        noise,
        tree.map(lambda leaf: leaf.to(dtype) if leaf.is_floating_point() else leaf, state),
    )


def estimate(estimator, vae, params, x, noise, state):
    found = estimator.estimate(elbo_sampled_problem(vae, x), params, noise, state)
    return found.value, found.grads, found.state


def check_examples(kind, name, estimator=None):
    """Vmapped over examples, and one after the other: values in turn, gradients that add up to the batch's."""
    found, vae, params, x, noise, state = case(kind, name)
    estimator = estimator or found
    value, grads, _ = estimate(estimator, vae, params, x, noise, state)
    mapped = torch.vmap(lambda x, noise: estimate(estimator, vae, params, x, noise, state)[:2], (0, 1))
    each_value, each = mapped(x, noise)
    torch.testing.assert_close(each_value, value, rtol=1e-12, atol=1e-12)
    assert_same(tree.map(lambda leaf: leaf.sum(0), each), grads, 1e-11)
    alone = [
        estimate(estimator, vae, params, x[i], tree.map(lambda leaf, i=i: leaf[:, i], noise), state) for i in range(4)
    ]
    torch.testing.assert_close(torch.stack([one[0] for one in alone]), value, rtol=1e-12, atol=1e-12)
    assert_same(tree.add(*(one[1] for one in alone)), grads, 1e-11)


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_examples_are_estimated_apart(kind, name):
    check_examples(kind, name)


def test_a_baseline_of_the_batch_is_seen():
    """One that reads the other examples."""

    def estimate(problem, params, noise, state):
        state = SCORES["reinforce-moving-average"].estimate(problem, params, noise, state).state
        return SCORES["reinforce-moving-average"].estimate(problem, params, noise, state)

    wrong = SCORES["reinforce-moving-average"]._replace(estimate=estimate)
    with pytest.raises(AssertionError):
        check_examples("gaussian", "reinforce-moving-average", wrong)


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_float32_is_close_and_stays(kind, name):
    """Value, gradient and next state have the dtype of the parameters, and the numbers of float64."""
    narrow, wide = (estimate(*case(kind, name, dtype=dtype)) for dtype in (torch.float32, torch.float64))
    for mine, other in zip(tree.leaves(narrow), tree.leaves(wide), strict=True):
        assert mine.dtype == (torch.float32 if other.is_floating_point() else other.dtype)
        torch.testing.assert_close(mine.double(), other.double(), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_the_next_state_is_like_the_first(kind, name):
    estimator, vae, params, x, noise, state = case(kind, name)
    first = estimator.init(elbo_sampled_problem(vae, x), params)
    after = estimate(estimator, vae, params, x, noise, state)[2]
    assert type(first) is type(after)
    for one, other in zip(tree.leaves(first), tree.leaves(after), strict=True):
        assert (one.shape, one.dtype, one.device) == (other.shape, other.dtype, other.device)


COMPILED = {"gaussian": ("nvil", "measure-valued", "gdreg"), "layers": ("reinforce-optimal", "enumeration")}
"""The longest of each kind."""


@pytest.mark.usefixtures("fresh_compiler")
@pytest.mark.parametrize("kind", COMPILED)
def test_compiled_is_eager(kind):
    """Several in one graph, with their next states; a second batch does not compile again."""
    vae, estimators = SUBJECTS[kind]

    def all_of(cases):
        return {name: estimate(estimators[name], vae, *arguments) for name, arguments in cases.items()}

    compiled = torch.compile(all_of, fullgraph=True, dynamic=False, backend="aot_eager")
    for seed, stance in ((0, "default"), (1, "fail_on_recompile")):
        cases = {name: case(kind, name, seed=seed)[2:] for name in COMPILED[kind]}
        with torch.compiler.set_stance(stance):
            made = compiled(cases)
        for one, other in zip(tree.leaves(made), tree.leaves(all_of(cases)), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)
