"""Estimators of discrete latents with noise of their own: integrated between jumps, bounded, or sampled."""

import pytest
import torch

from vae_fn import random, tree
from vae_fn.gradients.estimators import disarm, rebar, rloo
from vae_fn.gradients.estimators.pairs import from_pairs
from vae_fn.verify.estimators.identities import per_example
from vae_fn.verify.estimators.mutations import share_noise
from vae_fn.verify.estimators.settings import Setting, bound_of, noise_of
from vae_fn.verify.estimators.unbiased import integrated
from vae_fn.verify.mutations.by_kind import mutate
from vae_fn.verify.problems import bernoulli_latents, categorical

BIT, BITS, CLASSES = Setting(bernoulli_latents(1), 3), Setting(bernoulli_latents(2), 2), Setting(categorical(1, 2), 1)


def scaled(estimator, factor):
    def estimate(problem, params, noise, state):
        found = estimator.estimate(problem, params, noise, state)
        return found._replace(grads=tree.scale(found.grads, factor))

    return estimator._replace(estimate=estimate)


@pytest.mark.parametrize(
    ("estimator", "setting", "tier", "factor"),
    [
        (disarm(), BITS, "exact", 1.00001),
        (rebar(), BIT, "exact", 1.00001),
        (rebar(), BITS, "bounded", 1.5),
        (rebar(), CLASSES, "sampled", 1.5),
    ],
    ids=lambda case: getattr(case, "name", str(case)),
)
def test_the_best_tier_that_reaches(estimator, setting, tier, factor):
    check = integrated(setting, estimator)
    verdict = check(estimator)
    assert (verdict.status, verdict.tier) == ("passed", tier), str(verdict)
    assert check(scaled(estimator, factor)).status == "biased"


def test_states_are_not_enumerated_where_jumps_are_named():
    """A relaxation depends on the noise beyond the state that it gives."""
    few, many = (len(noise_of(estimator, BIT).weights) for estimator in (rloo(), rebar()))
    assert few == 8
    assert many > 1000
    blind = rebar()._replace(breaks=None)
    assert not integrated(BIT, blind)(blind).passed


def test_a_bound_is_twice_the_variance():
    found, exact = bound_of(disarm(), BIT), integrated(BIT, disarm())
    assert exact(disarm()).passed
    assert all((leaf >= 0).all() for leaf in tree.leaves(found))
    assert bound_of(rebar(), CLASSES) is None
    assert bound_of(rloo(), BIT) is None


def test_wrong_scores_are_seen_exactly():
    wrong = from_pairs("wrong", lambda logits, uniform, apart: 0.5 * apart)
    assert integrated(BITS, disarm())(wrong).status == "biased"


def test_mutants_die():
    found = mutate(disarm())
    assert found.survived == found.undecided == ()
    assert {"noise: one draw for all K samples", "noise: one draw for the whole batch"} <= set(found.killed)


def test_trees_of_noise_are_shared():
    """Each leaf along the batch, where there is one."""
    known = BITS.known
    problem = known.pose(torch.stack([known.x, 1 - known.x]))
    noise = random.draw(random.key(0), disarm().noise_like(problem, known.params, 2), torch.float64)
    seen = []

    def spy(problem, params, noise, state):
        seen.append(noise)
        return disarm().estimate(problem, params, noise, state)

    for axis in (0, 1):
        share_noise(disarm()._replace(estimate=spy), axis).estimate(problem, known.params, noise, ())
        for leaf, shared in zip(tree.leaves(noise), tree.leaves(seen.pop()), strict=True):
            torch.testing.assert_close(shared, leaf.narrow(axis, 0, 1).expand_as(leaf), rtol=0, atol=0)
    alone = tree.map(lambda leaf: leaf[:, 0], noise)
    share_noise(disarm()._replace(estimate=spy), 1).estimate(known.problem, known.params, alone, ())
    assert all(torch.equal(a, b) for a, b in zip(tree.leaves(alone), tree.leaves(seen.pop()), strict=True))
    assert per_example(share_noise(disarm(), 1), BITS).status == "rejected"
