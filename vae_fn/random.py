"""Keys and noise: the one place where random numbers are made, each a pure function of a key.

The generator is torch's experimental `torch.func._random`, or `vae_fn.philox` where torch lacks it. Shape law: a batch
of keys `(*keys, 2)` gives `(*keys, *shape)`, and each key fills its slice exactly as it would alone.

A key is used once: to draw from it, or to derive children by `split` and `fold_in`, never both. (In torch's generator
the children of a key are the very words of a draw from it.)

Every law is drawn in float32 and then cast, so that a key is the same noise in every dtype. Laws other than the normal
are transforms of `uniform`, whose lattice bounds their tails as each docstring says. On one machine the same key gives
the same bits, whatever the batch of keys and the number of threads. Compiled, keys, `uniform` and `permutation` stay
the same bits, and what takes a logarithm agrees to float32 rounding.
"""

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Float32, Int64, Shaped
from torch import Tensor
from torch.utils import _pytree as pytree

from vae_fn import philox
from vae_fn.errors import check_count, described
from vae_fn.types import Key, Shape, Tree

try:
    from torch.func import _random as _generator

    GENERATOR = "torch.func._random philox4x32-10"
except ImportError:
    _generator = philox
    GENERATOR = "vae_fn philox4x32-10"


class Streams(NamedTuple):
    """The named keys of a run, one for each purpose.

    The order of the fields is part of the format of a run: it is only ever extended at the end, which leaves the keys
    of the earlier fields as they were.
    """

    init: Key
    order: Key
    noise: Key
    binarise: Key
    estimator: Key
    evaluation: Key
    figures: Key


def key(seed: int, device: torch.device | str | None = None) -> Key:
    """The key of a seed, an int in [0, 2**64), all of whose bits count.

    Raises:
        TypeError: If the seed is not an int.
        ValueError: If the seed is out of range.
    """
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise TypeError(f"a seed is an int in [0, 2**64), got {seed!r}: convert it with int() where that is meant")
    if not 0 <= seed < 2**64:
        raise ValueError(f"a seed is an int in [0, 2**64), got {seed}")
    return _generator.key(seed).to(device=device)


def split(key: Key, num: int = 2) -> Shaped[Tensor, "num *keys 2"]:
    """Derive `num` keys from each key; entry i is `fold_in(key, i)`.

    Raises:
        TypeError: If the key is none (so for every function of a key).
    """
    check_key(key)
    return _generator.split(key, num)


def fold_in(key: Key, data: int | Int64[Tensor, ""]) -> Key:
    """Derive from each key its child numbered `data`, an int in [-2**63, 2**64) or an int64 tensor on the key's device.

    A negative number counts modulo 2**64. In a compiled step pass a tensor: each int may be compiled anew.

    Raises:
        TypeError: If `data` is a fraction, which would be cut to an integer.
    """
    check_key(key)
    whole = not data.is_floating_point() if isinstance(data, Tensor) else isinstance(data, Integral)
    if not whole:
        raise TypeError(f"children of a key are numbered by integers, not by {described(data)}: cast it to int64")
    return _generator.fold_in(key, data.to(key.dtype) if isinstance(data, Tensor) else data)


def streams(key: Key) -> Streams:
    """Split the key of a run, once, into its named streams."""
    return Streams(*split(key, len(Streams._fields)))


def check_key(key: Any) -> None:
    """Hold what is used as a key against what keys are: by shape and dtype alone, at no cost in a compiled step.

    Raises:
        TypeError: If it is none.
    """
    dtype = torch.int64 if _generator is philox else torch.uint64
    if not isinstance(key, Tensor) or key.dtype != dtype or key.shape[-1:] != (2,):
        raise TypeError(
            f"a key must be a tensor (*keys, 2) of {dtype}, not {described(key)}: make one with random.key(seed), or "
            "take one of the streams of a run, such as streams.init"
        )


def normal(key: Key, shape: Shape, dtype: torch.dtype = torch.float32) -> Float[Tensor, "..."]:
    """Standard normal noise, at most sqrt(66 log 2) = 6.77 in size.

    Raises:
        ValueError: If the dtype is not bfloat16, float32 or float64 (so for every law).
    """
    return _cast(_draw(_generator.normal, key, shape), dtype)


def uniform(key: Key, shape: Shape, dtype: torch.dtype = torch.float32) -> Float[Tensor, "..."]:
    """Uniform noise on the odd multiples of 2**-24, so strictly inside (0, 1).

    With u also 1 - u is on this lattice, and exact in float32.

    Raises:
        ValueError: If the dtype is not float32 or float64: bfloat16 would round to 1.
    """
    if dtype == torch.bfloat16:
        raise ValueError("uniform noise in bfloat16 would round to 1: draw it in float32 and cast what is made of it")
    return _cast(_uniform(key, shape), dtype)


