"""Examples in another order, and in parts."""

import pytest
import torch
from torch.nn.functional import batch_norm, layer_norm

from tests.models.toys import small_vae
from tests.verify.properties.functions import normals
from vae_fn import random, verify
from vae_fn.models import objectives

X = normals(0, 5, 3)


def per_example(x, weight):
    return {"y": torch.tanh(x @ weight), "label": (x.sum(-1) > 0), "none": x[:, :0]}


def test_right_functions_pass():
    for check in (verify.permutation, lambda *args, **dims: verify.additive(*args, reduction="none", **dims)):
        check(per_example, X, normals(1, 3, 2), batched=(0, None)).check()
        check(lambda x: x.sin(), X.T, batched=1, out_dims=-1).check()
        check(lambda tree: (tree["x"], tree["i"]), {"x": X, "i": torch.arange(5), "rate": 0.1}).check()
        check(lambda x, noise: (x + noise, x[:, 0]), X, normals(2, 4, 5, 3), batched=(0, 1), out_dims=(1, 0)).check()


@pytest.mark.parametrize("objective", [objectives.elbo, objectives.elbo_sampled, objectives.iwae])
def test_objectives_and_their_gradients(objective):
    vae = small_vae()
    params, x, noise = vae.init(random.key(0)), (X > 0).float(), normals(1, 4, 5, 2)
    dims = (None, 0, 1)

    def terms(params, x, noise):
        return objective(vae, params, x, noise)

    def gradient(params, x, noise):
        return torch.func.grad(lambda params: terms(params, x, noise).objective.sum())(params)

    verify.permutation(terms, params, x, noise, batched=dims).check()
    verify.permutation(gradient, params, x, noise, batched=dims, out_dims=None).check()
    verify.additive(terms, params, x, noise, batched=dims, reduction="none").check()
    verify.additive(gradient, params, x, noise, batched=dims, reduction="sum").check()
    mean = verify.additive(gradient, params, x, noise, batched=dims, reduction="mean")
    assert mean.status == "rejected"


def test_permutation_cannot_see_what_additive_sees():
    for fn in (lambda x: batch_norm(x, None, None, training=True), lambda x: x - x.mean(0)):
        assert verify.permutation(fn, X).passed
        assert verify.additive(fn, X, reduction="none").status == "rejected"
    assert verify.additive(lambda x: layer_norm(x, (3,)), X, reduction="none").passed


@pytest.mark.parametrize("size", [2, 3, 7])
def test_the_first_and_the_last_example_are_no_special_ones(size):
    x = normals(3, size, 2)
    for special in (0, size - 1):
        chosen = torch.arange(size) == special
        assert not verify.permutation(lambda x: torch.where(chosen[:, None], 0, x), x).passed  # noqa: B023
        assert not verify.permutation(lambda x: x[special], x, out_dims=None).passed  # noqa: B023
    assert verify.additive(lambda x: x.mean(), x).passed
    assert not verify.additive(lambda x: x.sum() / max(len(x) - 1, 1), x).passed


def test_sums_that_cancel_are_equal_to_rounding():
    """The mean of centred data is 0 up to its rounding, another one in every order."""
    x = normals(4, 1000, 3).double()
    centred = x - x.mean(0)
    assert verify.permutation(lambda x: x.mean(0), centred, out_dims=None).passed
    assert verify.additive(lambda x: x.mean(0), centred).passed


def test_results_without_a_batch():
    for verdict in (
        verify.permutation(lambda x: x.sum(), X),
        verify.additive(lambda x: x[:3], X, reduction="none"),
        verify.additive(lambda x: {"a": x.T}, X, reduction="none"),
    ):
        assert verdict.status == "rejected"
        assert "without 5 in dimension 0" in verdict.detail


def test_what_does_not_take_single_examples():
    verdict = verify.additive(lambda x: x @ torch.ones(3).double() + x[:, 0].reshape(5), X)
    assert verdict.status == "rejected"
    assert "does not take singles" in verdict.detail


def test_batches_that_do_not_fit_are_refused():
    for args, dims in [((X, X[:3]), 0), ((X[:1],), 0), ((X,), None)]:
        for check in (verify.permutation, verify.additive):
            with pytest.raises(ValueError, match="at least two examples"):
                check(lambda *args: args[0], *args, batched=dims)


def test_examples_that_are_all_the_same_tell_nothing():
    same = {"x": torch.ones(4, 2), "i": torch.zeros(4, dtype=torch.int64)}
    assert verify.permutation(lambda x: x["x"] - x["x"][0], same).status == "inconclusive"
    assert verify.additive(lambda x: x["x"] - x["x"].mean(0), same, reduction="none").status == "inconclusive"
    different = {**same, "i": torch.arange(4)}
    assert verify.permutation(lambda x: x["x"] * x["i"][:, None], different).passed


def test_what_is_not_a_number_agrees_with_nothing():
    for fn in (lambda x: x * torch.nan, lambda x: x.log()):
        for verdict in (verify.permutation(fn, X), verify.additive(fn, X, reduction="none")):
            assert verdict.status == "inconclusive"
            assert "not a number" in verdict.detail


def test_a_dimension_that_is_not_there_is_refused():
    for check in (verify.permutation, verify.additive):
        with pytest.raises(ValueError, match=r"x of shape \(5, 3\) has no dimension 5"):
            check(lambda x: x, X, batched=5)
    with pytest.raises(ValueError, match="as many in every batched argument"):
        verify.permutation(lambda x: x["a"], {"a": X, "b": X[:2]})
