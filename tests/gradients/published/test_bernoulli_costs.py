"""Bits: values and gradients by hand, and the two-point law of the leave-one-out estimator."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.gradients.published.integration import assert_gradient_of, over_states
from vae_fn import verify
from vae_fn.gradients.estimators import rloo
from vae_fn.gradients.published import OneBernoulli, ThreeBernoullis

LOGIT = st.floats(-4, 4)
TARGETS = {"shared": (0.6, 0.51, 0.48), "separate": (0.2, 0.55, 0.9)}


def by_hand(targets, logits) -> float:
    """sum_i p (1 - t)^2 + (1 - p) t^2."""
    p = [1 / (1 + math.exp(-logit)) for logit in logits]
    return sum(p * (1 - t) ** 2 + (1 - p) * t**2 for p, t in zip(p, targets, strict=True))


def law(*targets: float):
    def value(params):
        logits = params["q"]["logits"].tolist()
        return by_hand(targets, logits if len(logits) == len(targets) else logits * len(targets))

    return value


def gradient(posed) -> torch.Tensor:
    return torch.func.grad(over_states(posed.problem))(posed.params)["q"]["logits"]


@given(t=st.floats(-1, 2), logit=LOGIT)
def test_one_bit(t, logit):
    posed = OneBernoulli(t, logit).make()
    assert_gradient_of(over_states(posed.problem), law(t), posed.params)
    p = torch.sigmoid(torch.tensor([logit], dtype=torch.float64))
    torch.testing.assert_close(gradient(posed), p * (1 - p) * (1 - 2 * t), rtol=1e-11, atol=1e-12)


@given(form=st.sampled_from(sorted(TARGETS)), logit=LOGIT)
def test_three_bits(form, logit):
    posed = ThreeBernoullis(form, logit).make()
    assert_gradient_of(over_states(posed.problem), law(*TARGETS[form]), posed.params)
    p, t = torch.sigmoid(torch.tensor(logit, dtype=torch.float64)), torch.tensor(TARGETS[form], dtype=torch.float64)
    each = p * (1 - p) * (1 - 2 * t)
    expected = each if form == "separate" else each.sum(0, keepdim=True)
    torch.testing.assert_close(gradient(posed), expected, rtol=1e-11, atol=1e-12)


def test_another_target_is_seen():
    posed = OneBernoulli(0.499).make()
    with pytest.raises(AssertionError):
        assert_gradient_of(over_states(posed.problem), law(0.49901), posed.params)
    posed = ThreeBernoullis("separate").make()
    with pytest.raises(AssertionError):
        assert_gradient_of(over_states(posed.problem), law(0.2, 0.9, 0.55), posed.params)


@pytest.mark.parametrize("t", [0.45, 0.49, 0.499])
@pytest.mark.parametrize("logit", [0.0, -1.3])
def test_leave_one_out_with_two_samples_takes_two_values(t, logit):
    """It is (1 - 2 t) / 2 where the two bits differ, with probability 2 p (1 - p), and 0 elsewhere."""
    posed, estimator = OneBernoulli(t, logit).make(), rloo()
    nodes = verify.enumerate_states(posed.problem.q(posed.params), 2)
    differ = 2 * math.exp(-logit) / (1 + math.exp(-logit)) ** 2
    mean, variance = differ * (0.5 - t), (0.5 - t) ** 2 * differ * (1 - differ)

    def grads(noise):
        return estimator.estimate(posed.problem, posed.params, noise, ()).grads["q"]["logits"]

    verify.exact(grads, mean, nodes, name="two bits").check()
    verify.exact_variance(grads, variance, nodes, name="two bits", tolerance=1e-13).check()
    shifted = (0.5 - t - 1e-4) ** 2 * differ * (1 - differ)
    assert not verify.exact_variance(grads, shifted, nodes, name="two bits", tolerance=1e-13).passed
