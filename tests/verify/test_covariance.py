"""Parts of a draw that share their noise are told from parts that do not."""

import pytest
import torch

from vae_fn import random, verify


def tree_of(noise):
    """Three parts with two leaves, each asymmetric in the parts."""
    weights = torch.tensor([1.0, -2.0, 0.5])
    return {"a": noise * weights[:, None], "b": (noise[..., 0] ** 2) * weights}


MEANS = {"a": torch.zeros(3, 2), "b": torch.tensor([1.0, -2.0, 0.5])}


def independent(key, n):
    return tree_of(random.normal(key, (n, 3, 2)))


def shared(key, n):
    return tree_of(random.normal(key, (n, 1, 2)).expand(n, 3, 2))


def a_pair_shares(key, n):
    noise = random.normal(key, (n, 3, 2))
    return tree_of(torch.stack([noise[:, 0], noise[:, 1], noise[:, 1]], 1))


def test_independent_parts_pass():
    verdict = verify.uncorrelated(independent, MEANS).check()
    assert verdict.claim == "uncorrelated"
    assert verdict.draws > 1000


@pytest.mark.parametrize("draw", [shared, a_pair_shares])
def test_shared_noise_is_rejected_and_no_mean_can_see_it(draw):
    assert verify.uncorrelated(draw, MEANS).status == "biased"
    assert verify.mean(draw, MEANS).passed


def test_the_pair_is_named():
    """Pairs are numbered (0, 1), (0, 2), (1, 2)."""
    assert verify.uncorrelated(a_pair_shares, MEANS).coordinate == "value[2]"


@pytest.mark.parametrize("means", [torch.zeros(1, 2), torch.tensor(0.0), {"a": torch.zeros(3), "b": torch.zeros(2)}])
def test_fewer_than_two_parts_are_refused(means):
    with pytest.raises(ValueError, match="two parts or more"):
        verify.uncorrelated(independent, means)
