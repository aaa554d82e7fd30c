"""Products through oneDNN: the same numbers to rounding, where they are large, and only when asked for."""

import sys

import pytest
import torch

from vae_fn.compiling import compile_pure, compile_step, default_gemm, gemm

LARGE, SMALL = (128, 256, 512), (16, 16, 16)


class Counted:
    """The pass, with a count of what it left in the graphs."""

    def __init__(self):
        from vae_fn.compiling.onednn import Route

        class Counting(Route):
            def __call__(_, graph):
                super().__call__(graph)
                targets = [str(node.target) for node in graph.nodes]
                self.linear += sum("_linear_pointwise" in target for target in targets)
                self.plain += sum(target in ("aten.mm.default", "aten.addmm.default") for target in targets)

            def uuid(_):
                return None  # a graph from the cache would pass by

        self.linear = self.plain = 0
        self.options = {"post_grad_custom_post_pass": Counting()}


def operands(m, k, n, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shapes = (m, k), (k, n), (n,)
    return [torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes]


def affine(x, w, b):
    y = x @ w
    return torch.addmm(b, x, w), y, y.t() @ x


def test_large_products_go_through_onednn_and_are_right_to_rounding(fresh_compiler):
    counted, wide = Counted(), affine(*operands(*LARGE, torch.float64))
    routed = compile_pure(affine, gemm="torch", options=counted.options)(*operands(*LARGE))
    assert (counted.linear, counted.plain) == (3, 0)
    stock = compile_pure(affine, gemm="torch")(*operands(*LARGE))
    for value, plain, exact in zip(routed, stock, wide, strict=True):
        error, usual = ((found.double() - exact).abs().max().item() for found in (value, plain))
        assert error <= 4 * usual


@pytest.mark.parametrize(
    ("sizes", "dtype"), [(SMALL, torch.float32), (LARGE, torch.float64), (LARGE, torch.bfloat16)], ids=str
)
def test_other_products_stay(sizes, dtype, fresh_compiler):
    counted = Counted()
    compile_pure(affine, gemm="torch", options=counted.options)(*operands(*sizes, dtype))
    assert (counted.linear, counted.plain) == (0, 3)


def test_a_bias_that_broadcasts_stays(fresh_compiler):
    counted, (x, w, _) = Counted(), operands(*LARGE)
    found = compile_pure(lambda x, w, s: x @ w + s, gemm="torch", options=counted.options)(x, w, torch.ones(1))
    assert counted.linear + counted.plain == 1
    torch.testing.assert_close(found, x @ w + 1, rtol=1e-5, atol=1e-4)


def test_gradients_go_the_same_way(fresh_compiler):
    """Value and gradient of a layer, against float64."""

    def loss(w, x, b):
        return torch.nn.functional.silu(torch.addmm(b, x, w)).square().mean()

    counted, (x, w, b) = Counted(), operands(*LARGE)
    both = torch.func.grad_and_value(loss, argnums=(0, 1))
    (dw, dx), value = compile_pure(both, gemm="torch", options=counted.options)(w, x, b)
    assert counted.linear == 3
    wide, exact = both(w.double(), x.double(), b.double())
    torch.testing.assert_close(value.double(), exact, rtol=1e-5, atol=0)
    for found, expected in zip((dw, dx), wide, strict=True):
        assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_a_route_that_multiplies_by_the_wrong_side_is_seen(fresh_compiler):
    """A mutant of the pass that forgets to transpose, on square matrices where shapes cannot tell."""
    from vae_fn.compiling import onednn

    class Untransposed(onednn.Route):
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


def test_the_default_depends_on_the_processor(monkeypatch):
    for processor, expected in ((gemm.ZEN_5, "onednn"), (("AuthenticAMD", "25"), "torch"), (None, "torch")):
        monkeypatch.setattr(gemm, "_processor", lambda processor=processor: processor)
        assert default_gemm() == expected
        assert bool(gemm.gemm_options(None)) == (expected == "onednn")


def test_an_unknown_way_is_refused(fresh_compiler):
    for backend in ("inductor", "eager"):
        with pytest.raises(ValueError, match="use one of onednn, torch"):
            compile_step(lambda state: (state, state), gemm="mkl", backend=backend)
    with pytest.raises(ValueError, match="a choice of Inductor's"):
        compile_pure(torch.sin, gemm="onednn", backend="eager")


def test_without_the_private_interfaces_the_plain_path_is_taken_with_one_warning(monkeypatch):
    gemm._route.cache_clear()
    monkeypatch.setitem(sys.modules, "vae_fn.compiling.onednn", None)
    with pytest.warns(UserWarning, match="stay with torch's own choice"):
        assert gemm.gemm_options("onednn") == {}
    assert gemm.gemm_options("onednn") == {}
    gemm._route.cache_clear()
