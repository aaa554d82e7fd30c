"""The batteries of estimators: the seven of the package pass, planted faults do not, and mutants tell what is seen."""

import re
import statistics

import numpy as np
import pytest
import torch

from tests.gradients.references import ESTIMATORS
from vae_fn import tree, verify
from vae_fn.errors import place
from vae_fn.gradients import Coefficients, from_coefficients
from vae_fn.gradients.estimators import CATALOGUE, pathwise, rloo, sticking_the_landing
from vae_fn.verify.estimators.battery import estimator, identities, never_runs
from vae_fn.verify.estimators.identities import derivative, every_sample, holds_density, per_example, still
from vae_fn.verify.estimators.mutations import average_batch, mutations, share_noise
from vae_fn.verify.estimators.settings import Setting, battery, refusals
from vae_fn.verify.mutations.by_kind import mutate
from vae_fn.verify.problems import bernoulli_decoder, bernoulli_latents

TWO = Setting(bernoulli_decoder(1), 2)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_estimators_of_the_package_pass(name):
    report = estimator(ESTIMATORS[name])
    assert report.passed, str(report)
    assert len(report.verdicts) >= 7
    assert {verdict.tier for verdict in report.verdicts} == {"bounded", "exact", "deterministic"}


SURVIVORS = {
    "rws": {f"density: {how}" for how in ("1 % more", "negated", "zeroed", "average over K lost", "rolled over K")}
    | {"path: flipped"},
}
"""Of the wake phase the gradient of q is not claimed, so that nothing of it can be lost."""


@pytest.mark.parametrize("name", ["stl", "iwae", "rws"])
def test_mutants_of_the_package_die(name):
    found = mutate(ESTIMATORS[name])
    assert set(found.survived) == SURVIVORS.get(name, set())
    assert len(found.killed) >= 12
    assert f"{len(found.killed)} of {len(found.killed) + len(found.survived)} killed" in str(found)


def self_included(log_weights, beta):
    share = torch.full_like(log_weights, 1 / len(log_weights))
    signal = (log_weights - log_weights.mean(0)) * share
    return Coefficients(log_weights.mean(0), share, 0 * share, signal - beta * share)


def test_a_planted_bug_is_found_and_named():
    mine = from_coefficients("mine", self_included, unbiased_for="the ELBO", min_samples=2, latents="any")
    report = verify.unbiased(mine)
    assert report.status == "biased"
    with pytest.raises(
        verify.Biased, match=r"mean.* of mine on bernoulli_decoder.*where .* is (expected|claimed), at grads/encoder"
    ):
        report.check()
    with pytest.raises(ValueError, match="mine does not pass its own checks"):
        mutate(mine)


def test_one_problem_at_a_time():
    report = verify.unbiased(rloo(), on=bernoulli_latents(2), samples=3)
    assert report.passed
    assert [verdict.tier for verdict in report.verdicts] == ["exact", "bounded"]
    assert all("K=3" in verdict.name for verdict in report.verdicts)


def test_what_is_not_claimed_is_not_covered():
    report = verify.unbiased(pathwise()._replace(unbiased_for="nothing: a sketch"))
    assert report.verdicts == ()
    assert report.not_covered == ("unbiasedness, which it does not claim: nothing: a sketch",)
    with pytest.raises(verify.Inconclusive, match="no check applies"):
        report.check()


def test_a_claim_that_is_not_understood_is_no_pass():
    report = verify.unbiased(pathwise()._replace(unbiased_for="ELBO"))
    with pytest.raises(
        verify.Inconclusive, match="unbiased for 'ELBO', which is not known here: declare 'the ELBO' or"
    ):
        report.check()


def test_refusals_are_in_the_words_of_the_estimator():
    found = refusals(pathwise(), battery())
    assert set(found) == {s.name for s in battery() if s.known.discrete}
    assert all("discrete ones have no gradient" in reason for reason in found.values())
    assert [*refusals(rloo(), battery())] == ["bernoulli_decoder(latents=2, beta=1), K=1"]


