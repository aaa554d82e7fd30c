"""What an estimator keeps between estimates, in its state and elsewhere, and estimates that are no numbers."""

import pytest
import torch

from vae_fn import tree
from vae_fn.gradients.estimators import pathwise
from vae_fn.verify.estimators.battery import estimator
from vae_fn.verify.estimators.identities import pure_estimate
from vae_fn.verify.estimators.settings import Setting
from vae_fn.verify.estimators.unbiased import ESTIMATES, sampled, unbiased
from vae_fn.verify.problems import bernoulli_decoder

TWO = Setting(bernoulli_decoder(1), 2)
RIGHT = pathwise()


def counting(factor):
    """An estimator that counts its estimates in its state, and is wrong by a factor of the count after the first."""

    def estimate(problem, params, noise, state):
        found = RIGHT.estimate(problem, params, noise, ())
        grads = tree.scale(found.grads, torch.where(state["count"] > 0, factor, 1.0))
        return found._replace(grads=grads, state={"count": state["count"] + 1})

    return RIGHT._replace(
        name="counting", init=lambda problem, params: {"count": torch.zeros(())}, estimate=estimate, rule=None
    )


def test_a_bias_that_comes_with_the_state_is_seen():
    first, *_, last = unbiased(counting(1.01), [TWO]).verdicts
    assert first.passed
    assert last.status == "biased"
    assert last.name.endswith(f"after {ESTIMATES} estimates")
    assert unbiased(counting(1.0), [TWO]).check().passed
    assert len(unbiased(counting(1.0), [TWO]).verdicts) == len(unbiased(RIGHT, [TWO]).verdicts) + 1


CALLS = {"estimates": 0}


def keeping(problem, params, noise, state):
    CALLS["estimates"] += 1
    return RIGHT.estimate(problem, params, noise, state)


def writing(problem, params, noise, state):
    found = RIGHT.estimate(problem, params, noise, state)
    params["encoder"]["bias"].mul_(1.01)
    return found


@pytest.mark.parametrize("wrong", [keeping, writing])
def test_what_is_kept_elsewhere_is_seen(wrong):
    assert pure_estimate(RIGHT, TWO).passed
    assert pure_estimate(RIGHT._replace(estimate=wrong), TWO).status == "rejected"


def test_the_battery_holds_an_estimator_to_be_pure():
    report = estimator(RIGHT._replace(estimate=keeping))
    assert [verdict.claim for verdict in report.verdicts if not verdict.passed] == ["pure"]


def test_estimates_that_are_no_numbers_are_rejected_and_have_no_variance():
    def estimate(problem, params, noise, state):
        found = RIGHT.estimate(problem, params, noise, state)
        return found._replace(grads=tree.scale(found.grads, torch.nan))

    wrong = RIGHT._replace(estimate=estimate)
    assert sampled(TWO, wrong).status == "inconclusive"
    assert unbiased(wrong, [TWO]).status == "rejected"
