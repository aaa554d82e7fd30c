"""Lattice, tails, laws, correlations and permutations, with torch's generator and with the fallback.

Statistical checks have a false-alarm probability of at most ALPHA each, and their keys are hashed from their names.
"""

import itertools
import math

import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.generators import LAWS, SEED, SHAPE, batch_of, generator, key
from vae_fn import random

__all__ = ["generator", "key"]

ALPHA = 1e-9
SIZE = 1_000_000


# --- lattice and tails


def test_uniform_lattice(key):
    u = random.uniform(key, (SIZE,))
    assert (u * 2**24 % 2 == 1).all()
    assert u.min() > 0
    assert u.max() < 1
    assert torch.equal(1 - (1 - u), u)


def test_tails(monkeypatch):
    """The bounds that the docstrings state, at both ends of the lattice; symmetric laws are odd to the bit."""
    index = torch.cat([torch.arange(2**16), torch.arange(2**23 - 2**16, 2**23)]).float()
    monkeypatch.setattr(
        random, "_generator", type("Ends", (), {"uniform": staticmethod(lambda key, shape: index * 2**-23)})
    )
    ends = {name: law(torch.zeros(2), index.shape) for name, law in LAWS.items() if name != "normal"}
    u = ends["uniform"].double()
    assert (u[0].item(), u[-1].item()) == (2**-24, 1 - 2**-24)
    exact = {"gumbel": -(-u.log()).log(), "logistic": u.log() - (1 - u).log()}
    exact["laplace"] = -(2 * u - 1).sign() * torch.log1p(-(2 * u - 1).abs())
    for name, expected in exact.items():
        torch.testing.assert_close(ends[name].double(), expected, rtol=3e-7, atol=1e-7)
    for name, bounds in {
        "gumbel": (-2.812, 16.636),
        "laplace": (-15.943, 15.943),
        "logistic": (-16.636, 16.636),
    }.items():
        low, high = ends[name].min().item(), ends[name].max().item()
        assert bounds[0] <= low < bounds[0] + 0.001
        assert bounds[1] - 0.001 < high <= bounds[1]
    for name in ("laplace", "logistic"):
        assert torch.equal(ends[name], -ends[name].flip(0))


# --- laws


def check_law(samples, cdf):
    """The Dvoretzky-Kiefer-Wolfowitz band with Massart's constant; the lattice moves a continuous CDF by 2**-24."""
    n = len(samples)
    values = cdf(samples.double().sort().values.numpy())
    steps = torch.arange(n + 1, dtype=torch.float64).numpy() / n
    distance = max((steps[1:] - values).max(), (values - steps[:-1]).max())
    assert distance <= math.sqrt(math.log(2 / ALPHA) / (2 * n)) + 2**-23


CDF = {
    "normal": scipy.stats.norm.cdf,
    "uniform": scipy.stats.uniform.cdf,
    "gumbel": scipy.stats.gumbel_r.cdf,
    "laplace": scipy.stats.laplace.cdf,
    "logistic": scipy.stats.logistic.cdf,
}


@pytest.mark.parametrize("law", CDF)
def test_law(law, key):
    check_law(LAWS[law](key, (SIZE,)), CDF[law])


@pytest.mark.parametrize("law", CDF)
def test_law_over_keys(law, key):
    """One draw of each of many keys is a sample too: what a loop over steps sees."""
    check_law(LAWS[law](random.split(key, 100_000), ()), CDF[law])


MUTANTS = {
    "uniform of a normal's variance": ("normal", lambda key, shape: math.sqrt(12) * (random.uniform(key, shape) - 0.5)),
    "normal two hundredths too wide": ("normal", lambda key, shape: 1.02 * random.normal(key, shape)),
    "one-sided laplace": ("laplace", lambda key, shape: random.laplace(key, shape).abs()),
    "gumbel of the minimum": ("gumbel", lambda key, shape: -random.gumbel(key, shape)),
    "logistic of a laplace": ("logistic", lambda key, shape: math.pi / math.sqrt(6) * random.laplace(key, shape)),
    "coarse uniform": ("uniform", lambda key, shape: torch.floor(128 * random.uniform(key, shape)) / 128),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_law_rejects(mutant, key):
    law, wrong = MUTANTS[mutant]
    with pytest.raises(AssertionError):
        check_law(wrong(key, (SIZE,)), CDF[law])


# --- correlations


def check_uncorrelated(*samples):
    """Hoeffding's bound for products of independent uniforms on (-1, 1), over all pairs."""
    pairs = list(itertools.combinations([2 * u.double() - 1 for u in samples], 2))
    for a, b in pairs:
        bound = math.sqrt(2 * math.log(2 * len(pairs) / ALPHA) / len(a))
        assert abs((a * b).mean().item()) <= bound


def test_streams_are_uncorrelated(key):
    streams = random.streams(key)
    check_uncorrelated(*random.uniform(torch.stack(streams), (SIZE // 4,)))
    reused = streams._replace(estimator=streams.noise)
    with pytest.raises(AssertionError):
        check_uncorrelated(*random.uniform(torch.stack(reused), (SIZE // 4,)))


def test_steps_and_neighbours_are_uncorrelated(key):
    check_uncorrelated(*random.uniform(random.split(key, 100_000), (5,)).mT)
    along = random.uniform(key, (SIZE // 4, 4))
    check_uncorrelated(*along[:-1].mT, *along[1:].mT)
    for pair in random.normal(key, (SIZE // 2, 2)).mT.split(2):
        check_uncorrelated(*torch.special.ndtr(pair.double()))


# --- permutations


@given(seed=SEED, keys=SHAPE, n=st.integers(0, 200))
def test_permutation(seed, keys, n):
    batch = batch_of(seed, keys)
    orders = random.permutation(batch, n)
    assert orders.shape == (*keys, n)
    assert torch.equal(orders.sort(-1).values, torch.arange(n).expand(*keys, n))
    for index in itertools.product(*map(range, keys)):
        assert torch.equal(orders[index], random.permutation(batch[index], n))


def test_long_permutation(key):
    order = random.permutation(key, 60_000)
    assert torch.equal(order.sort().values, torch.arange(60_000))
    assert not torch.equal(order, random.permutation(random.fold_in(key, 0), 60_000))


def check_uniform_orders(permutation, key, n):
    """Each order's count is binomial: exact tests, their false alarms shared out."""
    orders = permutation(random.split(key, 100_000), n)
    counts = torch.unique((orders * n ** torch.arange(n)).sum(-1), return_counts=True)[1].tolist()
    assert len(counts) == math.factorial(n)
    for count in counts:
        assert scipy.stats.binomtest(count, len(orders), 1 / len(counts)).pvalue >= ALPHA / len(counts)


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_permutation_is_uniform(n, key):
    check_uniform_orders(random.permutation, key, n)


@pytest.mark.parametrize("n", [3, 4])
def test_permutation_rejects(n, key):
    def tied(key, n):
        return (random.uniform(key, (n,)) * 32).floor().argsort(dim=-1, stable=True)

    def one_key_for_all(key, n):
        return random.permutation(key[0], n).expand(len(key), n)

    for mutant in (tied, one_key_for_all):
        with pytest.raises(AssertionError):
            check_uniform_orders(mutant, key, n)
