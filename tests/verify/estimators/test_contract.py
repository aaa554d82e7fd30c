"""An estimate of another form than the contract's is rejected in words, before anything is held against it."""

import pytest
import torch

from vae_fn import tree
from vae_fn.errors import place
from vae_fn.gradients import from_coefficients
from vae_fn.gradients.estimators import CATALOGUE, pathwise
from vae_fn.gradients.estimators.importance import iwae_rule
from vae_fn.verify.estimators.battery import estimator
from vae_fn.verify.estimators.contract import misshapen
from vae_fn.verify.estimators.settings import battery
from vae_fn.verify.estimators.unbiased import unbiased


def giving(change):
    """An estimator whose estimates are changed."""
    right = pathwise()
    return right._replace(estimate=lambda *args: change(right.estimate(*args)))


WRONG = {
    r"a tensor of shape \(\) as value for a batch of 3 examples: return a tensor of shape \(3,\)": (
        lambda found: found._replace(value=found.value.sum())
    ),
    r"1.0 as value for a batch of 3 examples: return a tensor of shape \(3,\), one number for each": (
        lambda found: found._replace(value=1.0)
    ),
    r"an ndarray of float64 and shape \(3,\) as value for a batch of 3 examples: return a tensor of shape \(3,\)": (
        lambda found: found._replace(value=found.value.detach().numpy())
    ),
    "None as grads: return a tree like the parameters, of the sum over the batch": lambda found: found._replace(
        grads=None
    ),
    "grads that are no tree like the parameters, .*: encoder/weight is .* where .* is expected": lambda found: (
        found._replace(grads=tree.map(lambda leaf: leaf[None], found.grads))
    ),
    "grads that are no tree like the parameters, .*: the leaves are flat where encoder/weight": lambda found: (
        found._replace(grads={"flat": torch.ones(3)})
    ),
    "grads that are no tree like the parameters, .*: the keys are 'encoder/weight', .* where 'encoder', ": (
        lambda found: found._replace(grads=tree.flat_names(found.grads))
    ),
    "grads that are no tree like the parameters, .*: encoder/weight is 'none', no tensor": lambda found: found._replace(
        grads=tree.map(lambda leaf: "none", found.grads)
    ),
    "grads that are no tree like the parameters, .*: encoder/weight is an ndarray of .*, no tensor": lambda found: (
        found._replace(grads=tree.map(lambda leaf: leaf.detach().numpy(), found.grads))
    ),
    "a tuple: return a vae_fn.gradients.Estimate": lambda found: (found.value, found.grads),
}


@pytest.mark.parametrize("said", WRONG)
def test_another_form_is_rejected_by_name(said, unchecked):
    report = estimator(giving(WRONG[said]))
    (verdict,) = report.verdicts
    assert (verdict.claim, verdict.status) == ("shapes", "rejected")
    assert report.not_covered == ("everything else: it needs the shapes",)
    with pytest.raises(AssertionError, match=f"estimate gives {said}"):
        report.check()


@pytest.mark.parametrize("name", CATALOGUE)
def test_the_estimators_of_the_package_keep_the_form(name):
    assert [*misshapen(CATALOGUE[name].make(), battery())] == []


def backwards(grads):
    return {name: backwards(part) if isinstance(part, dict) else part for name, part in reversed(grads.items())}


def test_the_order_of_a_dictionary_of_gradients_does_not_count(unchecked):
    mine = giving(lambda found: found._replace(grads=backwards(found.grads)))
    report, expected = estimator(mine), estimator(pathwise())
    assert report.passed, str(report)
    assert [verdict.claim for verdict in report.verdicts] == [verdict.claim for verdict in expected.verdicts]


def test_an_estimator_that_takes_no_batch_is_rejected_with_its_line():
    right = pathwise()

    def estimate(problem, params, noise, state):
        found = right.estimate(problem, params, noise, state)
        if found.value.ndim:
            raise KeyError("one at a time")
        return found

    report = estimator(right._replace(estimate=estimate))
    (verdict,) = report.verdicts
    assert (verdict.claim, verdict.status) == ("runs", "rejected")
    line = place(__file__, estimate.__code__.co_firstlineno + 3)
    assert verdict.detail.startswith("it raises on every batch that its latents and samples allow, first on ")
    assert verdict.detail.endswith(f"KeyError: 'one at a time' ({line})")


def test_a_batch_that_one_setting_refuses_is_looked_at_in_the_next():
    right = pathwise()

    def noise_like(problem, params, samples):
        if samples == battery()[0].samples:
            raise ValueError("not so many")
        return right.noise_like(problem, params, samples)

    assert [*misshapen(right._replace(noise_like=noise_like), battery())] == []


def test_a_bound_of_ones_own_is_judged_where_no_part_is_exact():
    """It says no more than what it is unbiased for; the wrong one is told by its mean."""
    right = from_coefficients("mine", iwae_rule, unbiased_for="the K-sample bound")
    assert estimator(right).passed
    wrong = right._replace(estimate=pathwise().estimate)
    assert {verdict.status for verdict in estimator(wrong).verdicts} > {"biased"}


@pytest.mark.parametrize("check", [estimator, unbiased])
@pytest.mark.parametrize(
    "other", [pathwise, lambda problem, params, noise: None, "pathwise"], ids=["uncalled", "estimate", "name"]
)
def test_what_is_no_estimator_is_an_error_that_says_how_one_is_made(check, other, unchecked):
    with pytest.raises(
        TypeError, match=r"must be an Estimator, not .*: call what makes one, as in estimators.pathwise\(\)"
    ):
        check(other)
