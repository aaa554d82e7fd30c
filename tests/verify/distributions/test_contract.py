"""What the battery holds of draws and numbers, and what it does not claim where float64 is no judge."""

import pytest
import torch

from vae_fn.distributions import Bernoulli, Categorical, Normal
from vae_fn.random import Noise
from vae_fn.verify import distribution
from vae_fn.verify.distributions.contract import batches, own_noise
from vae_fn.verify.distributions.subject import bare
from vae_fn.verify.mutants.distributions import NORMAL, altered, claim

Z = torch.tensor([[0.3, -1.0, 0.2], [0.3, -1.0, 0.2]]).double()


@pytest.mark.parametrize("q", [Normal(Z, Z.abs()), Normal(Z, Z[0].abs()), Bernoulli(Z), Categorical(Z.unsqueeze(1))])
def test_right_families_use_each_its_own_noise(q):
    assert own_noise(bare(q, None)).passed


@pytest.mark.parametrize(
    "change",
    [lambda e: e.mean(0, keepdim=True) + 0 * e, lambda e: e.flip(0), lambda e: e.roll(1, -2)],
    ids=["mean", "flip", "roll"],
)
def test_noise_of_others_is_seen(change):
    def sample(q, noise):
        return Normal(*q).sample(change(noise) if noise.ndim == 3 else noise)

    assert own_noise(bare(altered(Normal(Z, Z.abs()), sample=sample), None)).status == "rejected"


def test_noise_of_another_layout_is_not_covered():
    def noise_like(q, shape=()):
        return Noise(q.law, (2 * 3, *shape))

    def sample(q, noise):
        return Normal(*q).sample(noise.movedim(0, -1).unflatten(-1, (2, 3)))

    found = own_noise(bare(altered(Normal(Z, Z.abs()), noise_like=noise_like, sample=sample), None))
    assert isinstance(found, str)
    assert "(6, 16)" in found


def test_a_sampler_that_takes_no_row_is_rejected():
    def sample(q, noise):
        return Normal(*q).sample(noise[..., :2, :])

    found = batches(bare(altered(Normal(Z, Z.abs()), sample=sample), None))
    assert found.status == "rejected"
    assert "sample of a row" in found.detail


@pytest.mark.parametrize("method", ["log_prob", "log_prob_from_noise"])
def test_a_density_that_is_not_a_number_is_rejected(method):
    wrong = altered(NORMAL, **{method: lambda q, *args: getattr(Normal(*q), method)(*args) * torch.nan})
    found = claim(distribution(wrong), "shapes")
    assert found.status == "rejected"
    assert f"the {method} of (5,) draws is not a number" in found.detail
    assert claim(distribution(Normal(Z, 0 * Z)), "shapes").status == "rejected"


def test_what_float64_is_no_judge_of_is_not_covered():
    """Beyond that everything would be forgiven: recomputed noise is off by more than itself."""
    for loc, scale, missing in (
        (1.3, 1e-8, {"noise form at scale 1e-8"}),
        (1e6, 1e-6, {"noise form in float32", "noise form, change of variables, inverse"}),
        (1.3, 1e-3, set()),
    ):
        report = distribution(Normal(torch.full((2,), loc).double(), torch.full((2,), scale).double()))
        assert report.passed
        assert {sentence.split(":")[0] for sentence in report.not_covered} == missing


@pytest.mark.parametrize("shape", [(0, 3), (2, 0)])
def test_nothing_is_refused(shape):
    with pytest.raises(ValueError, match="without elements"):
        distribution(Normal(torch.zeros(shape), torch.ones(shape)))
