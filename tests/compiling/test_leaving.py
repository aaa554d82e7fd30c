"""What a compiled program gives back to memory: factors that nothing reads again before they are written anew."""

import pytest
import torch
from torch import fx
from torch.func import grad

from tests.compiling.matrices import needs_tiles, random
from vae_fn.compiling import compile_pure, compile_step, tiles
from vae_fn.compiling.leaving import leaving

pytestmark = needs_tiles

aten = torch.ops.aten

BATCH, WIDE, MIDDLE, NARROW = 40, 96, 64, 32


def loss(params, x, turned):
    def by(x, w):
        return x @ (w.t() if turned else w)

    return by(torch.tanh(by(torch.tanh(x), params["first"])), params["second"]).square().sum()


def weights(turned):
    shapes = {"first": (WIDE, MIDDLE), "second": (MIDDLE, NARROW)}
    return {name: random(*(shape[::-1] if turned else shape)) / 10 for name, shape in shapes.items()}


def step_of(turned):
    def step(params, x):
        grads = grad(loss)(params, x, turned)
        return {name: value - 0.1 * grads[name] for name, value in params.items()}, x.sum()

    return step


@pytest.fixture
def left(monkeypatch, fresh_compiler):
    """The products that are called, and which of their factors leave, by m, n and k."""
    found, code = {}, tiles._code()

    def spy(*args):
        found[args[4:7]] = args[-2:]
        code(*args)

    monkeypatch.setattr(tiles, "_code", lambda: spy)
    return found


def test_a_donated_step_gives_back_the_factors_of_gradients_and_the_weights_that_it_updates(left):
    params, x = weights(turned=True), random(BATCH, WIDE)
    expected = step_of(turned=True)(params, x)[0]
    found, _ = compile_step(step_of(turned=True), gemm="tiled")(params, x)
    _, right = left.pop((NARROW, MIDDLE, BATCH))  # what becomes of its left factor follows from torch's order
    assert right
    assert left == {
        (BATCH, MIDDLE, WIDE): (False, False),
        (BATCH, NARROW, MIDDLE): (False, False),
        (BATCH, MIDDLE, NARROW): (False, True),
        (MIDDLE, WIDE, BATCH): (True, True),
    }
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value)


@pytest.mark.parametrize("first", ["gradient", "other"])
def test_of_two_products_that_read_a_factor_the_later_one_gives_it_back(first):
    graph = fx.Graph()
    made, other = (_made(graph, name) for name in ("delta", "hidden"))
    weight = graph.placeholder("weight")
    weight.meta["val"] = random(NARROW, MIDDLE)
    turned = graph.call_function(aten.permute.default, (made, [1, 0]))
    turned.meta["val"] = made.meta["val"].t()
    pairs = {"gradient": (turned, other), "other": (made, weight)}
    products = {name: graph.call_function(aten.mm.default, pairs[name]) for name in sorted(pairs, key=first.__ne__)}
    found = {name: leaving(node, (aten.mm.default,)) for name, node in products.items()}
    assert found == {"gradient": (first == "other", True), "other": (False, False)}


def _made(graph, name):
    """A factor that the graph computes."""
    node = graph.call_function(aten.tanh.default, (graph.placeholder(name),))
    node.meta["val"] = random(BATCH, NARROW)
    return node


def test_a_weight_that_is_read_again_stays(left):
    """Of weights that lie the other way the second is read in the backward pass again, and the first is not."""
    compile_step(step_of(turned=False), gemm="tiled")(weights(turned=False), random(BATCH, WIDE))
    assert left[BATCH, MIDDLE, WIDE] == (False, True)
    assert left[BATCH, NARROW, MIDDLE] == (False, False)


@pytest.mark.parametrize("turned", [False, True])
def test_a_program_that_updates_no_weight_keeps_them(turned, left):
    params, x = weights(turned), random(BATCH, WIDE)
    compile_pure(lambda params, x: grad(loss, argnums=1)(params, x, turned), gemm="tiled")(params, x)
    assert len(left) == 4
    assert not any(map(any, left.values()))
