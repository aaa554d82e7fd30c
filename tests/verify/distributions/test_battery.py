"""The battery passes what is right, of every family and of strangers, and says what it left out."""

import math

import pytest
import torch
from hypothesis import given, settings

from tests.distributions.families import CLOSED, OPEN, Case, moderate, names
from tests.verify.distributions.families import Banana, Die, Exponential, LogNormal
from vae_fn.distributions import Bernoulli, Laplace, MultivariateNormal, Normal
from vae_fn.verify import Rejected, distribution
from vae_fn.verify.mutants.distributions import NORMAL, PRIOR, altered, claim

ALL = (*CLOSED, *OPEN)
NOT_INTEGRATED = "normalised, law, mean"

Z = torch.tensor([0.4, -1.3], dtype=torch.float64)


@pytest.mark.parametrize("pair", [pair for pair in ALL if MultivariateNormal not in pair], ids=lambda p: names((p,))[0])
@settings(max_examples=2)
@given(case=moderate)
def test_every_family_and_pair_passes(pair, case):
    report = distribution(case.make(pair[0], "q"), p=case.make(pair[1], "p", batch=())).check()
    assert not any(NOT_INTEGRATED in sentence for sentence in report.not_covered)


@pytest.mark.parametrize("other", [MultivariateNormal, Laplace], ids=names((MultivariateNormal, Laplace)))
def test_dependent_coordinates_pass(other):
    case = Case(seed=1, batch=(), shift=1.5)
    report = distribution(case.make(MultivariateNormal, "q"), p=case.make(other, "p")).check()
    assert {"normalised", "law", "kl", "kl gradient"} <= {verdict.claim for verdict in report.verdicts}


@pytest.mark.parametrize("spread", [0.0, 3.0])
@pytest.mark.parametrize("pair", [(Normal, Laplace), (Laplace, Laplace), (Bernoulli, Bernoulli)])
def test_far_apart_and_of_unequal_scales_passes(pair, spread):
    case = Case(seed=2, batch=(2,), shift=8.0, spread=spread)
    distribution(case.make(pair[0], "q"), p=case.make(pair[1], "p")).check()


@pytest.mark.parametrize("scale", [1e-8, 1e-3, 1e4])
def test_small_and_large_scales_pass(scale):
    q, p = Normal(Z, scale * torch.tensor([1.0, 3.0])), Normal(torch.zeros(2), torch.tensor([1.0, 0.5]))
    distribution(q, p=p).check()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_narrow_dtypes_pass(dtype):
    q = Normal(torch.tensor([[0.7, -1.0]], dtype=dtype), torch.tensor([[0.5, 2.0]], dtype=dtype))
    assert distribution(q).check().passed


@pytest.mark.parametrize(
    ("logits", "shape"), [([30.0, -30.0], (2,)), ([16.0, -14.0], (2,)), ([0.3] * 30, (30,))], ids=str
)
def test_saturated_and_long_bits_pass(logits, shape):
    report = distribution(Bernoulli(torch.tensor(logits)), p=Bernoulli(torch.zeros(shape))).check()
    assert any(NOT_INTEGRATED in sentence for sentence in report.not_covered) == (len(logits) == 30)


STRANGERS = {
    "exponential": (Exponential(torch.tensor([0.3, 2.0])), {"inverse", "to_torch", "noise form at scale 1e-8"}),
    "log-normal": (LogNormal(Z[:1], torch.tensor([-0.5]).double()), set()),
    "banana": (Banana(torch.tensor(0.7)), {"inverse", "to_torch", "noise form at scale 1e-8", "batches"}),
    "die": (Die(torch.tensor([[0.1, 1.0, -0.5], [0.3, 0.2, 0.1]])), {"to_torch"}),
    "wide normal": (Normal(torch.zeros(300), torch.ones(300)), {NOT_INTEGRATED, "change of variables"}),
    "three dependent": (MultivariateNormal(torch.zeros(3), torch.ones(3, 3).tril()), {NOT_INTEGRATED}),
    "shared scale": (Normal(torch.zeros(4, 2), torch.ones(2)), {"batches"}),
}


