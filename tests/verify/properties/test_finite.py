"""Envelopes: found, promised, and missed."""

import re

import pytest
import torch

from tests.models.toys import small_vae
from tests.verify.properties.functions import normals
from vae_fn import random, verify
from vae_fn.distributions import Normal, kl, positive
from vae_fn.models import objectives
from vae_fn.verify.properties.arguments import arguments
from vae_fn.verify.properties.envelope import magnitudes, points, space


def divergence(loc, raw):
    return kl(Normal(loc, positive(raw)), Normal(torch.zeros_like(loc), torch.ones_like(loc)))


@pytest.mark.parametrize(
    ("dtype", "envelope"), [(torch.float32, 1e19), (torch.bfloat16, 1e19), (torch.float64, 1e154)], ids=str
)
def test_the_envelope_of_a_divergence(dtype, envelope):
    """Squares overflow at the root of the largest number."""
    zero = torch.zeros(1, dtype=dtype)
    verdict = verify.finite(divergence, zero, zero).check()
    assert verdict.statistic == pytest.approx(envelope)
    assert verdict.gap == 0


@pytest.mark.parametrize(("edge", "envelope"), [(88.0, 10.0), (1e4 + 1, 1e4), (3e5, 1e5)])
def test_the_envelope_ends_where_the_function_does(edge, envelope):
    def function(tree):
        return {"y": torch.where(tree["x"].abs() > edge, torch.inf, tree["x"])}

    given = {"x": torch.zeros(2, 2), "none": torch.empty(0)}
    verdict = verify.finite(function, given, promise=1e4)
    assert verdict.statistic == envelope
    assert verdict.passed == (envelope >= 1e4)
    assert verify.finite(function, given, promise=2e4).passed == (envelope >= 1e5)
    if not verdict.passed:
        assert verdict.coordinate == "y"
        assert verdict.gap == 1e4 - envelope


def test_gradients_count_and_every_number_for_itself():
    """The value is finite at all x, the slope of the second number alone is not."""

    def function(x):
        return (x[0].sqrt() * 0).nan_to_num() + torch.where(x[1] == -25, x[1] * 0 + (x[1] + 25).sqrt(), x[1])

    verdict = verify.finite(function, torch.zeros(2))
    assert verdict.status == "rejected"
    assert verdict.coordinate == "the gradient in x"


def test_domains_are_kept():
    def function(x, target, noise):
        return torch.where((target >= 0) & (target <= 1) & (noise["z"].abs().max() <= 8), x, torch.nan)

    args = torch.zeros(2), torch.tensor(0.5), {"z": torch.zeros(3, 1)}
    domains = {"target": (0.0, 1.0), "noise": (-8.0, 8.0)}
    assert verify.finite(function, *args, domains=domains).passed
    assert not verify.finite(function, *args, domains={**domains, "noise/z": (-9.0, 9.0)}).passed
    assert verify.finite(lambda x, y: x / y, torch.ones(1), torch.ones(1), domains={"y": None}).passed
    assert not verify.finite(lambda x, y: x / y, torch.ones(1), torch.ones(1)).passed


def test_an_objective_in_its_raw_outputs():
    """The tutorial's promise on a network: parameters stay, biases are scaled."""
    vae = small_vae()
    params = vae.init(random.key(0))
    biases = {part: {name: own[name] for name in own if "bias" in name} for part, own in params.items()}

    def objective(biases, x, noise):
        return objectives.elbo(vae, {part: params[part] | biases[part] for part in params}, x, noise)

    domains = {"x": (0.0, 1.0), "noise": (-8.0, 8.0)}
    verify.finite(objective, biases, torch.zeros(3), torch.zeros(1, 2), domains=domains).check()


def test_few_leaves_meet_in_all_combinations():
    """A single bad pair among a thousand is seen."""
    verdict = verify.finite(
        lambda x, y: x + y + torch.where((x == -25) & (y == 1e-8), torch.nan, 0), *[torch.zeros(())] * 2
    )
    assert verdict.status == "rejected"
    assert "x = -25, y = 1e-08" in verdict.detail


def test_points_have_all_signs_and_sizes():
    varied = space(arguments(lambda x: x, (torch.zeros(3),)), {})
    found = points(varied, 1e4, random.key(0))["x"]
    assert found.abs().max() == 1e4
    assert {0.0, 1e4, -1e4, 745.0, -745.0} <= set(found[:, 0].tolist())
    assert (found[:, 0] != found[:, 1]).any()
    assert magnitudes(3e3, varied)[:5] == [1, 10, 100, 1e3, 3e3]
    assert magnitudes(3e3, varied)[-1] == pytest.approx(1e38)


def test_what_cannot_be_vmapped_is_not_judged():
    verdict = verify.finite(lambda x: x if x.sum() > 0 else -x, torch.ones(2))
    assert verdict.status == "inconclusive"
    assert "parity" in verdict.detail
    assert re.search(r" \(.*test_finite\.py, line \d+\)$", verdict.detail), verdict.detail


def test_what_means_nothing_is_refused():
    x = torch.zeros(2)
    with pytest.raises(ValueError, match="called y: there are x"):
        verify.finite(lambda x: x, x, domains={"y": None})
    with pytest.raises(ValueError, match="leave out one of x"):
        verify.finite(lambda x: x, x, domains={"x": (0.0, 1.0)})
    with pytest.raises(ValueError, match="above 0"):
        verify.finite(lambda x: x, x, promise=0.0)
    with pytest.raises(ValueError, match="no floating-point numbers"):
        verify.finite(lambda x: x > 0, x)
    with pytest.raises(RuntimeError, match="size"):
        verify.finite(lambda x: x @ normals(0, 3), x)


@pytest.mark.parametrize("domain", [(1.0, 0.0), (float("nan"), 1.0), (0.0, float("inf"))])
def test_a_domain_without_an_inside_is_refused(domain):
    with pytest.raises(ValueError, match=r"the domain of y is \(low, high\)"):
        verify.finite(lambda x, y: x * y, torch.zeros(1), torch.zeros(1), domains={"y": domain})


def test_what_cannot_be_tried_is_refused():
    with pytest.raises(ValueError, match="no floating-point arguments"):
        verify.finite(lambda i: 1.5 * i, torch.arange(3))
    with pytest.raises(ValueError, match="a magnitude"):
        verify.finite(lambda x: x, torch.zeros(1), promise=float("inf"))
