"""The package's own products: against float64, for all ways that matrices lie in memory; the bits know no threads."""

import itertools
import sys
from concurrent.futures import Future

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import example, given

from vae_fn.compiling import compile_pure, gemm, has_tiles, processor, tiles

pytestmark = pytest.mark.skipif(not has_tiles(), reason="the processor lacks AVX-512")

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


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@given(m=SIZES, k=SIZES, n=SIZES, seed=st.integers(0, 2**32 - 1))
@example(m=9, k=2500, n=70, seed=0)
@example(m=3, k=1030, n=900, seed=1)
@example(m=700, k=1030, n=600, seed=2)
def test_products_are_those_of_float64_to_rounding(layout, m, k, n, seed):
    a, b, bias = matrices(m, k, n, layout, seed)
    assert tiles.takes(a, b)
    for added in (None, bias):
        out = torch.full((m, n), float("nan"))
        found = tiles.product(a, b, out=out) if added is None else tiles.biased_product(added, a, b, out=out)
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
        for added in (None, bias):
            out = torch.full((m, n), float("nan"), dtype=torch.bfloat16)
            _ = tiles.product(a, b, out=out) if added is None else tiles.biased_product(added, a, b, out=out)
            assert within_rounding(out, a, b, added)
    else:
        assert 2 * k > tiles.DEEPEST


@needs_bfloat16
def test_sums_of_bfloat16_that_the_code_would_round_twice_or_end_in_a_half_word_are_left_to_torch(fresh_compiler):
    for terms in (tiles.DEEPEST + 2, 301):
        a, b, _ = matrices(128, terms, 64, (False, False), 0, torch.bfloat16)
        assert not tiles.takes(a, b)
        assert torch.equal(compile_pure(torch.mm, gemm="tiled")(a, b), compile_pure(torch.mm, gemm="torch")(a, b))


@needs_bfloat16
@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_products_of_bfloat16_that_leave_a_term_out_or_are_cut_off_are_seen(layout):
    """Mutants: two of 1,030 terms are missing, or the sum loses its lower half, which is no rounding to nearest."""
    a, b, _ = matrices(33, 1030, 40, layout, 0, torch.bfloat16)
    out = torch.empty(33, 40, dtype=torch.bfloat16)
    assert not within_rounding(tiles.product(a[:, :-2], b[:-2], out=out), a, b)
    cut = ((a.float() @ b.float()).view(torch.int32) & -65536).view(torch.float32)
    assert not within_rounding(cut.bfloat16(), a, b)


@needs_bfloat16
@pytest.mark.parametrize("sizes", [(128, 784, 512), (128, 512, 784), (37, 1500, 300)], ids=str)
def test_compiled_products_of_bfloat16_go_through_the_code(sizes, fresh_compiler):
    a, b, bias = matrices(*sizes, (False, True), 0, torch.bfloat16)
    found = compile_pure(lambda a, b, bias: torch.addmm(bias, a, b), gemm="tiled")(a, b, bias)
    assert torch.equal(found, tiles.biased_product(bias, a, b, out=torch.empty_like(found)))
    assert within_rounding(found, a, b, bias)


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_compiled_calls_give_the_sizes_of_their_factors(layout, fresh_compiler, monkeypatch):
    a, b, bias = matrices(40, 300, 60, layout, 0)
    seen = []
    monkeypatch.setattr(tiles, "_code", lambda: lambda *args: seen.append((args[4:12], tiles.sizes_of(*args[:2]))))
    compile_pure(lambda a, b: torch.mm(a, b), gemm="tiled")(a, b)
    compile_pure(lambda a, b, bias: torch.addmm(bias, a, b), gemm="tiled")(a, b, bias)
    assert len(seen) == 2
    assert all(given == true for given, true in seen)


def test_a_call_with_too_little_is_an_error():
    with pytest.raises(TypeError, match="a, b, bias, out, m, n, k"):
        tiles.begin().result()(torch.ones(1), torch.ones(1))