@pytest.mark.parametrize("name", STRANGERS)
def test_strangers_pass_and_what_is_left_out_is_said(name):
    q, missing = STRANGERS[name]
    report = distribution(q).check()
    assert {sentence.split(":")[0] for sentence in report.not_covered} == missing


def test_a_stranger_s_divergence():
    q, p = Exponential(torch.tensor([0.3, 2.0])), Exponential(torch.tensor([1.0, 1.5]))

    def closed(q, p):
        excess = p.rate / q.rate - 1
        return (excess - torch.log1p(excess)).sum(-1)

    def cancelling(q, p):
        return (q.rate.log() - p.rate.log() + p.rate / q.rate - 1).sum(-1)

    distribution(q, p=p, closed_form=closed).check()
    found = distribution(q, p=p, closed_form=lambda q, p: closed(q, p) + 1e-7)
    assert {v.claim for v in found.verdicts if not v.passed} == {"kl", "kl at equality"}
    found = distribution(q, p=p, closed_form=cancelling)
    assert [v.claim for v in found.verdicts if not v.passed] == ["kl at equality"]
    assert "kl: the pair has no closed form" in distribution(q, p=p).check().not_covered


WRONG_STRANGERS = {
    "exponential of another rate": ("law", Exponential, {"sample": lambda q, u: -torch.log(u) / q.rate**1.1}),
    "banana bent the other way": ("law", Banana, {"sample": lambda q, e: Banana(-q.bend).sample(e)}),
    "banana of too much mass": ("normalised", Banana, {"log_prob": lambda q, z: Banana(q.bend).log_prob(z) + 1e-8}),
    "loaded die": ("law", Die, {"sample": lambda q, u: Die(1.2 * q.weights).sample(u)}),
    "die of too much mass": ("normalised", Die, {"log_prob": lambda q, z: Die(q.weights).log_prob(z) + 1e-8}),
    "mean of the exponential": ("sampled mean", Exponential, {"mean": property(lambda q: 1.2 / q.rate)}),
}


@pytest.mark.parametrize("name", WRONG_STRANGERS)
def test_wrong_strangers_are_rejected(name):
    expected, family, members = WRONG_STRANGERS[name]
    q = next(q for q, _ in STRANGERS.values() if type(q) is family)
    found = claim(distribution(altered(q, **members)), expected)
    assert found.status in ("rejected", "biased"), found


def test_a_wrong_log_ratio_is_rejected_by_draws():
    wrong = altered(NORMAL, log_prob_from_noise=lambda q, noise, value: q.log_prob(value) - 0.4)
    assert claim(distribution(wrong, p=PRIOR), "sampled kl").status == "biased"
    assert claim(distribution(NORMAL, p=PRIOR), "sampled kl").passed


def test_missed_states_are_inconclusive():
    """A face of one in a hundred thousand is not drawn: the mass of the others is not 1."""
    verdict = claim(distribution(Die(torch.tensor([[0.0, 0.0, -11.0]]))), "normalised")
    assert verdict.status == "inconclusive"
    assert "states()" in verdict.detail


def test_other_shapes_end_the_battery():
    wrong = altered(NORMAL, log_prob=lambda q, value: q.scale.log() - value)
    report = distribution(wrong)
    assert [verdict.claim for verdict in report.verdicts] == ["shapes"]
    with pytest.raises(Rejected, match=r"log_prob of \(\) draws is \(2,\) torch.float64 where \(\) torch.float64"):
        report.check()


def test_a_method_that_raises_is_a_wrong_shape():
    wrong = altered(NORMAL, sample=lambda q, noise: q.loc + noise.reshape(2))
    assert "(5,) draws raise RuntimeError" in distribution(wrong).verdicts[0].detail


def test_what_is_no_distribution_is_refused():
    with pytest.raises(TypeError, match="NamedTuple of floating tensors"):
        distribution(Bernoulli(torch.tensor([1, 2])))


def test_resolution_is_stated_in_the_unit_of_the_claim():
    verdict = claim(distribution(NORMAL, detect=0.1), "law")
    assert verdict.resolvable == pytest.approx(0.1 * math.sqrt(0.25), rel=0.05)
