"""The route to the package's own products: what a compiled function sends there, and what stays with torch."""

from concurrent.futures import Future

import pytest
import torch

from tests.compiling.matrices import LAYOUTS, matrices, needs_bfloat16, needs_tiles, random, within_rounding
from vae_fn.compiling import compile_pure, gemm, has_tiles, processor, tiles

pytestmark = needs_tiles


@needs_bfloat16
def test_sums_of_bfloat16_that_the_code_would_round_twice_or_end_in_a_half_word_are_left_to_torch(fresh_compiler):
    for terms in (tiles.DEEPEST + 2, 301):
        a, b, _ = matrices(128, terms, 64, (False, False), 0, torch.bfloat16)
        assert not tiles.takes(a, b)
        assert torch.equal(compile_pure(torch.mm, gemm="tiled")(a, b), compile_pure(torch.mm, gemm="torch")(a, b))


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
    with pytest.warns(UserWarning, match="stay with torch's own choice: g\\+\\+ does not compile") as told:
        found = [
            compile_pure(torch.mm, gemm="tiled")(x, w),
            compile_pure(lambda x, w: x @ w + 1, gemm="tiled")(x, w) - 1,
        ]
    assert len(told) == 1
    with pytest.warns(UserWarning, match="stay with torch's own choice"):  # of a graph from the cache as well
        assert Tiled().uuid() != compiled  # where those with the code are kept apart
    torch.testing.assert_close(found, [x @ w] * 2)
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
