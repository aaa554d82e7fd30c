"""The package's own products: against float64, for all ways that matrices lie in memory; the bits know no threads."""

import sys
from itertools import product

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import example, given

from tests.compiling.matrices import (
    LAYOUTS,
    SIZES,
    dtypes,
    matrices,
    needs_bfloat16,
    needs_tiles,
    random,
    within_rounding,
)
from vae_fn.compiling import tiles

pytestmark = needs_tiles


STAYING_OR_NOT = ((False, False), (True, False), (True, True))


def multiplied(bias, a, b, out, leaving):
    if bias is None:
        return tiles.product(a, b, out=out, leaving=leaving)
    return tiles.biased_product(bias, a, b, out=out, leaving=leaving)


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@given(m=SIZES, k=SIZES, n=SIZES, seed=st.integers(0, 2**32 - 1))
@example(m=9, k=2500, n=70, seed=0)
@example(m=3, k=1030, n=900, seed=1)
@example(m=700, k=1030, n=600, seed=2)
def test_products_are_those_of_float64_to_rounding(layout, m, k, n, seed):
    a, b, bias = matrices(m, k, n, layout, seed)
    assert tiles.takes(a, b)
    for added, leaving in product((None, bias), STAYING_OR_NOT):
        out = torch.full((m, n), float("nan"))
        found = multiplied(added, a, b, out, leaving)
        assert found is out
        assert within_rounding(out, a, b, added)


@needs_bfloat16
@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@given(m=SIZES, k=SIZES, n=SIZES, seed=st.integers(0, 2**32 - 1))
@example(m=9, k=1024, n=70, seed=0)
@example(m=700, k=515, n=600, seed=2)
def test_products_of_bfloat16_are_rounded_once(layout, m, k, n, seed):
    a, b, bias = matrices(m, 2 * k, n, layout, seed, torch.bfloat16)
    if tiles.takes(a, b):
        for added, leaving in product((None, bias), STAYING_OR_NOT):
            out = torch.full((m, n), float("nan"), dtype=torch.bfloat16)
            multiplied(added, a, b, out, leaving)
            assert within_rounding(out, a, b, added)
    else:
        assert 2 * k > tiles.DEEPEST


@needs_bfloat16
@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_products_of_bfloat16_that_leave_a_term_out_or_are_cut_off_are_seen(layout):
    """Mutants: two of 1,030 terms are missing, or the sum loses its lower half, which is no rounding to nearest."""
    a, b, _ = matrices(33, 1030, 40, layout, 0, torch.bfloat16)
    out = torch.empty(33, 40, dtype=torch.bfloat16)
    assert not within_rounding(tiles.product(a[:, :-2], b[:-2], out=out), a, b)
    cut = ((a.float() @ b.float()).view(torch.int32) & -65536).view(torch.float32)
    assert not within_rounding(cut.bfloat16(), a, b)


def test_a_call_with_too_little_is_an_error():
    with pytest.raises(TypeError, match="a, b, bias, out, m, n, k"):
        tiles.begin().result()(torch.ones(1), torch.ones(1))


def test_what_is_no_tensor_is_an_error():
    with pytest.raises(RuntimeError, match="non-tensor"):
        tiles.begin().result()(None, random(8, 8), None, random(8, 8), 8, 8, 8, 8, 1, 8, 1, 4, 1, 0, 0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.int32], ids=str)
def test_other_numbers_are_an_error(dtype, unchecked):
    x = torch.ones(8, 8, dtype=dtype)
    with pytest.raises(ValueError, match=f"no own code multiplies {dtype} of strides"):
        tiles.product(x, x, out=x)
    with pytest.raises(ValueError, match="numbers of 8 bytes are not multiplied here"):
        tiles.begin().result()(x, x, None, x, 8, 8, 8, 8, 1, 8, 1, 8, 1, 0, 0)


@pytest.mark.parametrize("shapes", [((4, 8), (2, 4)), ((4, 8), (9, 4)), ((8,), (8, 4))], ids=str)
def test_factors_without_a_product_are_an_error(shapes, unchecked):
    a, b = map(torch.ones, shapes)
    with pytest.raises(ValueError, match="have no product: the first must have as many columns"):
        tiles.product(a, b, out=torch.zeros(4, 4))
    with pytest.raises(ValueError, match="have no product: the first must have as many columns"):
        tiles.biased_product(torch.ones(4), a, b, out=torch.zeros(4, 4))


