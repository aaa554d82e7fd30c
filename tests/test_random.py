"""Keys, draws and trees of noise, with torch's generator and with the fallback."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.generators import LAWS, SEED, SHAPE, batch_of, generator, key
from vae_fn import philox, random
from vae_fn.random import Noise

__all__ = ["generator", "key"]

DATA = st.integers(-(2**63), 2**63 - 1)


def words(key):
    """The bits of keys as int64: torch compares no uint64."""
    return key.view(torch.int64)


# --- keys


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_seed_range(seed):
    with pytest.raises(ValueError, match=r"a seed is an int in \[0, 2\*\*64\)"):
        random.key(seed)


@pytest.mark.parametrize("seed", [True, 1.0, "1"])
def test_seed_type(seed):
    with pytest.raises(TypeError):
        random.key(seed)


def test_every_bit_of_a_seed_counts():
    seeds = [0, *(1 << bit for bit in range(64)), 2**64 - 1]
    draws = {tuple(random.uniform(random.key(seed), (4,)).tolist()) for seed in seeds}
    assert len(draws) == len(seeds)


def test_name():
    assert random.GENERATOR in ("torch.func._random philox4x32-10", "vae_fn philox4x32-10")


def test_device():
    meta = random.key(0, device=torch.device("meta"))
    assert random.normal(random.split(meta, 3), (4,)).device == torch.device("meta")


@given(seed=SEED, keys=SHAPE, num=st.integers(1, 9))
def test_split_is_fold_in(seed, keys, num):
    batch = batch_of(seed, keys)
    children = random.split(batch, num)
    assert children.shape == (num, *keys, 2)
    for i in range(num):
        assert torch.equal(words(children[i]), words(random.fold_in(batch, i)))
    for index in itertools.product(*map(range, keys)):
        assert torch.equal(words(children[(slice(None), *index)]), words(random.split(batch[index], num)))


@given(seed=SEED, data=DATA)
def test_fold_in_by_tensor(seed, data):
    parent = random.key(seed)
    by_int = words(random.fold_in(parent, data))
    assert torch.equal(by_int, words(random.fold_in(parent, torch.tensor(data))))
    assert torch.equal(by_int, words(random.fold_in(parent, data % 2**64)))


def test_vmapped_fold_in(key):
    steps = torch.arange(-3, 5)
    keys = torch.vmap(lambda step: random.fold_in(key, step))(steps)
    assert words(keys).tolist() == [words(random.fold_in(key, int(step))).tolist() for step in steps]


def test_streams_are_extended_at_the_end(key):
    assert random.Streams._fields[:7] == ("init", "order", "noise", "binarise", "estimator", "evaluation", "figures")
    longer = random.split(key, 12)
    for i, stream in enumerate(random.streams(key)):
        assert torch.equal(words(stream), words(longer[i]))


def run_keys(streams, steps, leaves):
    """The keys that a run has at hand: of each stream, of each of its steps, of each leaf drawn in a step."""
    parents = torch.stack(streams)
    in_steps = torch.vmap(lambda step: random.fold_in(parents, step))(torch.arange(steps))
    return torch.cat([words(part).reshape(-1, 2) for part in (parents, in_steps, random.split(in_steps, leaves))])


def check_distinct(keys):
    assert len(set(map(tuple, keys.tolist()))) == len(keys)


def test_streams_their_steps_and_leaves_have_keys_of_their_own(key):
    check_distinct(run_keys(random.streams(key), steps=2000, leaves=4))
    shared = random.streams(key)._replace(estimator=random.streams(key).noise)
    with pytest.raises(AssertionError):
        check_distinct(run_keys(shared, steps=3, leaves=2))


# --- draws


def check_batch_law(law, seed, keys, shape):
    batch = batch_of(seed, keys)
    whole = law(batch, shape)
    assert whole.shape == (*keys, *shape)
    for index in itertools.product(*map(range, keys)):
        assert torch.equal(whole[index], law(batch[index], shape))


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS.keys())
@given(seed=SEED, keys=SHAPE, shape=SHAPE)
def test_each_key_fills_its_slice(law, seed, keys, shape):
    check_batch_law(law, seed, keys, shape)


def test_each_key_fills_its_slice_rejects():
    def first_key_for_all(key, shape):
        return random.normal(key.reshape(-1, 2)[0], (*key.shape[:-1], *shape))

    def drawn_axes_first(key, shape):
        drawn = random.normal(key, shape).flatten(0, key.ndim - 2) if key.ndim > 1 else random.normal(key, shape)
        return drawn.flatten().reshape(*shape, -1).movedim(-1, 0).reshape(*key.shape[:-1], *shape)

    for mutant in (first_key_for_all, drawn_axes_first):
        with pytest.raises(AssertionError):
            check_batch_law(mutant, 0, (3,), (4,))


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS.keys())
@pytest.mark.parametrize(("keys", "shape"), [(3, (1017,)), (2, (33, 129)), (5, (50_001,))])
def test_each_key_fills_a_large_slice(law, keys, shape):
    check_batch_law(law, 7, (keys,), shape)


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS.keys())
def test_threads_change_no_bit(law, key):
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = law(key, (300_001,)), random.permutation(key, 5000)
        torch.set_num_threads(3)
        together = law(key, (300_001,)), random.permutation(key, 5000)
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS.keys())
def test_one_key_is_the_same_noise_in_every_dtype(law, key):
    noise = law(key, (1000,))
    assert noise.dtype == torch.float32
    assert torch.equal(law(key, (1000,), torch.float64), noise.double())
    if law is not random.uniform:
        assert torch.equal(law(key, (1000,), torch.bfloat16), noise.bfloat16())


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS.keys())
@pytest.mark.parametrize("dtype", [torch.float16, torch.int64])
def test_refused_dtypes(law, dtype, key):
    with pytest.raises(ValueError, match="is refused: ask for bfloat16, float32 or float64"):
        law(key, (3,), dtype)


def test_uniform_refuses_bfloat16(key):
    with pytest.raises(ValueError, match="would round to 1"):
        random.uniform(key, (3,), torch.bfloat16)


# --- trees


def test_draw(key):
    specs = {
        "z": Noise(random.normal, (4, 2)),
        "estimator": (Noise(random.uniform, ()), ()),
        "g": [Noise(random.gumbel, (3,))],
    }
    noise = random.draw(key, specs)
    assert torch.equal(noise["z"], random.normal(random.fold_in(key, 0), (4, 2)))
    assert torch.equal(noise["estimator"][0], random.uniform(random.fold_in(key, 1), ()))
    assert noise["estimator"][1] == ()
    assert torch.equal(noise["g"][0], random.gumbel(random.fold_in(key, 2), (3,)))
    assert torch.equal(random.draw(key, specs, torch.float64)["z"], noise["z"].double())
    alone = random.draw(key, Noise(random.normal, (4, 2)))
    assert torch.equal(alone, noise["z"])


def test_draw_for_a_batch_of_keys(key):
    keys = random.split(key, 3)
    specs = (Noise(random.normal, (4,)), Noise(random.logistic, (2, 2)))
    whole = random.draw(keys, specs)
    for i, one in enumerate(keys):
        assert all(torch.equal(a[i], b) for a, b in zip(whole, random.draw(one, specs), strict=True))


def test_draw_refuses_other_leaves(key):
    with pytest.raises(TypeError, match="every leaf is a Noise"):
        random.draw(key, {"z": (3, 2)})


# --- mistakes

NO_KEYS = {
    "0": 0,
    "a Streams": random.Streams(*[()] * 7),
    "a Generator": torch.Generator(),
    r"a Tensor of torch\.int64 and shape \(3,\)": torch.arange(3),
    r"a Tensor of torch\.float32 and shape \(2,\)": torch.zeros(2),
    r"a Tensor of torch\.int32 and shape \(2,\)": torch.zeros(2, dtype=torch.int32),
}
TAKES_A_KEY = {
    "streams": random.streams,
    "split": random.split,
    "fold_in": lambda key: random.fold_in(key, 1),
    "normal": lambda key: random.normal(key, (3,)),
    "uniform": lambda key: random.uniform(key, (3,)),
    "permutation": lambda key: random.permutation(key, 3),
    "draw": lambda key: random.draw(key, Noise(random.normal, (3,))),
}


@pytest.mark.parametrize("found", NO_KEYS)
@pytest.mark.parametrize("name", TAKES_A_KEY)
def test_what_is_no_key(name, found, unchecked):
    with pytest.raises(TypeError, match=rf"not {found}: make one with random\.key\(seed\), or .* streams\.init"):
        TAKES_A_KEY[name](NO_KEYS[found])


@pytest.mark.parametrize("name", TAKES_A_KEY)
def test_integers_of_another_generator_are_no_key(name, generator, unchecked):
    own, other = (torch.int64, torch.uint64) if generator is philox else (torch.uint64, torch.int64)
    with pytest.raises(TypeError, match=rf"a tensor \(\*keys, 2\) of {own}, not a Tensor of {other} and shape"):
        TAKES_A_KEY[name](torch.ones(2, dtype=other))


@pytest.mark.parametrize("number", [0.5, 1.0, torch.tensor(1.5)])
def test_children_have_no_fractions(key, number, unchecked):
    with pytest.raises(TypeError, match="numbered by integers, not by"):
        random.fold_in(key, number)


def test_a_shape_is_no_number(key, unchecked):
    with pytest.raises(TypeError, match=r"a tuple, not 3: write \(3,\)"):
        random.normal(key, 3)


def test_an_order_is_of_a_number(key, unchecked):
    with pytest.raises(ValueError, match=r"n=a Tensor of torch.float32 and shape \(5, 2\) .* whole number"):
        random.permutation(key, torch.zeros(5, 2))


# --- compiled


def test_compiled(fresh_compiler, key):
    def step(key, step):
        streams = random.streams(random.fold_in(key, step))
        transforms = random.normal(streams.noise, (3, 5)), random.logistic(streams.estimator, (6,))
        return (
            torch.stack(streams),
            random.uniform(streams.init, (7,)),
            random.permutation(streams.order, 9),
            transforms,
        )

    torch._dynamo.utils.counters.clear()
    compiled = torch.compile(step, fullgraph=True)
    for i in range(4):
        keys, uniform, order, transforms = step(key, torch.tensor(i))
        compiled_keys, compiled_uniform, compiled_order, compiled_transforms = compiled(key, torch.tensor(i))
        assert torch.equal(words(keys), words(compiled_keys))
        assert torch.equal(uniform, compiled_uniform)
        assert torch.equal(order, compiled_order)
        torch.testing.assert_close(compiled_transforms, transforms, rtol=1e-6, atol=1e-6)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1


def test_compiled_over_keys(fresh_compiler, generator, key):
    law = torch.compile(lambda keys: random.normal(keys, (6,)), fullgraph=True)
    keys = random.split(key, 5)
    if generator is philox:
        torch.testing.assert_close(law(keys), random.normal(keys, (6,)), rtol=1e-6, atol=1e-6)
    else:
        assert torch.equal(law(keys), random.normal(keys, (6,)))
