"""Reductions of per-example gradients are found in a graph, and nothing else is."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch._inductor.decomposition import select_decomp_table
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional as F

from tests.compiling.low_rank.graphs import formed, gradients, layers
from vae_fn import random, tree
from vae_fn.compiling.factorised import trace_factorised
from vae_fn.compiling.low_rank.rewriting import rewrite

B, M, N = 7, 24, 32


def arrays(k=1, seed=0, dtype=torch.float32, b=B):
    shapes = {"w": (M, N), "v": (M, N), "x": (b, k, N), "t": (b, k, M), "c": (b,)}
    keys = random.split(random.key(seed), len(shapes))
    return {name: random.normal(key, shape, dtype) for key, (name, shape) in zip(keys, shapes.items(), strict=True)}


def grads(a):
    """Gradients of a weight, one for each example, each through k rows."""
    return torch.vmap(torch.func.grad(lambda w, x, t: (F.linear(x, w).tanh() * t).sum()), (None, 0, 0))(
        a["w"], a["x"], a["t"]
    )


def flat(g):
    return g.reshape(len(g), -1)


def moved_by_a_row(g, a):
    moved = torch.zeros(M, N)
    moved[0] = a["v"][0]
    return ((g - moved) ** 2).sum(0)


def doubled_under_a_view(g, a):
    seen = flat(g)
    g.mul_(2)
    return (seen**2).sum(1)


FOUND = {
    "sum": lambda g, a: g.sum(0),
    "mean": lambda g, a: g.mean(0),
    "square norm": lambda g, a: (flat(g) ** 2).sum(1),
    "square norm, unflattened": lambda g, a: (g * g).sum((1, 2)),
    "mean square": lambda g, a: (g**2).mean((1, 2)),
    "all squares": lambda g, a: (g**2).sum(),
    "norm": lambda g, a: torch.linalg.vector_norm(g.flatten(1), dim=1),
    "norm of the negative half": lambda g, a: torch.linalg.vector_norm((-g / 2).flatten(1), dim=1),
    "moment": lambda g, a: (g**2).sum(0),
    "moment of the transposed": lambda g, a: (g.mT**2).sum(0),
    "moment about a matrix": lambda g, a: ((g - a["v"]) ** 2).sum(0),
    "moment of what is left of a matrix": lambda g, a: ((a["v"] - 3 * g) ** 2).sum(0),
    "moved twice": lambda g, a: ((g - a["v"] + a["w"]) ** 2).sum(0),
    "moved and flattened": lambda g, a: ((flat(g) - a["v"].flatten()) ** 2).sum(1),
    "variance": lambda g, a: ((g - g.mean(0)) ** 2).sum(0),
    "dot": lambda g, a: (g * a["v"]).sum((1, 2)),
    "dot, flattened": lambda g, a: flat(g) @ a["v"].flatten(),
    "dot of a moved one": lambda g, a: ((g - a["w"]) * a["v"]).sum((1, 2)),
    "product of two": lambda g, a: (g * (2 * g + a["v"])).sum((1, 2)),
    "moment of two": lambda g, a: (g * (g + a["v"])).sum(0),
    "weighted sum": lambda g, a: (g * a["c"][:, None, None]).sum(0),
    "weighted by a product": lambda g, a: (a["c"] @ flat(g)).reshape(M, N),
    "scaled rows": lambda g, a: ((g * a["v"][:, :1]) ** 2).sum(0),
    "scaled columns": lambda g, a: ((g / a["v"][:1]) ** 2).sum((1, 2)),
    "scaled by a float64 number": lambda g, a: (g * torch.tensor(0.5, dtype=torch.float64)).sum(0),
    "moved, over a float64 number": lambda g, a: (((g - a["v"]) / torch.tensor(3.0, dtype=torch.float64)) ** 2).sum(0),
    "moved by a row that is written into zeros": moved_by_a_row,
    "doubled in place under a view": doubled_under_a_view,
    "sum with another": lambda g, a: ((g + 2 * grads({**a, "t": a["t"].roll(1, 0)})) ** 2).sum((1, 2)),
}

LEFT = {
    "cubes": lambda g, a: (g**3).sum(0),
    "absolute": lambda g, a: g.abs().sum((1, 2)),
    "largest": lambda g, a: g.abs().amax((1, 2)),
    "clamped": lambda g, a: (g.clamp(min=0) ** 2).sum(0),
    "exponential": lambda g, a: g.exp().sum(0),
    "plus a number": lambda g, a: ((g + 1) ** 2).sum(0),
    "moved by one of its own": lambda g, a: ((g - a["c"][:, None, None]) ** 2).sum((1, 2)),
    "weighted after it was moved": lambda g, a: ((g - a["v"]) * a["c"][:, None, None]).sum(0),
    "squares weighted": lambda g, a: ((g**2) * a["c"][:, None, None]).sum(0),
    "sum of rows": lambda g, a: (g**2).sum(1),
    "products of examples": lambda g, a: flat(g) @ flat(g).mT,
    "in other pieces": lambda g, a: (g.reshape(B, 2, -1) ** 2).sum(2),
    "divided by": lambda g, a: (1 / g).sum(0),
    "doubled": lambda g, a: (g.double() ** 2).sum(0),
    "summed in bfloat16": lambda g, a: g.sum(0, dtype=torch.bfloat16),
    "summed in float16": lambda g, a: g.sum(0, dtype=torch.float16),
    "summed in float64": lambda g, a: g.sum(0, dtype=torch.float64),
    "mean in bfloat16": lambda g, a: g.mean(0, dtype=torch.bfloat16),
}


def close(one, other, rtol=2e-5):
    torch.testing.assert_close(one, other, rtol=rtol, atol=rtol * float(other.abs().max()))


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("name", FOUND)
def test_reductions_are_rewritten(name, k):
    """To what they were, and no matrix of every example is left."""
    a = arrays(k)

    def fn(a):
        return FOUND[name](grads(a), a)

    traced = trace_factorised(fn, a)
    assert traced.rewritten >= 1
    assert formed(traced.run, B, M * N) == []
    wide = tree.map(torch.Tensor.double, a)
    close(traced.run(a).double(), fn(wide))
    close(fn(a).double(), fn(wide))


@pytest.mark.parametrize("name", LEFT)
def test_everything_else_stays(name):
    a = arrays(2)

    def fn(a):
        return LEFT[name](grads(a), a)

    traced = trace_factorised(fn, a)
    assert traced.rewritten == 0
    close(traced.run(a), fn(a))


def test_what_is_asked_for_is_formed():
    a = arrays(2)

    def fn(a):
        g = grads(a)
        return g, (g**2).sum((1, 2))

    traced = trace_factorised(fn, a)
    assert len(formed(traced.run, B, M * N)) >= 1
    for one, other in zip(traced.run(a), fn(a), strict=True):
        close(one, other)


@pytest.mark.parametrize("change", [{"dtype": torch.float64}, {"k": 9}, {"b": 1}])
def test_float64_many_rows_and_single_examples_stay(change):
    """Rows are too many where the factors are no smaller than the matrices."""
    a = arrays(**change)
    assert trace_factorised(lambda a: (grads(a) ** 2).sum(0), a).rewritten == 0


def test_a_float64_number_may_be_an_argument():
    a, rate = arrays(2), torch.tensor(0.3, dtype=torch.float64)

    def fn(a, rate):
        g = grads(a) * rate
        return g.sum(0), (flat(g) ** 2).sum(1), ((g - rate) ** 2).sum(0), (a["c"] @ flat(g)).reshape(M, N)

    traced = trace_factorised(fn, a, rate)
    assert traced.rewritten == 4
    for one, other in zip(traced.run(a, rate), fn(a, rate), strict=True):
        close(one, other)


def test_factors_are_read_before_they_are_written_over():
    a = arrays(1)

    def fn(a):
        x = a["x"].clone()
        g = grads({**a, "x": x})
        x.mul_(2)
        return (g**2).sum((1, 2)), x

    traced = trace_factorised(fn, a)
    assert traced.rewritten == 1
    for one, other in zip(traced.run(a), fn(a), strict=True):
        close(one, other)


@pytest.mark.parametrize("reduce", [moved_by_a_row, doubled_under_a_view])
def test_graphs_that_write_into_values_stay(reduce):
    a = arrays(1)
    module = make_fx(lambda a: reduce(grads(a), a), select_decomp_table(), tracing_mode="fake")(a)
    assert rewrite(module.graph) == 0


def test_results_may_be_copied_into_arguments():
    a = arrays(1)

    def fn(a):
        found = (grads(a) ** 2).sum(0)
        a["w"].copy_(found)
        return found

    traced = trace_factorised(fn, a)
    assert traced.rewritten == 1
    for one, other in zip((traced.run(b := tree.map(torch.clone, a)), b["w"]), (fn(a), a["w"]), strict=True):
        close(one, other)


def test_one_of_the_factors_may_be_the_same_for_all_examples():
    """As the input is where noise alone is mapped over."""
    a = arrays(1)

    def fn(a):
        one = torch.func.grad(lambda w, t: (F.linear(a["x"][0], w).sin() * t).sum())
        g = torch.vmap(one, (None, 0))(a["w"], a["t"])
        return (g**2).sum(0), g.sum(0), (g * a["v"]).sum((1, 2))

    traced = trace_factorised(fn, a)
    assert traced.rewritten == 3
    for one, other in zip(traced.run(a), fn(a), strict=True):
        close(one, other)


@given(st.lists(st.integers(8, 40), min_size=2, max_size=4), st.integers(2, 7), st.integers(1, 3), st.integers(0, 9))
def test_networks_of_any_widths(widths, b, k, seed):
    params, x = layers(widths, b, k, seed)

    def fn(params, x):
        g = gradients(params, x)
        moved = tree.map(torch.sub, g, params)
        return [
            tree.map(lambda leaf: leaf.mean(0), g),
            tree.map(lambda leaf: (leaf**2).sum(0), moved),
            tree.map(lambda leaf: (leaf.reshape(b, -1) ** 2).sum(1), g),
        ]

    exact = fn(*tree.map(torch.Tensor.double, (params, x)))
    for one, other in zip(tree.leaves(trace_factorised(fn, params, x).run(params, x)), tree.leaves(exact), strict=True):
        close(one.double(), other, rtol=1e-4)


def test_the_size_of_what_is_left_is_counted():
    a = arrays(1)
    plain, factored = (trace_factorised(fn, a) for fn in (lambda a: grads(a).abs().sum(0), lambda a: grads(a).sum(0)))
    assert plain.numbers - factored.numbers >= B * M * N
    assert math.isfinite(factored.numbers)
