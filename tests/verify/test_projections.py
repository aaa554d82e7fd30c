"""Very many coordinates: a bias too thin to be seen in any of them is seen along few directions."""

import pytest
import torch

from tests.verify.boxes import counting, normal_box
from vae_fn import random, tree
from vae_fn.verify import mean, projections
from vae_fn.verify.projections import with_projections

MANY = 400
VALUE = {"a": torch.linspace(-1, 1, MANY // 2, dtype=torch.float64), "b": torch.zeros(MANY // 2).double()}
KEY = random.key(4)


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    """What is wide, small enough for a test."""
    monkeypatch.setattr(projections, "WIDE", MANY)


def test_fewer_coordinates_are_left_alone():
    draw, value = normal_box(VALUE["a"]), VALUE["a"]
    assert with_projections(draw, value, KEY) == (draw, value)


def test_projections_are_linear_and_stand_beside_the_tree():
    draw, value = with_projections(normal_box(VALUE), VALUE, KEY)
    assert value["value"] is VALUE
    assert torch.equal(value["projections"], torch.zeros(3).double())  # the pilot's direction, and a sum for each leaf
    found = draw(random.key(5), 4)
    one = normal_box(VALUE)(random.key(5), 4)
    assert all(torch.equal(found["value"][name], one[name]) for name in VALUE)
    sums = (one["b"] - VALUE["b"]).sum(1)
    ratio = found["projections"][:, 2] / sums
    assert ratio.std() < 0.2 * ratio.mean()  # each coordinate is weighed by its own spread, as the pilot saw it


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_right_claims_pass(dtype, scale):
    verdict = mean(normal_box(VALUE, scale, dtype), VALUE, name="right").check()
    assert verdict.resolvable == pytest.approx(0.1 * scale, rel=0.15)


def test_a_diffuse_bias_is_seen_by_projections_alone(monkeypatch):
    wrong = normal_box({**VALUE, "b": VALUE["b"] + 0.01})
    verdict = mean(wrong, VALUE, name="diffuse")
    assert verdict.status == "biased"
    assert verdict.coordinate.startswith("projections")
    monkeypatch.setattr(projections, "WIDE", MANY + 1)
    assert mean(wrong, VALUE, name="diffuse").passed


def test_a_diffuse_bias_of_any_signs_is_seen_in_the_direction_of_the_pilot():
    signs = torch.sign(random.normal(KEY, (MANY // 2,), torch.float64))
    verdict = mean(normal_box({**VALUE, "b": 0.02 * signs}), VALUE, name="signed")
    assert (verdict.status, verdict.coordinate) == ("biased", "projections[0]")


def test_a_bias_in_one_coordinate_is_still_located():
    off = torch.zeros(MANY // 2).double()
    off[17] = 0.2
    verdict = mean(normal_box({**VALUE, "b": off}), VALUE, name="one")
    assert (verdict.status, verdict.coordinate) == ("biased", "value/b[17]")


def test_a_resolution_is_in_units_of_the_coordinates():
    draw, asked = counting(normal_box(VALUE, 2.0))
    verdict = mean(draw, VALUE, name="resolve", resolve=0.3).check()
    assert 0.2 < verdict.resolvable <= 0.3
    assert max(asked) < 5000


def test_constants_a_last_bit_off_pass():
    expected = torch.full((MANY,), 0.3, dtype=torch.float64)

    def constant(key, n):
        return torch.full((n, MANY), 0.1 + 0.2, dtype=torch.float64)

    assert mean(constant, expected, name="constant").passed
    assert mean(constant, expected + 1e-6, name="constant").status == "inconclusive"
    assert mean(constant, expected + 0.1, name="constant").status == "biased"


def test_rounding_of_all_coordinates_together_passes():
    """Float32 draws of mean 1/3 and spread 1e-5 are off by a systematic 1e-8, which adds up along their sum."""
    expected = torch.full((MANY,), 1 / 3, dtype=torch.float64)
    assert mean(normal_box(expected, 1e-5, torch.float32), expected, name="rounding").passed


def test_coordinates_that_are_not_finite_are_rejected():
    def draw(key, n):
        found = normal_box(VALUE)(key, n)
        return {**found, "b": torch.where(torch.arange(MANY // 2) == 3, torch.nan, found["b"])}

    verdict = mean(draw, VALUE, name="not finite")
    assert verdict.status == "rejected"
    assert "value/b[3]" in verdict.detail


def test_other_trees_are_refused():
    with pytest.raises(ValueError, match="must have the tree"):
        mean(normal_box(tree.map(lambda leaf: leaf[:-1], VALUE)), VALUE, name="trees")
