"""First calls: graphs and recompiles are counted, a graph break is refused, generated code is read."""

import pytest
import torch

from vae_fn.bench import compiled
from vae_fn.bench.compiled import Calls, calls_in, calls_of, first_call, whole
from vae_fn.bench.variants import VARIANTS, Variant, one_by_one
from vae_fn.compiling import CaptureError, compile_step
from vae_fn.errors import UserError


@pytest.fixture(autouse=True)
def quick(monkeypatch, fresh_compiler):
    """A row that compiles without generating code."""
    edge = one_by_one(lambda step: compile_step(step, donate=False, backend="aot_eager"))
    monkeypatch.setitem(VARIANTS, "quick", Variant("for tests", edge))


def first(name, variant="quick", **arguments):
    return first_call({"source": (f"tests.bench.toys:{name}", arguments), "variant": variant}, lambda what: None)


def test_a_pure_step_is_one_graph_and_never_compiled_again():
    told = first("subject")
    assert (told["graphs"], told["graph_breaks"], told["recompiles"]) == (1, 0, 0)
    assert told["seconds"] > 0
    assert told["peak_mb"] is None or told["peak_mb"] >= (8 * 8 * 4 + 8) / 1e6
    assert told["process_peak_mb"] > 50


def test_nothing_is_compiled_of_an_eager_step():
    assert first("subject", "eager")["graphs"] == 0


def test_recompiles_of_a_step_that_changes_shape_are_counted():
    assert first("growing")["recompiles"] == compiled.STEPS


def test_a_graph_break_is_refused_in_one_line():
    with pytest.raises(UserError, match=r"^row 'quick': the step cannot be compiled whole: .*--rows eager alone$"):
        first("breaking")


def test_what_a_step_raises_while_it_is_traced_is_told():
    with pytest.raises(
        UserError, match=r"while it was traced it raised RuntimeError\('not under a compiler'\). Mend that"
    ):
        first("refusing")


def test_a_step_that_is_compiled_anew_at_every_call_is_refused_in_one_line():
    program = compile_step(lambda state, x: (state + x, x), donate=False, backend="aot_eager")

    def run():
        for size in range(1, 30):
            program(torch.ones(size), torch.ones(size))

    with pytest.raises(UserError, match=r"^row 'quick': the step is compiled anew .* in the state"), whole("quick"):
        run()


def test_a_step_that_is_no_graph_of_a_device_is_refused_in_one_line(monkeypatch):
    def advance(state, count):
        raise CaptureError("the step is no CUDA graph (it waits)", "leave cuda_graph out, or mend that")

    monkeypatch.setitem(VARIANTS, "quick", Variant("for tests", lambda subject: advance))
    reason = r"^row 'quick': the step is no CUDA graph \(it waits\): mend that, or leave the row out$"
    with pytest.raises(UserError, match=reason):
        first("subject")


CODE = """
cpp_fused_tanh_0 = async_compile.cpp_pybinding([])
def loop_body(args):
    cpp_fused_tanh_0(args)
class Runner:
    def call(self, args):
        extern_kernels.mm(arg0_1, arg1_1, out=buf0)
        buf1 = buf0
        cpp_fused_tanh_0(buf1)
        buf2 = torch.ops.mkldnn._linear_pointwise.default(buf1, arg2_1)
        triton_poi_fused_add_0.run(buf2, 8, stream=stream0)
        cpp_fused_tanh_0(buf2)
        return (buf2, )
def call_again(args):
    pass
"""


def test_calls_in_generated_code():
    assert calls_of(CODE) == Calls(kernels=4, extern=2)
    assert calls_of("x = 1") == Calls(0, 0)


def test_calls_of_a_cache(tmp_path):
    assert calls_in(tmp_path) is None
    for name in ("ab", "cd"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "code.py").write_text(CODE)
    (tmp_path / "cd" / "other.py").write_text("x = 1")
    assert calls_in(tmp_path) == Calls(8, 4)
