"""The fallback generator against Random123's known answers, and its two domains."""

import hashlib

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vae_fn import philox

# Random123 (github.com/DEShawResearch/random123), tests/kat_vectors, "philox4x32 10": counter, key, answer.
KNOWN_ANSWERS = [
    "00000000 00000000 00000000 00000000 00000000 00000000 6627e8d5 e169c58d bc57ac4c 9b00dbd8",
    "ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff 408f276d 41c83b0e a20bc7c6 6d5451fd",
    "243f6a88 85a308d3 13198a2e 03707344 a4093822 299f31d0 d16cfe09 94fdcceb 5001e420 24126ea1",
]
WORD = st.integers(0, 2**32 - 1)
SEED = st.integers(0, 2**64 - 1)


def known_answers():
    words = torch.tensor([[int(word, 16) for word in line.split()] for line in KNOWN_ANSWERS])
    return words[:, :4], words[:, 4:6], words[:, 6:]


def check_known_answers(philox4x32):
    counter, key, answer = known_answers()
    assert torch.equal(philox4x32(counter, key), answer)
    for i in range(3):
        assert torch.equal(philox4x32(counter[i], key[i]), answer[i])


def reference(counter, key):
    """Philox4x32-10 in Python's integers."""
    x, k = list(counter), list(key)
    for _ in range(10):
        p, q = 0xD2511F53 * x[0], 0xCD9E8D57 * x[2]
        x = [q >> 32 ^ x[1] ^ k[0], q % 2**32, p >> 32 ^ x[3] ^ k[1], p % 2**32]
        k = [(k[0] + 0x9E3779B9) % 2**32, (k[1] + 0xBB67AE85) % 2**32]
    return x


def check_domains(derive, key):
    """No block of a draw begins with the words of a child of the same key."""
    children = derive(key, 64).tolist()
    draws = [reference((i, 0, 0, 0), key.tolist())[:2] for i in range(64)]
    assert not any(child in draws for child in children)


def test_known_answers():
    check_known_answers(philox.philox4x32)


@pytest.mark.parametrize("constant", ["_ROUNDS", "_MULTIPLIERS", "_WEYL"])
def test_known_answers_reject(constant, monkeypatch):
    mutant = {"_ROUNDS": 9, "_MULTIPLIERS": (0xCD9E8D57, 0xD2511F53), "_WEYL": (0xBB67AE85, 0x9E3779B9)}[constant]
    monkeypatch.setattr(philox, constant, mutant)
    with pytest.raises(AssertionError):
        check_known_answers(philox.philox4x32)


@given(counter=st.tuples(WORD, WORD, WORD, WORD), key=st.tuples(WORD, WORD))
def test_integers(counter, key):
    assert philox.philox4x32(torch.tensor(counter), torch.tensor(key)).tolist() == reference(counter, key)


@given(seed=SEED, data=st.integers(-(2**63), 2**64 - 1))
def test_fold_in_reads_64_bits(seed, data):
    key = philox.key(seed)
    assert key.tolist() == [seed % 2**32, seed >> 32]
    block = reference((data % 2**32, data % 2**64 >> 32, 1, 0), key.tolist())
    assert philox.fold_in(key, data).tolist() == block[:2]


@pytest.mark.parametrize("data", [-(2**63) - 1, 2**64])
def test_fold_in_range(data):
    with pytest.raises(ValueError, match="fold_in takes an int in"):
        philox.fold_in(philox.key(0), data)


@given(seed=SEED)
def test_domains(seed):
    key = philox.key(seed)
    check_domains(philox.split, key)
    with pytest.raises(AssertionError):
        check_domains(
            lambda key, num: philox.philox4x32(philox._counter(torch.arange(num), philox._DRAW), key)[:, :2], key
        )


@given(seed=SEED, size=st.integers(1, 30))
def test_draws_use_every_word(seed, size):
    key = philox.key(seed)
    words = [word for i in range(8) for word in reference((i, 0, 0, 0), key.tolist())][:size]
    assert (philox.uniform(key, (size,)) * 2**24).tolist() == [word >> 8 for word in words]


def test_box_muller():
    """Against the same formula in float64 from the same float32 numbers in (0, 1]."""
    key = philox.key(int.from_bytes(hashlib.sha256(b"box muller").digest()[:8], "big"))
    words = philox.philox4x32(philox._counter(torch.arange(10_000), philox._DRAW), key)
    unit = ((words.float() + 0.5) * 2**-32).double()
    radius, angle = (-2 * unit[:, 0::2].log()).sqrt(), 2 * torch.pi * unit[:, 1::2]
    expected = torch.stack((radius * angle.cos(), radius * angle.sin()), -1).flatten()
    # An angle below 2 pi is wrong by one unit in its last place, 2**-21, at most; the radius is below 6.77.
    torch.testing.assert_close(philox.normal(key, (40_000,)).double(), expected, rtol=1e-6, atol=6.77 * 2**-21)
    extreme = torch.tensor([[0, 0, 0, 2**31], [2**32 - 1, 0, 2**32 - 1, 2**32 - 1]])
    values = philox._box_muller(extreme)
    assert values.isfinite().all()
    assert values.abs().max() <= 6.77


@given(seed=SEED, keys=st.lists(st.integers(0, 3), max_size=2), shape=st.lists(st.integers(0, 6), max_size=2))
def test_vmap(seed, keys, shape):
    batch = philox.split(philox.key(seed), 9)[: keys[0] if keys else 9]
    for law in (philox.normal, philox.uniform):
        whole = torch.vmap(lambda key, law=law: law(key, tuple(shape)))(batch) if len(batch) else None
        for i, key in enumerate(batch):
            assert torch.equal(whole[i], law(key, tuple(shape)))
    if len(batch):
        assert torch.equal(torch.vmap(lambda key: philox.split(key, 3))(batch), philox.split(batch, 3).movedim(0, 1))
