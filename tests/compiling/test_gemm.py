"""Products by other code than torch's: the same numbers to rounding, where they are large, and only when asked for."""

import importlib
import sys

import pytest
import torch

from vae_fn.compiling import compile_epoch, compile_pure, compile_step, default_gemm, gemm, has_tiles, processor

LARGE, SMALL = (128, 256, 512), (16, 16, 16)


class Counted:
    """A pass, with a count of what it left in the graphs."""

    def __init__(self, way):
        if way == "tiled" and not has_tiles():
            pytest.skip("the processor lacks AVX-512")
        module, name = gemm.PASSES[way].split(".")

        class Counting(getattr(importlib.import_module(f"vae_fn.compiling.{module}"), name)):
            def __call__(_, graph):
                super().__call__(graph)
                targets = [str(node.target) for node in graph.nodes]
                self.sent += sum("_linear_pointwise" in target or "vae_fn.product" in target for target in targets)
                self.plain += sum(target in ("aten.mm.default", "aten.addmm.default") for target in targets)

            def uuid(_):
                return None  # a graph from the cache would pass by

        self.sent = self.plain = 0
        self.options = {"post_grad_custom_post_pass": Counting()}


ways = pytest.mark.parametrize("way", list(gemm.PASSES))


def operands(m, k, n, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shapes = (m, k), (k, n), (n,)
    return [torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes]


def affine(x, w, b):
    y = x @ w
    return torch.addmm(b, x, w), y, y.t() @ x


@ways
def test_large_products_go_another_way_and_are_right_to_rounding(way, fresh_compiler):
    counted, wide = Counted(way), affine(*operands(*LARGE, torch.float64))
    routed = compile_pure(affine, gemm="torch", options=counted.options)(*operands(*LARGE))
    assert (counted.sent, counted.plain) == (3, 0)
    stock = compile_pure(affine, gemm="torch")(*operands(*LARGE))
    for value, plain, exact in zip(routed, stock, wide, strict=True):
        error, usual = ((found.double() - exact).abs().max().item() for found in (value, plain))
        assert error <= 4 * usual


@pytest.mark.parametrize(
    ("way", "sizes", "dtype"),
    [
        ("onednn", SMALL, torch.float32),
        ("onednn", LARGE, torch.bfloat16),
        ("onednn", LARGE, torch.float64),
        ("tiled", LARGE, torch.float64),
        ("tiled", LARGE, torch.float16),
    ],
    ids=str,
)
def test_other_products_stay(way, sizes, dtype, fresh_compiler):
    counted = Counted(way)
    compile_pure(affine, gemm="torch", options=counted.options)(*operands(*sizes, dtype))
    assert (counted.sent, counted.plain) == (0, 3)


@ways
def test_a_bias_that_broadcasts_stays(way, fresh_compiler):
    counted, (x, w, _) = Counted(way), operands(*LARGE)
    found = compile_pure(lambda x, w, s: x @ w + s, gemm="torch", options=counted.options)(x, w, torch.ones(1))
    assert counted.sent + counted.plain == 1
    torch.testing.assert_close(found, x @ w + 1, rtol=1e-5, atol=1e-4)


@ways
def test_gradients_go_the_same_way(way, fresh_compiler):
    """Value and gradient of a layer, against float64."""

    def loss(w, x, b):
        return torch.nn.functional.silu(torch.addmm(b, x, w)).square().mean()

    counted, (x, w, b) = Counted(way), operands(*LARGE)
    both = torch.func.grad_and_value(loss, argnums=(0, 1))
    (dw, dx), value = compile_pure(both, gemm="torch", options=counted.options)(w, x, b)
    assert counted.sent == 3
    wide, exact = both(w.double(), x.double(), b.double())
    torch.testing.assert_close(value.double(), exact, rtol=1e-5, atol=0)
    for found, expected in zip((dw, dx), wide, strict=True):
        assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_a_route_that_multiplies_by_the_wrong_side_is_seen(fresh_compiler):
    """A mutant of the pass that forgets to transpose, on square matrices where shapes cannot tell."""
    from vae_fn.compiling import onednn

    class Untransposed(onednn.OneDNN):
        def __call__(self, graph):
            super().__call__(graph)
            for node in graph.nodes:
                if node.target is torch.ops.mkldnn._linear_pointwise.default:
                    node.replace_input_with(node.args[1], node.args[1].args[0])

        def uuid(self):
            return None

    x, w, _ = operands(160, 160, 160)
    wrong = compile_pure(torch.mm, gemm="torch", options={"post_grad_custom_post_pass": Untransposed()})(x, w)
    assert (wrong - x @ w).abs().max() > 1


AVX_2 = "fpu avx2 fma"
AVX_512 = f"{AVX_2} avx512f avx512vl clflushopt"


def machine(vendor, family, flags):
    return lambda: processor.Processor(vendor, family, frozenset(flags.split()))


PROCESSORS = [
    (("AuthenticAMD", "26", AVX_512), "onednn"),
    (("AuthenticAMD", "25", AVX_512), "tiled"),
    (("AuthenticAMD", "25", AVX_2), "torch"),
    (("GenuineIntel", "6", AVX_512), "torch"),
    (("", "", ""), "torch"),
]


@pytest.mark.parametrize(("told", "expected"), PROCESSORS, ids=str)
def test_the_default_depends_on_the_processor(told, expected, monkeypatch):
    monkeypatch.setattr(processor, "of_this_machine", machine(*told))
    gemm._route.cache_clear()
    assert default_gemm() == expected
    assert bool(gemm.gemm_options(None)) == (expected != "torch")
    assert gemm.used_gemm() == expected
    gemm._route.cache_clear()


def test_tiles_asked_for_on_another_processor_are_left_out_with_one_warning(monkeypatch):
    monkeypatch.setattr(processor, "of_this_machine", machine("AuthenticAMD", "23", AVX_2))
    gemm._route.cache_clear()
    with pytest.warns(UserWarning, match="lacks AVX-512"):
        assert gemm.gemm_options("tiled") == {}
    assert gemm.gemm_options("tiled") == {}
    assert not has_tiles()
    gemm._route.cache_clear()


@pytest.mark.parametrize(
    ("capability", "expected"),
    [("avx2", "torch"), ("default", "torch"), ("avx512", "tiled"), ("", "tiled"), ("AVX2", "tiled")],
)
def test_own_code_heeds_what_torch_is_told_to_do_without(capability, expected, monkeypatch):
    """What torch does not know it ignores."""
    monkeypatch.setattr(processor, "of_this_machine", machine("AuthenticAMD", "25", f"{AVX_512} avx512bw avx512_bf16"))
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", capability)
    assert default_gemm() == expected
    assert processor.has_avx_512_bf16() == (expected == "tiled")


def test_an_unknown_way_is_refused(fresh_compiler):
    for backend in ("inductor", "eager"):
        with pytest.raises(ValueError, match="use one of tiled, onednn, torch"):
            compile_step(lambda state: (state, state), gemm="mkl", backend=backend)
        with pytest.raises(ValueError, match="use one of tiled, onednn, torch"):
            compile_epoch(lambda state: (state, state), gemm="mkl", backend=backend)
    with pytest.raises(ValueError, match="a choice of Inductor's"):
        compile_pure(torch.sin, gemm="onednn", backend="eager")
    with pytest.raises(ValueError, match="a choice of Inductor's"):
        compile_epoch(lambda state: (state, state), gemm="onednn", backend="eager")


def test_without_the_private_interfaces_the_plain_path_is_taken_with_one_warning(monkeypatch):
    gemm._route.cache_clear()
    monkeypatch.setitem(sys.modules, "vae_fn.compiling.onednn", None)
    with pytest.warns(UserWarning, match="stay with torch's own choice"):
        assert gemm.gemm_options("onednn") == {}
    assert gemm.gemm_options("onednn") == {}
    gemm._route.cache_clear()