UNFIT_RESULTS = {
    "too few rows": torch.zeros(3, 5),
    "too few columns": torch.zeros(4, 4),
    "another dtype": torch.zeros(4, 5, dtype=torch.float16),
    "transposed": torch.zeros(5, 4).t(),
    "a slice": torch.zeros(4, 8)[:, :5],
}


@pytest.mark.parametrize("name", UNFIT_RESULTS)
def test_a_result_that_does_not_fit_is_an_error_and_is_not_written(name, unchecked):
    out = UNFIT_RESULTS[name]
    with pytest.raises(ValueError, match=r"^out is .*: make it dense, torch\.float32 of shape \(4, 5\) on cpu"):
        tiles.product(torch.ones(4, 8), torch.ones(8, 5), out=out)
    assert not out.any()


UNFIT_BIASES = {
    "too short": torch.ones(4),
    "another dtype": torch.ones(5, dtype=torch.float64),
    "expanded": torch.ones(1).expand(5),
    "every other number": torch.ones(10)[::2],
}


@pytest.mark.parametrize("name", UNFIT_BIASES)
def test_a_bias_that_does_not_fit_is_an_error(name, unchecked):
    out = torch.zeros(4, 5)
    with pytest.raises(ValueError, match=r"^bias is .*: make it dense, torch\.float32 of shape \(5,\) on cpu"):
        tiles.biased_product(UNFIT_BIASES[name], torch.ones(4, 8), torch.ones(8, 5), out=out)
    assert not out.any()


def test_the_module_takes_no_name_that_others_may_have():
    tiles.begin().result()
    assert "tiles" not in sys.modules


def test_a_product_that_leaves_a_term_out_is_seen():
    """A mutant: the last of 1,030 terms is missing."""
    a, b, _ = matrices(33, 1030, 40, (False, False), 0)
    out = torch.empty(33, 40)
    tiles.product(a[:, :-1], b[:-1], out=out)
    assert not within_rounding(out, a, b)


@dtypes
def test_nothing_is_written_beside_the_result(dtype):
    a, b, _ = matrices(13, 20, 37, (False, True), 0, dtype)
    room = torch.zeros(2 + 13, 37, dtype=dtype)
    tiles.product(a, b, out=room[1:-1])
    assert not room[0].any()
    assert not room[-1].any()
    assert within_rounding(room[1:-1], a, b)


@dtypes
@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("sizes", [(128, 784, 512), (128, 512, 784), (37, 1500, 300)], ids=str)
def test_the_bits_depend_neither_on_threads_nor_on_what_becomes_of_the_factors(sizes, layout, dtype):
    a, b, bias = matrices(*sizes, layout, 0, dtype)
    factors = a.clone(), b.clone(), bias.clone()
    usual, found = torch.get_num_threads(), []
    try:
        for threads, leaving in product((1, 2, 3, 7), STAYING_OR_NOT):
            torch.set_num_threads(threads)
            found.append(multiplied(bias, a, b, a.new_empty(sizes[0], sizes[2]), leaving))
    finally:
        torch.set_num_threads(usual)
    assert all(torch.equal(each, found[0]) for each in found)
    assert all(map(torch.equal, (a, b, bias), factors))


@dtypes
def test_what_is_not_finite_stays_where_it_is(dtype):
    a, b, _ = matrices(40, 50, 60, (False, False), 0, dtype)
    a = a.clone()
    a[3, 4] = float("nan")
    out = tiles.product(a, b, out=a.new_empty(40, 60))
    assert out[3].isnan().all()
    assert out.isfinite().sum() == 39 * 60


def test_what_is_empty_is_left_to_torch():
    assert not tiles.takes(torch.empty(3, 0), torch.empty(0, 4))


def test_a_compiler_that_fails_is_quoted(tmp_path):
    with pytest.raises(RuntimeError, match=r"sh does not compile tiles\.cpp: no room"):
        tiles._load(["sh", "-c", "echo no room >&2; exit 1"], tmp_path / "library.so")
    assert not list(tmp_path.iterdir())


@needs_bfloat16
def test_subnormal_numbers_of_bfloat16_count_as_zero():
    tiny, large = torch.full((1, 2), 1e-39).bfloat16(), torch.full((2, 1), 1e38).bfloat16()
    assert tiny.count_nonzero() == 2
    assert not tiles.product(tiny, large, out=torch.ones(1, 1, dtype=torch.bfloat16)).any()
