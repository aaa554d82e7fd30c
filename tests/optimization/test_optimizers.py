"""Optimizers against `torch.optim`: the movement from the starting point, in float64, step for step."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.training.trajectories import (
    SEEDS,
    SHAPES,
    STEPS,
    check_movement,
    random_grads,
    random_tree,
    torch_trajectory,
    trajectory,
)
from vae_fn import tree
from vae_fn.optimization.optimizers import Optimizer, adam, adamw, sgd
from vae_fn.optimization.schedules import warmup_cosine

RATES = st.sampled_from([1e-4, 1e-2, 0.3])
SCALES = st.sampled_from([0.0, 1e-3, 1.0, 30.0])


def check_adam(optimizer, shapes, seed, scale, rate, b1, b2, eps, weight_decay):
    params, grads = random_tree(shapes, seed, scale), random_grads(shapes, seed)

    def make(leaves):
        return torch.optim.AdamW(leaves, rate, (b1, b2), eps, weight_decay, foreach=False)

    check_movement(trajectory(optimizer, params, grads), torch_trajectory(make, params, grads), params)


def check_sgd(optimizer, shapes, seed, scale, rate, momentum, nesterov, weight_decay):
    params, grads = random_tree(shapes, seed, scale), random_grads(shapes, seed)

    def make(leaves):
        return torch.optim.SGD(leaves, rate, momentum, nesterov=nesterov, foreach=False)

    def decay(param):
        param.mul_(1 - rate * weight_decay)

    check_movement(trajectory(optimizer, params, grads), torch_trajectory(make, params, grads, before=decay), params)


B1, B2, EPS = (
    st.sampled_from([0.0, 0.5, 0.9]),
    st.sampled_from([0.0, 0.9, 0.999, 0.9999]),
    st.sampled_from([1e-8, 1e-3]),
)
DECAYS = st.sampled_from([0.0, 1e-2, 0.5])


@given(SHAPES, SEEDS, SCALES, RATES, B1, B2, EPS, DECAYS)
def test_adamw_moves_as_torchs(shapes, seed, scale, rate, b1, b2, eps, weight_decay):
    check_adam(adamw(rate, b1, b2, eps, weight_decay), shapes, seed, scale, rate, b1, b2, eps, weight_decay)


@given(SHAPES, SEEDS, SCALES, RATES)
def test_the_defaults_are_torchs(shapes, seed, scale, rate):
    params, grads = random_tree(shapes, seed, scale), random_grads(shapes, seed)
    for ours, theirs in ((adam, torch.optim.Adam), (adamw, torch.optim.AdamW), (sgd, torch.optim.SGD)):
        expected = torch_trajectory(lambda leaves, make=theirs: make(leaves, lr=rate), params, grads)
        check_movement(trajectory(ours(rate), params, grads), expected, params)


@given(
    SHAPES,
    SEEDS,
    SCALES,
    RATES,
    st.sampled_from([(0.0, False), (0.5, False), (0.9, False), (0.5, True), (0.9, True)]),
    DECAYS,
)
def test_sgd_moves_as_torchs(shapes, seed, scale, rate, inertia, weight_decay):
    check_sgd(sgd(rate, *inertia, weight_decay), shapes, seed, scale, rate, *inertia, weight_decay)


def check_adam_anywhere(make):
    """`make(rate, b1, b2, eps, weight_decay)` on fixed settings, for mutants."""
    for settings in [(0.01, 0.9, 0.999, 1e-8, 0.0), (0.01, 0.9, 0.999, 1e-8, 0.1)]:
        check_adam(make(*settings), [(3, 2), (4,), ()], 0, 1.0, *settings)


def before_update(optimizer, change):
    """The optimizer with other arguments of its update: `change(grads, state, params)`."""
    return Optimizer(optimizer.init, lambda grads, state, params: optimizer.update(*change(grads, state, params)))


def eps_inside_the_root(rate, b1, b2, eps, weight_decay):
    right = adam(rate, b1, b2, eps, weight_decay)

    def update(grads, state, params):
        _, state = right.update(grads, state, params)
        c1, c2 = 1 - b1 ** state.step.double(), 1 - b2 ** state.step.double()
        moved = tree.map(
            lambda p, m, v: p * (1 - rate * weight_decay) - rate * (m / c1) / (v / c2 + eps).sqrt(),
            params,
            state.mean,
            state.variance,
        )
        return moved, state

    return Optimizer(right.init, update)


def bias_correction_a_step_late(*settings):
    return before_update(adam(*settings), lambda g, s, p: (g, s._replace(step=s.step + 1), p))


def coupled_decay(rate, b1, b2, eps, weight_decay):
    return before_update(
        adam(rate, b1, b2, eps), lambda g, s, p: (tree.map(lambda g, p: g + weight_decay * p, g, p), s, p)
    )


def decay_without_the_rate(rate, b1, b2, eps, weight_decay):
    return adam(rate, b1, b2, eps, weight_decay / rate)


def ascent(*settings):
    return before_update(adam(*settings), lambda g, s, p: (tree.scale(g, -1.0), s, p))


@pytest.mark.parametrize(
    "mutant", [eps_inside_the_root, bias_correction_a_step_late, coupled_decay, decay_without_the_rate, ascent]
)
def test_wrong_adam_is_rejected(mutant):
    check_adam_anywhere(adam)
    with pytest.raises(AssertionError):
        check_adam_anywhere(mutant)


def coupled_sgd(rate, momentum, nesterov, weight_decay):
    return before_update(
        sgd(rate, momentum, nesterov), lambda g, s, p: (tree.map(lambda g, p: g + weight_decay * p, g, p), s, p)
    )


def heavy_ball(rate, momentum, nesterov, weight_decay):
    return sgd(rate, momentum, False, weight_decay)


def damped(rate, momentum, nesterov, weight_decay):
    return before_update(
        sgd(rate, momentum, nesterov, weight_decay), lambda g, s, p: (tree.scale(g, 1 - momentum), s, p)
    )


@pytest.mark.parametrize("mutant", [coupled_sgd, heavy_ball, damped])
def test_wrong_sgd_is_rejected(mutant):
    def check(make):
        settings = (0.01, 0.9, True, 0.1)
        check_sgd(make(*settings), [(3, 2), (4,), ()], 0, 1.0, *settings)

    check(sgd)
    with pytest.raises(AssertionError):
        check(mutant)


def warmup_cosine_factor(step):
    return step / 5 if step < 5 else (1 + math.cos(math.pi * min(1.0, (step - 5) / 15))) / 2


def check_scheduled(make_schedule):
    params, grads = random_tree([(3, 2), ()], 0), random_grads([(3, 2), ()], 0)

    def scheduler(optimizer):
        return torch.optim.lr_scheduler.LambdaLR(optimizer, warmup_cosine_factor)

    for ours, theirs in ((adam, torch.optim.Adam), (adamw, torch.optim.AdamW), (sgd, torch.optim.SGD)):
        expected = torch_trajectory(lambda leaves, make=theirs: make(leaves, lr=0.1), params, grads, scheduler)
        check_movement(trajectory(ours(make_schedule(0.1)), params, grads), expected, params)


def test_a_schedule_is_asked_for_step_zero_first():
    def schedule(peak):
        return warmup_cosine(peak, 5, 20)

    check_scheduled(schedule)
    for shift in (-1, 1):
        with pytest.raises(AssertionError):
            check_scheduled(lambda peak, shift=shift: lambda step: schedule(peak)(step + shift))


FLOAT32 = {
    "adam": (adam(0.01), lambda leaves: torch.optim.Adam(leaves, 0.01)),
    "adamw": (adamw(0.01, weight_decay=0.1), lambda leaves: torch.optim.AdamW(leaves, 0.01, weight_decay=0.1)),
    "momentum": (sgd(0.01, momentum=0.9), lambda leaves: torch.optim.SGD(leaves, 0.01, momentum=0.9)),
}


@pytest.mark.parametrize(("ours", "theirs"), FLOAT32.values(), ids=FLOAT32.keys())
def test_float32_is_torchs_to_a_few_ulp(ours, theirs):
    shapes = [(40, 5), ()]
    params = random_tree(shapes, 0, dtype=torch.float32)
    grads = [random_tree(shapes, 1 + step, dtype=torch.float32) for step in range(STEPS)]
    for actual, expected in zip(trajectory(ours, params, grads), torch_trajectory(theirs, params, grads), strict=True):
        for a, e in zip(actual, expected, strict=True):
            ulp = torch.finfo(torch.float32).eps * e.abs().clamp(min=0.1)
            assert ((a - e).abs() <= 4 * ulp).all()
