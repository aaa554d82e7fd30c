"""Generated code found, and its calls led through another function."""

import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import FunctionType, MethodType, SimpleNamespace

import pytest
import torch

from vae_fn.compiling import again, compile_pure, generated


def code(text, **names):
    """A function `call(args)` of this text, among these names, as the module that Inductor writes has it."""
    space = dict(names)
    exec(f"def call(args):\n    {text}", space)
    return space["call"]


def made():
    """The calls that are made, and what makes them."""
    calls = []

    def make(function, *args, **kwargs):
        calls.append((function, args, kwargs))
        return function(*args, **kwargs)

    return calls, make


def kernel_of_inductor():
    """Some compiled kernel."""
    watched = again.Watched("inductor")
    compile_pure(lambda x: torch.sin(x) + 1, backend=watched)(torch.ones(3))
    call = generated.find(watched.forget().graph).current_callable
    space = getattr(call, "__func__", call).__globals__
    return next(value for name, value in space.items() if name.startswith("cpp_fused"))


def test_the_code_is_found_whether_compiled_or_from_the_cache(fresh_compiler):
    def doubled(x):
        return 2 * torch.cos(x)

    for _ in range(2):
        torch.compiler.reset()
        watched = again.Watched("inductor")
        compile_pure(doubled, backend=watched)(torch.zeros(3))
        found = generated.find(watched.forget().graph)
        assert found.current_callable([torch.zeros(3)])[0].tolist() == [2, 2, 2]


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_other_backends_have_none(backend, fresh_compiler):
    watched = again.Watched(backend)
    compile_pure(lambda x: x + 1, backend=watched)(torch.ones(2))
    assert generated.find(watched.forget().graph) is None


def test_a_torch_without_such_an_object_has_none(monkeypatch, fresh_compiler):
    watched = again.Watched("inductor")
    compile_pure(lambda x: 3 * x, backend=watched)(torch.ones(2))
    graph = watched.forget().graph
    monkeypatch.setitem(sys.modules, "torch._inductor.output_code", SimpleNamespace())
    assert generated.find(graph) is None


def test_of_two_codes_none_is_the_one(fresh_compiler):
    graphs = []
    for function in (torch.sin, torch.cos):
        watched = again.Watched("inductor")
        compile_pure(lambda x, function=function: function(x), backend=watched)(torch.ones(3))
        graphs.append(watched.forget().graph)
    assert generated.find(graphs[0]) is not None
    assert generated.find(lambda: graphs) is None


def test_kernels_and_externs_are_intercepted(fresh_compiler):
    externs, kernel = SimpleNamespace(twice=lambda x, out: out.copy_(2 * x)), kernel_of_inductor()
    text = "cpp_fused(args[0], args[1]); extern_kernels.twice(args[1], out=args[0]); return torch.ops"
    call = code(text, cpp_fused=kernel, extern_kernels=externs, torch=torch)
    calls, make = made()
    x, y = torch.zeros(3), torch.zeros(3)
    generated.intercepted(make, call)([x, y])
    assert [function for function, _, _ in calls] == [kernel, externs.twice]
    assert x.tolist() == [2, 2, 2]
    call([x, y])
    assert len(calls) == 2


def test_a_method_stays_one():
    call = MethodType(FunctionType(code("return args").__code__, {}), object())
    led = generated.intercepted(made()[1], code("return args"))
    assert led([1]) == [1]
    assert isinstance(generated.intercepted(made()[1], call), MethodType)


@pytest.mark.parametrize(
    "text",
    [
        "return body([])",
        "return len(args)",
        "return nowhere",
        "return sync()",
        "return cpp_fused(args)",
        "return args[0].partitions[0](args)",
        "return (lambda: body)()(args)",
    ],
)
def test_what_is_not_known_is_left_alone(text):
    names = {"body": lambda args: args, "sync": torch.get_num_threads, "cpp_fused": lambda args: args}
    assert generated.intercepted(made()[1], code(text, **names)) is None


def test_what_is_no_plain_function_is_left_alone():
    inside = 1
    for call in (len, partial(code("return args")), lambda args: inside):
        assert generated.intercepted(made()[1], call) is None


def test_a_constant_of_the_graph_is_no_call():
    assert generated.intercepted(made()[1], code("return constant0", constant0=torch.ones(2)))([]).tolist() == [1, 1]


def test_another_thread_calls_what_it_always_did():
    compiled = SimpleNamespace(current_callable=lambda args: "own")
    own = compiled.current_callable
    with ThreadPoolExecutor(1) as pool, generated.exchanged(compiled, lambda args: "led") as times:
        assert compiled.current_callable([]) == "led"
        assert pool.submit(compiled.current_callable, []).result() == "own"
        assert len(times) == 1
    assert compiled.current_callable is own


def test_the_code_is_back_after_a_failure():
    compiled = SimpleNamespace(current_callable=lambda args: "own")
    with pytest.raises(RuntimeError, match="out"), generated.exchanged(compiled, lambda args: "led"):
        raise RuntimeError("out")
    assert compiled.current_callable([]) == "own"
