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
    ours = _distances(values, torch.special.ndtr)
    theirs = [scipy.stats.kstest(column.numpy(), "norm").statistic for column in values.T]
    torch.testing.assert_close(ours, torch.tensor(theirs, dtype=torch.float64))


@pytest.mark.parametrize("resolve", [0.0, 1.0, -0.1])
def test_what_is_no_distance_is_refused(resolve):
    with pytest.raises(ValueError, match="a distance of probabilities"):
        law(drawn(random.uniform), lambda x: x, resolve=resolve)


def coin(p):
    return lambda key, n: (random.uniform(key, (n,)) < p).double()


def coin_cdf(p):
    return lambda x: torch.where(x < 0, 0.0, torch.where(x < 1, 1 - p, 1.0)).double()


def test_a_law_may_have_masses_at_points():
    assert law(coin(0.3), coin_cdf(0.3), name="coin", resolve=0.03).passed
    assert not law(coin(0.3), coin_cdf(0.35), name="coin", resolve=0.03).passed
    assert not law(coin(0.3), lambda x: x.clamp(0, 1), name="coin", resolve=0.03).passed
    clamped = law(lambda key, n: random.normal(key, (n,)).relu(), lambda x: torch.special.ndtr(x) * (x >= 0), name="r")
    assert clamped.passed


def test_too_many_draws_are_not_drawn():
    asked = []

    def draw(key, n):
        asked.append(n)
        return random.normal(key, (n,))

    assert law(draw, torch.special.ndtr, name="fine", resolve=1e-5).status == "underpowered"
    assert asked == [2]


def test_what_is_no_tensor_of_n_draws_is_refused():
    with pytest.raises(TypeError, match="one real tensor"):
        law(lambda key, n: {"a": random.normal(key, (n,))}, torch.special.ndtr, name="tree")
    with pytest.raises(ValueError, match="in front of their shape"):
        law(lambda key, n: random.normal(key, (3, n)), torch.special.ndtr, name="turned")


@pytest.mark.parametrize("wrong", [{"alpha": float("nan")}, {"alpha": 2.0}, {"beta": 0.0}])
def test_errors_have_probabilities(wrong):
    with pytest.raises(ValueError, match="the probability of an error"):
        law(drawn(random.uniform), lambda x: x, name="errors", **wrong)
