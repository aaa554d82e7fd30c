"""Lattice, tails, laws, correlations and permutations, with torch's generator and with the fallback."""

import itertools
import math

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.generators import LAWS, SEED, SHAPE, batch_of, generator, key
from vae_fn import random
from vae_fn.verify import Biased, Rejected, law, mean_bounded

__all__ = ["generator", "key"]

SIZE = 1_000_000
BY_NORMALS = ("normal", "maxwell")
"""The laws that are not made of uniforms."""


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
    ends = {
        name: law(torch.zeros(2, dtype=torch.uint64), index.shape)
        for name, law in LAWS.items()
        if name not in BY_NORMALS
    }
    u = ends["uniform"].double()
    assert (u[0].item(), u[-1].item()) == (2**-24, 1 - 2**-24)
    exact = {"gumbel": -(-u.log()).log(), "logistic": u.log() - (1 - u).log()}
    exact["rayleigh"] = (-2 * u.log()).sqrt()
    exact["laplace"] = -(2 * u - 1).sign() * torch.log1p(-(2 * u - 1).abs())
    for name, expected in exact.items():
        torch.testing.assert_close(ends[name].double(), expected, rtol=3e-7, atol=1e-7)
    assert 3.452e-4 < ends["rayleigh"].min() < 3.454e-4
    assert 5.768 < ends["rayleigh"].max() < 5.769
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


def check_law(sampler, name, cdf, resolve=0.005):
    """The lattice of the uniforms moves a continuous distribution function by 2**-24."""
    law(sampler, lambda x: torch.from_numpy(cdf(x.numpy())), name=name, resolve=resolve).check()


CDF = {
    "normal": scipy.stats.norm.cdf,
    "uniform": scipy.stats.uniform.cdf,
    "gumbel": scipy.stats.gumbel_r.cdf,
    "laplace": scipy.stats.laplace.cdf,
    "logistic": scipy.stats.logistic.cdf,
    "rayleigh": scipy.stats.rayleigh.cdf,
    "maxwell": lambda x: 0.5 + 0.5 * np.sign(x) * scipy.stats.maxwell.cdf(np.abs(x)),
}


@pytest.mark.parametrize("name", CDF)
def test_law(name, generator):
    check_law(lambda key, n: LAWS[name](key, (n,)), f"{name} of {generator.__name__}", CDF[name])


@pytest.mark.parametrize("name", CDF)
def test_law_over_keys(name, generator):
    """One draw of each of many keys is a sample too: what a loop over steps sees."""
    label = f"{name} over keys of {generator.__name__}"
    check_law(lambda key, n: LAWS[name](random.split(key, n), ()), label, CDF[name], resolve=0.015)


def plane(key, shape):
    """A Rayleigh length with a sign."""
    one, other = random.normal(key, (*shape, 2)).unbind(-1)
    return torch.copysign(torch.hypot(one, other), one)


MUTANTS = {
    "uniform of a normal's variance": ("normal", lambda key, shape: math.sqrt(12) * (random.uniform(key, shape) - 0.5)),
    "normal two hundredths too wide": ("normal", lambda key, shape: 1.02 * random.normal(key, shape)),
    "one-sided laplace": ("laplace", lambda key, shape: random.laplace(key, shape).abs()),
    "gumbel of the minimum": ("gumbel", lambda key, shape: -random.gumbel(key, shape)),
    "logistic of a laplace": ("logistic", lambda key, shape: math.pi / math.sqrt(6) * random.laplace(key, shape)),
    "rayleigh of a half normal": ("rayleigh", lambda key, shape: random.normal(key, shape).abs()),
    "one-sided maxwell": ("maxwell", lambda key, shape: random.maxwell(key, shape).abs()),
    "maxwell in the plane": ("maxwell", lambda key, shape: plane(key, shape)),
    "coarse uniform": ("uniform", lambda key, shape: torch.floor(128 * random.uniform(key, shape)) / 128),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_law_rejects(mutant, generator):
    name, wrong = MUTANTS[mutant]
    with pytest.raises(Rejected):
        check_law(lambda key, n: wrong(key, (n,)), f"{mutant} of {generator.__name__}", CDF[name])


# --- correlations


def check_uncorrelated(draw, name):
    """The columns of uniforms: all products of two of them, moved to (-1, 1), have mean 0 and variance 1 / 9."""

    def products(key, n):
        signed = 2 * draw(key, n).double() - 1
        first, second = torch.combinations(torch.arange(signed.shape[-1])).unbind(-1)
        return signed[:, first] * signed[:, second]

    count = products(random.key(0), 2).shape[-1]
    mean_bounded(products, torch.zeros(count), 1 / 9, name=name, detect=0.02).check()


def test_streams_are_uncorrelated(generator):
    def drawn(key, n, reuse=False):
        streams = random.streams(key)
        streams = streams._replace(estimator=streams.noise) if reuse else streams
        return random.uniform(torch.stack(streams), (n,)).mT

    check_uncorrelated(drawn, f"streams of {generator.__name__}")
    with pytest.raises(Biased):
        check_uncorrelated(lambda key, n: drawn(key, n, reuse=True), f"streams used twice of {generator.__name__}")


def test_steps_and_neighbours_are_uncorrelated(generator):
    name = generator.__name__
    check_uncorrelated(lambda key, n: random.uniform(random.split(key, n), (5,)), f"steps of {name}")

    check_uncorrelated(lambda key, n: random.uniform(key, (2 * n, 4)).reshape(n, 8), f"neighbours of {name}")
    check_uncorrelated(lambda key, n: torch.special.ndtr(random.normal(key, (n, 4)).double()), f"normals of {name}")


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


def check_uniform_orders(permutation, n, name):
    """Each order is as frequent as the others."""
    orders = torch.tensor(list(itertools.permutations(range(n))))

    def which(key, count):
        return (permutation(random.split(key, count), n).unsqueeze(1) == orders).all(-1).double()

    chance = 1 / len(orders)
    expected = torch.full((len(orders),), chance, dtype=torch.float64)
    mean_bounded(which, expected, chance * (1 - chance), name=name, detect=0.03).check()


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_permutation_is_uniform(n, generator):
    check_uniform_orders(random.permutation, n, f"orders of {n} of {generator.__name__}")


@pytest.mark.parametrize("n", [3, 4])
def test_permutation_rejects(n, generator):
    def tied(key, n):
        return (random.uniform(key, (n,)) * 32).floor().argsort(dim=-1, stable=True)

    def one_key_for_all(key, n):
        return random.permutation(key[0], n).expand(len(key), n)

    for mutant in (tied, one_key_for_all):
        with pytest.raises(Biased):
            check_uniform_orders(mutant, n, f"{mutant.__name__} of {n} of {generator.__name__}")
