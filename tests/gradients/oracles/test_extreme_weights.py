"""K-sample bounds of log-weights thousands of nats apart, against binomial sums."""

import math

import pytest
import torch

from vae_fn.gradients.oracles import importance
from vae_fn.gradients.oracles.importance import SATURATED, target_of

APART = 4000.0
SAMPLES = 2000


def column(*values):
    return torch.tensor(values, dtype=torch.float64).unsqueeze(-1)


def half_and_half(samples):
    """E log (1/K) sum w, where w is 1 or exp(-APART) by the toss of a coin."""
    logs = [math.log(count / samples) for count in range(1, samples + 1)]
    masses = [math.comb(samples, count) / 2**samples for count in range(1, samples + 1)]
    return math.fsum(map(float.__mul__, logs, masses)) - APART * 0.5**samples


def found(samples):
    averaged = target_of(samples, 0)(column(-APART, 0.0), column(0.5, 0.5))
    return averaged.value.item(), averaged.lost


def test_weights_that_underflow_are_counted():
    for samples in (2, 50, SAMPLES):
        value, lost = found(samples)
        assert 0 < lost < 1e-12
        assert abs(value - half_and_half(samples)) < 1e-9


def test_a_bound_on_the_tail_that_overflows_is_rejected(monkeypatch):
    def overflowing(centred, weights, samples, u):
        x, t = torch.exp((centred + u).clamp(max=SATURATED)), math.exp(min(u, SATURATED))
        fallen = (weights * torch.exp(-x)).sum(0) ** (samples - 1)
        return fallen * (weights * torch.exp(-x) * torch.log1p(1 / x)).sum(0) + math.exp(-t) * math.log1p(1 / t)

    monkeypatch.setattr(importance, "_above", overflowing)
    value, lost = found(SAMPLES)
    assert math.isnan(lost)
    assert abs(value - half_and_half(SAMPLES)) > 1e-3


def test_a_range_without_end_is_refused():
    with pytest.raises(ValueError, match="log-weights reach more than 20000 nats below their mean"):
        target_of(2, 0)(column(-1e6, 0.0), column(0.5, 0.5))
