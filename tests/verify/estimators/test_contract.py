"""An estimate of another form than the contract's is rejected in words, before anything is held against it."""

import pytest
import torch

from vae_fn import tree
from vae_fn.gradients.estimators import CATALOGUE, pathwise
from vae_fn.verify.estimators.battery import estimator
from vae_fn.verify.estimators.contract import misshapen
from vae_fn.verify.estimators.settings import battery


def giving(change):
    """An estimator whose estimates are changed."""
    right = pathwise()
    return right._replace(estimate=lambda *args: change(right.estimate(*args)))


WRONG = {
    r"a value of shape \(\) for a batch of 3 examples: return one for each, of shape \(3,\)": lambda found: (
        found._replace(value=found.value.sum())
    ),
    "a value 1.0 for a batch of 3 examples: return one for each": lambda found: found._replace(value=1.0),
    "None as grads: return a tree like the parameters, of the sum over the batch": lambda found: found._replace(
        grads=None
    ),
    "grads that are no tree like the parameters, .*: encoder/weight is .* where .* is expected": lambda found: (
        found._replace(grads=tree.map(lambda leaf: leaf[None], found.grads))
    ),
    "grads that are no tree like the parameters, .*: the leaves are flat where encoder/weight": lambda found: (
        found._replace(grads={"flat": torch.ones(3)})
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
