"""A stateless generator in integer tensor operations: what `vae_fn.random` uses where torch has none of its own.

Philox4x32-10 of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011): a block of four
words is a function of a counter and a key, so nothing is remembered between draws and every element of a draw is
computed alone. Words are 32 bits wide and held in int64 tensors, because int64 arithmetic exists in eager and compiled
code, under `vmap` and on every device. A key is a pair of words, shape (*keys, 2).

The third word of the counter is its domain: draws and key derivation never read the same block, so a child key is no
function of its parent's draws.

`key`, `split`, `fold_in`, `normal` and `uniform` mean what they mean in `torch.func._random`; their numbers are others.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from vae_fn.types import Shape

_ROUNDS = 10
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)  # the golden ratio and sqrt(3) - 1: what each round adds to the key
_WORD = 0xFFFFFFFF
_DRAW, _DERIVE = 0, 1


def philox4x32(counter: Int64[Tensor, "*#batch 4"], key: Int64[Tensor, "*#batch 2"]) -> Int64[Tensor, "... 4"]:
    """The block of four words at a counter: Philox4x32-10 (Salmon et al. 2011, section 3.3).

    Args:
        counter: Four words in [0, 2**32).
        key: Two words in [0, 2**32); its leading shape broadcasts with the counter's.
    """
    x0, x1, x2, x3 = counter.unbind(-1)
    k0, k1 = key.unbind(-1)
    for _ in range(_ROUNDS):
        # An int64 product wraps modulo 2**64, which leaves both of its words right.
        p0, p2 = _MULTIPLIERS[0] * x0, _MULTIPLIERS[1] * x2
        x0, x1, x2, x3 = _high(p2) ^ x1 ^ k0, _low(p2), _high(p0) ^ x3 ^ k1, _low(p0)
        k0, k1 = _low(k0 + _WEYL[0]), _low(k1 + _WEYL[1])
    return torch.stack((x0, x1, x2, x3), dim=-1)


def key(seed: int) -> Int64[Tensor, "2"]:
    """The key of a 64-bit seed: its low word, then its high word."""
    return torch.tensor([seed & _WORD, seed >> 32 & _WORD], dtype=torch.int64)


def split(key: Int64[Tensor, "*keys 2"], num: int = 2) -> Int64[Tensor, "num *keys 2"]:
    """Derive `num` keys from each key; entry i is `fold_in(key, i)`."""
    index = torch.arange(num, device=key.device)
    return _derive(key, index.reshape(num, *(1 for _ in key.shape[:-1])))


def fold_in(key: Int64[Tensor, "*keys 2"], data: int | Int64[Tensor, ""]) -> Int64[Tensor, "*keys 2"]:
    """Derive from each key the child numbered `data`, taken modulo 2**64.

    Raises:
        ValueError: If an int is outside [-2**63, 2**64).
    """
    if isinstance(data, Tensor):
        return _derive(key, data)
    if not -(2**63) <= data < 2**64:
        raise ValueError(f"fold_in takes an int in [-2**63, 2**64), got {data}")
    signed = data - 2**64 if data >= 2**63 else data
    return _derive(key, torch.tensor(signed, dtype=torch.int64, device=key.device))


def normal(key: Int64[Tensor, "... 2"], shape: Shape) -> Float32[Tensor, "..."]:
    """Standard normal draws by the Box-Muller transform, at most sqrt(66 log 2) = 6.77 in size.

    Args:
        key: Shape (2,) or (*keys, *ones, 2), with as many dimensions in front as `shape` has.
        shape: The shape of the result, (*keys, *drawn): each key fills its own slice.
    """
    return _fill(key, shape, _box_muller)


def uniform(key: Int64[Tensor, "... 2"], shape: Shape) -> Float32[Tensor, "..."]:
    """Draws on the multiples of 2**-24 in [0, 1); `key` and `shape` as in `normal`."""
    return _fill(key, shape, lambda words: (words >> 8).to(torch.float32) * 2**-24)


def _derive(key: Int64[Tensor, "*keys 2"], index: Int64[Tensor, "*index"]) -> Int64[Tensor, "... 2"]:
    return philox4x32(_counter(index, _DERIVE), key)[..., :2]


def _fill(key: Tensor, shape: Shape, law: Callable[[Tensor], Tensor]) -> Tensor:
    """Let each key fill its slice of `shape` with `law` of blocks, shape (*keys, blocks, 4), four numbers a block."""
    size = math.prod(shape) // max(1, math.prod(key.shape[:-1]))
    index = torch.arange((size + 3) // 4, device=key.device)
    numbers = law(philox4x32(_counter(index, _DRAW), key[..., None, :]))
    return numbers.flatten(-2)[..., :size].reshape(shape)


def _counter(index: Int64[Tensor, "*index"], domain: int) -> Int64[Tensor, "*index 4"]:
    zeros = torch.zeros_like(index)
    return torch.stack((_low(index), _high(index), zeros + domain, zeros), dim=-1)


def _box_muller(words: Int64[Tensor, "*blocks 4"]) -> Float32[Tensor, "*blocks 4"]:
    """Four normal variates from two pairs of words (Box and Muller 1958); no word gives the logarithm of zero."""
    unit = (words.to(torch.float32) + 0.5) * 2**-32
    radius = torch.sqrt(-2 * torch.log(unit[..., 0::2]))
    angle = 2 * math.pi * unit[..., 1::2]
    return torch.stack((radius * torch.cos(angle), radius * torch.sin(angle)), dim=-1).flatten(-2)


def _low(words: Tensor) -> Tensor:
    return words & _WORD


def _high(words: Tensor) -> Tensor:
    return words >> 32 & _WORD
