"""What a step computes is counted, and what its products take is measured by another clock."""

import itertools
import time

import pytest
import torch

from tests.bench.toys import subject
from vae_fn.bench import VARIANTS, limit, own
from vae_fn.bench.limit import best_time, limit_of, ways_of
from vae_fn.bench.windows import Runner
from vae_fn.bench.work import Layout, Product, work_of
from vae_fn.training.microbatches import sum_over_slices


def test_flops_products_and_bytes_of_a_step():
    work = work_of(subject(width=8, batch=16))
    assert work.flops == 2 * (2 * 16 * 8 * 8)
    assert work.state_bytes == 8 * 8 * 4 + 8
    shapes = {tuple(arg.shape for arg in product.args): count for product, count in work.products.items()}
    assert shapes == {((16, 8), (8, 8)): 1, ((8, 16), (16, 8)): 1}


def test_products_inside_transforms_are_seen():
    """Those of vmap and of a gradient; and twice what is done twice."""

    def step(state, x):
        gradient = torch.func.grad(lambda w: torch.vmap(lambda row: (row @ w).tanh().sum())(x).sum())
        return state - gradient(state) - gradient(state), state.sum()

    work = work_of(own(step, torch.ones(4, 4), torch.ones(3, 4)))
    assert work.flops == 2 * (2 * 2 * 3 * 4 * 4)
    assert set(work.products.values()) == {2}


def test_products_of_a_loop_count_as_often_as_it_does_them():
    """Seven rows, three at a time: twice in the loop, and the last one behind it."""

    def step(state, x):
        return state, sum_over_slices(lambda rows: (rows[0] @ state).sum(0), (x, ()), 3, torch.zeros(4))

    work = work_of(own(step, torch.ones(4, 4), torch.ones(7, 4)))
    assert work.flops == 2 * 7 * 4 * 4
    shapes = {product.args[0].shape: count for product, count in work.products.items()}
    assert shapes == {(3, 4): 2, (1, 4): 1}


def test_products_inside_composite_operations_are_seen():
    """In inference mode torch hands on a linear layer whole."""

    @torch.inference_mode()
    def step(state, x):
        return state, torch.nn.functional.linear(x, state)

    work = work_of(own(step, torch.ones(4, 4), torch.ones(3, 4)))
    assert (work.flops, work.products.total()) == (2 * 3 * 4 * 4, 1)


def test_ways_give_one_product():
    layouts = [Layout(shape, (shape[1], 1), torch.float32, torch.device("cpu")) for shape in ((4, 6), (6, 5))]
    results = [run() for _, run in ways_of(Product(torch.ops.aten.mm.default, tuple(layouts)))]
    assert len(results) >= 4
    assert all(torch.equal(result, torch.full((4, 5), 6.0)) for result in results)


def test_the_best_of_bursts_is_that_of_an_undisturbed_one():
    """Every call takes 3 us; nine bursts of ten are held up for 5 ms."""
    now, starts = [0.0], itertools.count()

    def clock():
        now[0] += 5e-3 if next(starts) % 10 else 0.0
        return now[0]

    def run():
        now[0] += 3e-6

    assert best_time(run, clock=clock) == pytest.approx(3e-6)


def test_the_limit_adds_products_and_state(monkeypatch):
    """A clock that gives every call of anything 1 ms."""
    seconds = itertools.count(0, 1e-3)
    monkeypatch.setattr(limit, "best_time", lambda run, clock: 1e-3)
    work = work_of(subject())
    found = limit_of(work, torch.device("cpu"), clock=lambda: next(seconds))
    assert (found.products_ms, found.state_ms) == (2.0, 1.0)
    assert found.ms == 3.0
    assert sum(found.ways.values()) == 2


def test_a_real_limit_is_below_the_step():
    """The best of its products against the mean of whole steps, whose tanh takes more than half of their time."""
    timed = subject(width=64, batch=512)
    found = limit_of(work_of(timed), torch.device("cpu"))
    assert found.products_ms > 0
    assert found.state_ms > 0
    step_ms = Runner(VARIANTS["eager"].make(timed), timed.state).milliseconds(100, time.perf_counter)
    assert found.ms < step_ms