def test_what_is_no_tensor_is_an_error():
    with pytest.raises(RuntimeError, match="non-tensor"):
        tiles.begin().result()(None, random(8, 8), None, random(8, 8), 8, 8, 8, 8, 1, 8, 1, 4, 1)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.int32], ids=str)
def test_other_numbers_are_an_error(dtype, unchecked):
    x = torch.ones(8, 8, dtype=dtype)
    with pytest.raises(ValueError, match=f"no own code multiplies {dtype} of strides"):
        tiles.product(x, x, out=x)
    with pytest.raises(ValueError, match="numbers of 8 bytes are not multiplied here"):
        tiles.begin().result()(x, x, None, x, 8, 8, 8, 8, 1, 8, 1, 8, 1)


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
def test_the_bits_do_not_depend_on_threads(sizes, layout, dtype):
    a, b, bias = matrices(*sizes, layout, 0, dtype)
    usual, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3, 7):
            torch.set_num_threads(threads)
            found.append(tiles.biased_product(bias, a, b, out=a.new_empty(sizes[0], sizes[2])))
    finally:
        torch.set_num_threads(usual)
    assert all(torch.equal(each, found[0]) for each in found)


@dtypes
def test_what_is_not_finite_stays_where_it_is(dtype):
    a, b, _ = matrices(40, 50, 60, (False, False), 0, dtype)
    a = a.clone()
    a[3, 4] = float("nan")
    out = tiles.product(a, b, out=a.new_empty(40, 60))
    assert out[3].isnan().all()
    assert out.isfinite().sum() == 39 * 60


def test_factors_that_both_lie_transposed_are_left_to_torch(fresh_compiler):
    x, w = random(256, 128), random(512, 256)
    assert not tiles.takes(x.t(), w.t())
    found = compile_pure(lambda x, w: x.t() @ w.t(), gemm="tiled")(x, w)
    torch.testing.assert_close(found, (w @ x).t(), rtol=1e-5, atol=1e-4)


BIASES = {
    "a row": lambda p: p.view(2, 200)[1],
    "a slice of what was computed": lambda p: torch.nn.functional.softplus(p)[3:203],
    "a row of what was computed": lambda p: (2 * p).view(2, 200)[1],
    "a column": lambda p: p.view(200, 2)[:, 1],
    "backwards": lambda p: p[:200].flip(0),
    "one number": lambda p: p[:1].expand(200),
}


