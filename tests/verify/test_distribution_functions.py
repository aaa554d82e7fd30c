"""The band of Dvoretzky, Kiefer and Wolfowitz: right laws pass, wrong ones do not, and the distance is right."""

import pytest
import scipy.stats
import torch

from vae_fn import random
from vae_fn.verify import Rejected, law
from vae_fn.verify.distribution_functions import _distances


def drawn(sampler, *shape):
    return lambda key, n: sampler(key, (n, *shape))


LAWS = {
    "normal": (random.normal, torch.special.ndtr),
    "uniform": (random.uniform, lambda x: x),
    "logistic": (random.logistic, torch.sigmoid),
    "gumbel": (random.gumbel, lambda x: torch.exp(-torch.exp(-x))),
}


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("shape", [(), (3,), (2, 2)])
def test_right_laws_pass(name, shape):
    sampler, cdf = LAWS[name]
    verdict = law(drawn(sampler, *shape), cdf, name=f"{name} {shape}", resolve=0.03).check()
    assert verdict.gap < 0.03 == verdict.resolvable


def test_one_wrong_coordinate_is_named():
    def draw(key, n):
        return random.normal(key, (n, 2, 2)) * torch.tensor([[1.0, 1.0], [1.2, 1.0]])

    with pytest.raises(Rejected, match=r"at value\[1, 0\]"):
        law(draw, torch.special.ndtr, resolve=0.03).check()


@pytest.mark.parametrize("resolve", [0.02, 0.05])
def test_a_distance_of_what_is_resolved_is_seen(resolve):
    """A law that differs by exactly that: a mass at the end of a uniform."""

    def draw(key, n):
        return random.uniform(key, (n,)).clamp(min=resolve)

    assert not law(draw, lambda x: x, name="clamped", resolve=resolve).passed
    assert law(drawn(random.uniform), lambda x: x, name="whole", resolve=resolve).passed


def test_draws_that_are_not_finite_are_rejected():
    verdict = law(lambda key, n: random.uniform(key, (n,)).log() / 0, torch.special.ndtr, name="infinite", resolve=0.1)
    assert verdict.status == "rejected"


def test_the_distance_is_that_of_scipy():
    values = random.normal(random.key(3), (50, 2)).double().sort(0).values
    ours = _distances(values, torch.special.ndtr(values))
    theirs = [scipy.stats.kstest(column.numpy(), "norm").statistic for column in values.T]
    torch.testing.assert_close(ours, torch.tensor(theirs, dtype=torch.float64))


@pytest.mark.parametrize("resolve", [0.0, 1.0, -0.1])
def test_what_is_no_distance_is_refused(resolve):
    with pytest.raises(ValueError, match="a distance of probabilities"):
        law(drawn(random.uniform), lambda x: x, resolve=resolve)
