"""Matrices for the tests of products, and how far a product may be from the exact one."""

import itertools

import hypothesis.strategies as st
import pytest
import torch

from vae_fn.compiling import has_tiles, tiles

needs_tiles = pytest.mark.skipif(not has_tiles(), reason="the processor lacks AVX-512")
needs_bfloat16 = pytest.mark.skipif(torch.bfloat16 not in tiles.dtypes(), reason="the processor lacks AVX-512 BF16")

dtypes = pytest.mark.parametrize("dtype", tiles.dtypes(), ids=str)

SIZES = st.one_of(st.integers(1, 70), st.sampled_from([128, 257, 1030]))

LAYOUTS = list(itertools.product((False, True), repeat=2))[:-1]
"""Whether either factor lies transposed; both at once is left to torch."""


def matrices(m, k, n, layout, seed, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)

    def made(rows, columns, turned):
        shape = (columns, rows + 3) if turned else (rows, columns + 3)  # rows apart, as in a slice of something wider
        whole = torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
        return whole[:, :rows].t() if turned else whole[:, :columns]

    return made(m, k, layout[0]), made(k, n, layout[1]), torch.randn(n, generator=generator).to(dtype)


def random(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def within_rounding(found, a, b, bias=None):
    """The error of a sum of k terms, formed in blocks: each element within 20 roundings of the sum of magnitudes.

    In bfloat16 the sum is rounded once more.
    """
    wide, magnitude = a.double() @ b.double(), a.double().abs() @ b.double().abs()
    if bias is not None:
        wide, magnitude = wide + bias, magnitude + bias.double().abs()
    room = 20 * torch.finfo(torch.float32).eps * magnitude
    if found.dtype == torch.bfloat16:
        room = room + torch.finfo(torch.bfloat16).eps / 2 * wide.abs()
    return bool(((found - wide).abs() <= room).all())