def test_a_refusal_of_some_settings_is_none_of_all():
    def paired(log_weights, beta):
        if len(log_weights) != 2:
            raise ValueError("it takes a pair")
        return pathwise().rule(log_weights, beta)

    def broken(log_weights, beta):
        raise ValueError("it takes nothing")

    report = estimator(from_coefficients("mine", paired, unbiased_for="the ELBO"))
    assert report.passed, str(report)
    assert "bernoulli_decoder(latents=1, beta=1), K=3: it takes a pair" in report.not_covered
    for latents, first in (("continuous", "bernoulli_decoder(latents=1"), ("discrete", "bernoulli_latents(latents=1")):
        report = estimator(from_coefficients("mine", broken, unbiased_for="the ELBO", latents=latents))
        assert report.status == "rejected"
        with pytest.raises(verify.Rejected, match=rf"first on {re.escape(first)}.*ValueError: it takes nothing"):
            report.check()


def fails(log_weights, beta):
    raise KeyError("baseline")


def forgets(log_weights, beta):
    log_weights.mean(0)


def fails_in_python_s_library(log_weights, beta):
    statistics.mean([])


def fails_in_what_is_installed(log_weights, beta):
    np.linalg.inv(np.zeros((2, 3)))


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (fails, "KeyError: 'baseline'"),
        (forgets, "ValueError: the rule forgets"),
        (fails_in_python_s_library, "StatisticsError: mean requires"),
        (fails_in_what_is_installed, "LinAlgError: "),
    ],
)
def test_whatever_is_raised_in_all_settings_is_rejected_with_its_line_and_nothing_else_is_tried(rule, said):
    report = estimator(from_coefficients("mine", rule, unbiased_for="the ELBO"))
    (verdict,) = report.verdicts
    assert (verdict.claim, verdict.status) == ("runs", "rejected")
    assert report.not_covered == ("everything else, as it never runs",)
    line = rule.__code__.co_firstlineno + (rule is not forgets)
    assert said in verdict.detail
    assert verdict.detail.endswith(f" ({place(__file__, line)})")


@pytest.mark.parametrize("name", CATALOGUE)
def test_no_estimator_of_the_package_raises_in_all_settings(name):
    assert [*never_runs(CATALOGUE[name].make())] == []


@pytest.mark.parametrize("axis", [0, 1])
def test_shared_noise_is_seen(axis):
    mutant = share_noise(pathwise(), axis)
    assert per_example(mutant, TWO).status == ("passed" if axis == 0 else "rejected")
    assert every_sample(mutant, TWO).status == ("rejected" if axis == 0 else "passed")


def test_identities_by_hand():
    assert derivative(pathwise(), TWO).passed
    assert derivative(sticking_the_landing(), TWO).status == "rejected"
    assert still(sticking_the_landing()).passed
    assert still(pathwise()).status == "rejected"
    assert per_example(average_batch(pathwise()), TWO).status == "rejected"
    assert [holds_density(ESTIMATORS[name]) for name in ("stl", "dreg", "pathwise", "rloo")] == [
        True,
        True,
        False,
        False,
    ]
    assert len(identities(sticking_the_landing())) == 3


def test_numbers_that_are_none_are_not_said_to_be_expected():
    def rule(log_weights, beta):
        return Coefficients(*(torch.nan * part for part in pathwise().rule(log_weights, beta)))

    verdict = per_example(from_coefficients("mine", rule, unbiased_for="the ELBO"), TWO)
    assert verdict.status == "rejected"
    assert verdict.detail == "not finite either way, nan and nan, at value[0]"


def test_every_mutant_has_a_name_of_its_own():
    names = [name for name, _ in mutations(pathwise())]
    assert len(names) == len(set(names)) >= 20


def test_opaque_estimators_are_mutated_by_their_gradients():
    opaque = pathwise()._replace(rule=None)
    found = mutate(opaque)
    assert found.survived == ()
    assert {"gradient: 1 % more", "gradient: negated", "gradient: zeroed"} <= set(found.killed)


def test_a_gradient_in_another_structure_is_a_mistake():
    def estimate(problem, params, noise, state):
        found = pathwise().estimate(problem, params, noise, state)
        return found._replace(grads={"flat": torch.cat([leaf.flatten() for leaf in tree.leaves(found.grads)])})

    with pytest.raises(ValueError, match="draws must have the tree of the expected value"):
        verify.unbiased(pathwise()._replace(estimate=estimate), on=bernoulli_decoder(1))
