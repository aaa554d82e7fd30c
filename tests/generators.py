"""Both generators, keys hashed from the names of the tests, and the laws that are drawn with them."""

import hashlib
import math

import pytest
from hypothesis import strategies as st

from vae_fn import philox, random

GENERATORS = {module.__name__: module for module in (random._generator, philox)}
LAWS = {
    law.__name__: law
    for law in (
        random.normal,
        random.uniform,
        random.gumbel,
        random.laplace,
        random.logistic,
        random.rayleigh,
        random.maxwell,
    )
}
SEED = st.integers(0, 2**64 - 1)
SHAPE = st.lists(st.integers(0, 5), max_size=3).map(tuple)


@pytest.fixture(params=GENERATORS.values(), ids=GENERATORS.keys(), scope="module", autouse=True)
def generator(request):
    """Runs every test of a module that imports this fixture with each generator."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(random, "_generator", request.param)
        yield request.param


@pytest.fixture
def key(request):
    return random.key(int.from_bytes(hashlib.sha256(request.node.nodeid.encode()).digest()[:8], "big"))


def batch_of(seed, keys):
    return random.split(random.key(seed), max(1, math.prod(keys)))[: math.prod(keys)].reshape(*keys, 2)