@pytest.mark.parametrize("of", BIASES.values(), ids=BIASES)
def test_a_bias_may_be_any_view(of, fresh_compiler):
    x, w, p = random(128, 300), random(300, 200), random(400)
    found = compile_pure(lambda x, w, p: torch.addmm(of(p), x, w), gemm="tiled")(x, w, p)
    torch.testing.assert_close(found, torch.addmm(of(p), x, w), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("sizes", [(128, 64, 4), (4, 128, 64), (128, 2, 64)], ids=str)
def test_small_products_are_the_codes_own(sizes, fresh_compiler, monkeypatch):
    a, b, _ = matrices(*sizes, (False, False), 0)
    calls, code = [], tiles._code()
    monkeypatch.setattr(tiles, "_code", lambda: lambda *args: (calls.append(args[4:7]), code(*args)))
    found = compile_pure(torch.mm, gemm="tiled")(a, b)
    assert calls == [(sizes[0], sizes[2], sizes[1])]
    assert within_rounding(found, a, b)


FACTORS = {"weight": (0, 1, 0), "bias": (0, 0, 1), "both": (0, 1, 1)}


@pytest.mark.parametrize("others", FACTORS.values(), ids=FACTORS)
@pytest.mark.parametrize("pair", [(torch.float32, torch.bfloat16), (torch.bfloat16, torch.float32)], ids=str)
def test_factors_of_different_dtypes_are_refused_as_by_torch(others, pair, fresh_compiler):
    a, b, bias = (x.to(pair[other]) for x, other in zip(matrices(128, 64, 32, (False, False), 0), others, strict=True))
    assert not others[1] or not tiles.takes(a, b)
    with pytest.raises(RuntimeError, match="dtype"):
        compile_pure(lambda a, b, bias: torch.addmm(bias, a, b), gemm="tiled")(a, b, bias)


def test_without_the_instruction_bfloat16_is_left_to_torch_and_its_graphs_are_others(monkeypatch):
    from vae_fn.compiling.tiled import Tiled

    usual, flags = Tiled().uuid(), processor.of_this_machine().flags - processor.AVX_512_BF16
    monkeypatch.setattr(processor, "of_this_machine", lambda: processor.Processor("", "", flags))
    assert tiles.dtypes() == (torch.float32,)
    assert not tiles.takes(*matrices(8, 8, 8, (False, False), 0, torch.bfloat16)[:2])
    assert not set(tiles.BFLOAT16_FLAGS) & set(tiles._command()[0])
    assert torch.bfloat16 not in Tiled().dtypes
    assert (Tiled().uuid() == usual) == (usual[1] == (torch.float32,))


def test_what_is_empty_is_left_to_torch():
    assert not tiles.takes(torch.empty(3, 0), torch.empty(0, 4))


@pytest.mark.parametrize("sizes", [(1, 512, 784), (200, 1000, 1), (400, 2, 800)], ids=str)
def test_large_thin_products_stay_with_torch(sizes, fresh_compiler):
    a, b, _ = matrices(*sizes, (False, False), 0)
    assert torch.equal(compile_pure(torch.mm, gemm="tiled")(a, b), compile_pure(torch.mm, gemm="torch")(a, b))


def failing(monkeypatch):
    failed = Future()
    failed.set_exception(RuntimeError("g++ does not compile tiles.cpp: no space left"))
    monkeypatch.setattr(tiles, "begin", lambda: failed)
    tiles._code.cache_clear()


def test_where_the_code_does_not_compile_torch_multiplies_with_a_warning(fresh_compiler, monkeypatch):
    from vae_fn.compiling.tiled import Tiled

    compiled = Tiled().uuid()
    failing(monkeypatch)
    x, w = random(128, 300), random(300, 200)
    with pytest.warns(UserWarning, match="stay with torch's own choice: g\\+\\+ does not compile"):
        found = compile_pure(torch.mm, gemm="tiled")(x, w)
    with pytest.warns(UserWarning, match="stay with torch's own choice"):  # of a graph from the cache as well
        assert Tiled().uuid() != compiled  # where those with the code are kept apart
    assert torch.equal(found, x @ w)
    assert not has_tiles()
    monkeypatch.setattr(gemm, "default_gemm", lambda: "tiled")
    assert gemm.used_gemm() == "torch"  # and so it stands in a run's record


def test_a_kept_graph_whose_code_is_gone_multiplies_by_torch(monkeypatch):
    failing(monkeypatch)
    a, b, bias = matrices(128, 300, 200, (False, False), 0)
    assert torch.equal(tiles.product(a, b, out=torch.empty(128, 200)), a @ b)
    assert torch.equal(tiles.biased_product(bias, a, b, out=torch.empty(128, 200)), torch.addmm(bias, a, b))
    monkeypatch.undo()
    tiles._code.cache_clear()


def test_a_wrapper_in_cpp_leaves_products_to_torch(fresh_compiler):
    a, b, _ = matrices(128, 300, 200, (False, False), 0)
    with torch.random.fork_rng(), pytest.warns(UserWarning, match="cannot call other code"):  # Inductor draws here
        found = compile_pure(torch.mm, gemm="tiled", options={"cpp_wrapper": True})(a, b)
    torch.testing.assert_close(found, a @ b, rtol=1e-5, atol=1e-4)


def test_a_compiler_that_fails_is_quoted(tmp_path):
    with pytest.raises(RuntimeError, match=r"sh does not compile tiles\.cpp: no room"):
        tiles._load(["sh", "-c", "echo no room >&2; exit 1"], tmp_path / "library.so")
    assert not list(tmp_path.iterdir())