def gumbel(key: Key, shape: Shape, dtype: torch.dtype = torch.float32) -> Float[Tensor, "..."]:
    """Standard Gumbel noise, -log(-log u), between -2.812 and 16.636."""
    return _cast(-torch.log(-torch.log(_uniform(key, shape))), dtype)


def laplace(key: Key, shape: Shape, dtype: torch.dtype = torch.float32) -> Float[Tensor, "..."]:
    """Standard Laplace noise (variance 2), -sign(v) log(1 - |v|) with v = 2u - 1; its size is at most 15.943."""
    v = 2 * _uniform(key, shape) - 1
    return _cast(-torch.sign(v) * torch.log1p(-v.abs()), dtype)


def logistic(key: Key, shape: Shape, dtype: torch.dtype = torch.float32) -> Float[Tensor, "..."]:
    """Standard logistic noise (variance pi**2 / 3), log u - log(1 - u), at most 16.636 in size."""
    u = _uniform(key, shape)
    return _cast(torch.log(u) - torch.log(1 - u), dtype)


def rayleigh(key: Key, shape: Shape, dtype: torch.dtype = torch.float32) -> Float[Tensor, "..."]:
    """Rayleigh noise, density x exp(-x**2 / 2) on x > 0: sqrt(-2 log u), between 3.452e-4 and 5.769."""
    return _cast(torch.sqrt(-2 * torch.log(_uniform(key, shape))), dtype)


def maxwell(key: Key, shape: Shape, dtype: torch.dtype = torch.float32) -> Float[Tensor, "..."]:
    """Two-sided Maxwell noise, density x**2 exp(-x**2 / 2) / sqrt(2 pi); its size is at most 11.72.

    Its size is the length of three standard normals, its sign that of the first: the two are independent.
    """
    first, second, third = _draw(_generator.normal, key, (*shape, 3)).unbind(-1)
    return _cast(torch.copysign(torch.sqrt(first**2 + second**2 + third**2), first), dtype)


def permutation(key: Key, n: int) -> Int64[Tensor, "*keys n"]:
    """A uniformly random order of range(n) for each key.

    The n positions are sorted by 63 random bits each. Two of them tie with probability below n**2 / 2**64 (2e-10 for
    n = 60,000) and then keep their order: the law is uniform up to that total variation.

    Raises:
        ValueError: If n is no whole number.
    """
    check_count("n", n, 0)
    digits = (_uniform(key, (n, 3)) * 2**21).to(torch.int64)
    ranks = digits[..., 0] << 42 | digits[..., 1] << 21 | digits[..., 2]
    return torch.argsort(ranks, dim=-1, stable=True)


@dataclass(frozen=True)
class Noise:
    """The specification of an array of noise: a leaf of the trees that `draw` fills.

    Attributes:
        law: A function `law(key, shape, dtype)` of this module, such as `normal`.
        shape: The shape of the array.
    """

    law: Callable[..., Tensor]
    shape: Shape


def draw(key: Key, specs: Tree, dtype: torch.dtype = torch.float32) -> Tree:
    """Draw the tree of arrays for a tree of `Noise`: leaf i, in flattening order, from `fold_in(key, i)`.

    Raises:
        TypeError: If a leaf is not a `Noise`.
    """
    leaves, structure = pytree.tree_flatten(specs)
    for leaf in leaves:
        if not isinstance(leaf, Noise):
            raise TypeError(f"every leaf is a Noise(law, shape), got {leaf!r}: write no noise as an empty tuple")
    arrays = [leaf.law(fold_in(key, i), leaf.shape, dtype) for i, leaf in enumerate(leaves)]
    return pytree.tree_unflatten(arrays, structure)


def _uniform(key: Key, shape: Shape) -> Float32[Tensor, "..."]:
    """Move the generator's draws from the multiples of 2**-24 in [0, 1) to the odd ones."""
    return (torch.floor(_draw(_generator.uniform, key, shape) * 2**23) + 0.5) * 2**-23


def _draw(law: Callable[..., Tensor], key: Key, shape: Shape) -> Float32[Tensor, "..."]:
    """Call a law of the generator, which wants a batch of keys to have one dimension for each of the result's."""
    check_key(key)
    if isinstance(shape, int):
        raise TypeError(f"the shape of noise must be a tuple, not {shape}: write ({shape},)")
    keys = key.shape[:-1]
    return law(key.reshape(*keys, *(1 for _ in shape), 2) if keys else key, (*keys, *shape))


def _cast(noise: Float32[Tensor, "*shape"], dtype: torch.dtype) -> Float[Tensor, "*shape"]:
    if dtype not in (torch.bfloat16, torch.float32, torch.float64):
        raise ValueError(f"noise in {dtype} is refused: ask for bfloat16, float32 or float64")
    return noise.to(dtype)
