import pytest
import torch

from vae_fn import verify
from vae_fn.verify.batteries.functions import other_values
from vae_fn.verify.properties.arguments import arguments

X, W = torch.linspace(-1, 1, 6).reshape(3, 2), torch.linspace(-2, 1, 4).reshape(2, 2)


def affine(x, w):
    return torch.tanh(x @ w)


def claims(report):
    return {verdict.claim: verdict.status for verdict in report.verdicts}


def test_a_pure_function(fresh_compiler):
    found = verify.function(affine, verify.Example((X, W), domains={}, batched=(0, None)))
    names = ("pure", "parity", "no_recompile", "gradients", "finite", "permutation", "additive")
    assert claims(found) == dict.fromkeys(names, "passed")
    assert found.name.endswith("affine")


def test_what_the_example_does_not_say_is_not_covered(fresh_compiler):
    found = verify.function(affine, (X, W))
    assert claims(found) == dict.fromkeys(("pure", "parity", "no_recompile", "gradients"), "passed")
    assert sum("vae_fn.verify.Example" in sentence for sentence in found.not_covered) == 2


def test_integers_have_no_gradients(fresh_compiler):
    found = verify.function(lambda i: 2 * i, (torch.arange(3),), name="double")
    assert claims(found) == dict.fromkeys(("pure", "parity", "no_recompile"), "passed")
    assert "gradients, finite: there are no floating-point arguments" in found.not_covered


def test_truth_values_have_no_gradients_and_zeros_show_little(fresh_compiler):
    found = verify.function(lambda x: x > -1, (torch.zeros(3),), name="sign")
    assert claims(found) == dict.fromkeys(("pure", "parity", "no_recompile"), "passed")
    assert "gradients, finite: the result has no floating-point numbers" in found.not_covered
    assert any("not all 0" in sentence for sentence in found.not_covered)


def test_a_reduction_that_is_none_is_refused():
    with pytest.raises(ValueError, match="sum, mean, none"):
        verify.function(affine, verify.Example((X, W), batched=(0, None), reduction="max"))


def test_a_sum_over_the_batch_and_a_python_number(fresh_compiler):
    def total(x, rate):
        return rate * x.square().sum()

    found = verify.function(total, verify.Example((X, 0.5), batched=(0, None), reduction="sum"), name="total")
    assert claims(found)["permutation"] == claims(found)["additive"] == claims(found)["parity"] == "passed"
    assert claims(found)["no_recompile"] == "rejected"
    assert found.status == "rejected"


def test_other_values_are_near_and_keep_what_is_no_number():
    given = arguments(lambda x, rate, words, index: x, (X, 0.5, "words", torch.arange(3)))
    found = other_values(given, "test").tuple
    assert 0.45 <= found[1] < 0.5
    assert bool((found[0].abs() < X.abs()).all())
    assert found[2] == "words"
    assert torch.equal(found[3], torch.arange(3))
