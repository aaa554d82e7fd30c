"""Optimizers against `torch.optim`: the movement from the starting point, in float64, step for step."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch._dynamo.testing import CompileCounter

from vae_fn import tree
from vae_fn.training.optimizers import AdamState, Optimizer, adam, adamw, sgd
from vae_fn.training.schedules import linear_warmup, warmup_cosine

STEPS = 25
SHAPES = st.lists(st.lists(st.integers(1, 4), max_size=2).map(tuple), min_size=1, max_size=3)
SEEDS = st.integers(0, 2**32)
RATES = st.sampled_from([1e-4, 1e-2, 0.3])
SCALES = st.sampled_from([0.0, 1e-3, 1.0, 30.0])


def random_tree(shapes, seed, scale=1.0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    leaves = [scale * torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes]
    return {"encoder": dict(enumerate(leaves[:1])), "decoder": dict(enumerate(leaves[1:]))}


def random_grads(shapes, seed, steps=STEPS, dtype=torch.float64):
    """Gradients of very different sizes from step to step, some of them zero."""
    sizes = itertools.cycle([1.0, 1e-6, 0.0, 1e3, 0.1])
    return [random_tree(shapes, seed + 1 + step, next(sizes), dtype) for step in range(steps)]


def trajectory(optimizer, params, grads):
    """The parameters' leaves after every update."""
    state, path = optimizer.init(params), []
    for grad in grads:
        params, state = optimizer.update(grad, state, params)
        path.append(tree.leaves(params))
    return path


def torch_trajectory(make, params, grads, make_scheduler=None, before=lambda param: None):
    leaves = [leaf.clone().requires_grad_() for leaf in tree.leaves(params)]
    optimizer, path = make(leaves), []
    scheduler = make_scheduler(optimizer) if make_scheduler else None
    for grad in grads:
        for leaf, leaf_grad in zip(leaves, tree.leaves(grad), strict=True):
            leaf.grad = leaf_grad.clone()
            before(leaf.data)
        optimizer.step()
        if scheduler:
            scheduler.step()
        path.append([leaf.detach().clone() for leaf in leaves])
    return path


def check_movement(path, expected_path, start, rtol=1e-12):
    """Equal movements; the absolute tolerance is the rounding of the parameters themselves."""
    for step, (actual, expected) in enumerate(zip(path, expected_path, strict=True), start=1):
        for a, e, s in zip(actual, expected, tree.leaves(start), strict=True):
            atol = step * torch.finfo(s.dtype).eps * max(a.abs().max(), s.abs().max())
            torch.testing.assert_close(a - s, e - s, rtol=rtol, atol=atol.item())


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


OPTIMIZERS = {
    "adam": lambda rate: adam(rate),
    "adamw": lambda rate: adamw(rate, weight_decay=0.1),
    "sgd": lambda rate: sgd(rate),
    "nesterov": lambda rate: sgd(rate, momentum=0.9, nesterov=True, weight_decay=0.1),
}
each_optimizer = pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())


def check_pure(optimizer, params):
    """No argument is changed by a bit and nothing returned shares its storage."""
    grads, state = tree.map(torch.ones_like, params), optimizer.init(params)
    for _ in range(2):
        arguments = (grads, state, params)
        before = tree.clone(arguments)
        params, state = optimizer.update(*arguments)
        assert all(map(torch.equal, tree.leaves(arguments), tree.leaves(before)))
        assert storages((params, state)).isdisjoint(storages(arguments))
        assert len(storages((params, state))) == len(tree.leaves((params, state)))


def storages(anything):
    return {leaf.untyped_storage().data_ptr() for leaf in tree.leaves(anything)}


@each_optimizer
def test_updates_are_pure(make):
    check_pure(make(0.1), random_tree([(3, 2), (4,), ()], 0))
    params = random_tree([(3,), ()], 0)
    assert storages(make(0.1).init(params)).isdisjoint(storages(params))


@each_optimizer
def test_impure_updates_are_rejected(make):
    right = make(0.1)

    def in_place(grads, state, params):
        moved, state = right.update(grads, state, params)
        return tree.map(lambda p, m: p.copy_(m), params, moved), state

    def keeps_the_gradient(grads, state, params):
        moved, state = right.update(grads, state, params)
        return moved, (*state[:1], grads, *state[2:])

    def counts_in_place(grads, state, params):
        moved, new = right.update(grads, state, params)
        return moved, new._replace(step=state.step.add_(1))

    for update in (in_place, keeps_the_gradient, counts_in_place):
        with pytest.raises(AssertionError):
            check_pure(Optimizer(right.init, update), random_tree([(3, 2), ()], 0))


@given(SHAPES, SEEDS, st.sampled_from(sorted(OPTIMIZERS)))
def test_leaves_move_as_one_flat_vector(shapes, seed, name):
    optimizer = OPTIMIZERS[name](0.01)
    params, grads = random_tree(shapes, seed), random_grads(shapes, seed)

    def flat(leaves):
        return torch.cat([leaf.flatten() for leaf in leaves])

    by_leaf = [[flat(leaves)] for leaves in trajectory(optimizer, params, grads)]
    start = flat(tree.leaves(params))
    at_once = trajectory(optimizer, start, [flat(tree.leaves(grad)) for grad in grads])
    check_movement(at_once, by_leaf, start)


def test_gradients_are_matched_by_name_not_by_order():
    params = {"a": torch.zeros(2), "b": torch.zeros(2)}
    grads = {"b": torch.ones(2), "a": -torch.ones(2)}
    moved, _ = sgd(1.0).update(grads, sgd(1.0).init(params), params)
    torch.testing.assert_close(moved, {"a": torch.ones(2), "b": -torch.ones(2)}, rtol=0, atol=0)


@each_optimizer
def test_dtypes_are_the_parameters_own(make):
    params = {
        "scalar": torch.tensor(0.5),
        "narrow": torch.ones(3),
        "wide": torch.ones(2, dtype=torch.float64),
        "wide scalar": torch.tensor(1.0, dtype=torch.float64),
        "low": torch.ones(2, dtype=torch.bfloat16),
        "low scalar": torch.tensor(1.0, dtype=torch.bfloat16),
    }
    dtypes = tree.map(lambda leaf: leaf.dtype, params)
    grads = tree.map(torch.ones_like, params)
    for rate in (0.1, torch.tensor(0.1), torch.tensor(0.1, dtype=torch.float64), linear_warmup(0.1, 3)):
        optimizer = make(rate)
        moved, state = params, optimizer.init(params)
        for _ in range(2):
            moved, state = optimizer.update(grads, state, moved)
            assert state.step.dtype is torch.int64
            for each in (moved, *state[1:]):
                assert tree.map(lambda leaf: leaf.dtype, each) == dtypes
        assert all((after < before).all() for after, before in zip(moved.values(), params.values(), strict=True))


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


@pytest.mark.parametrize("step", [0, 1, 10**4, 10**7, 10**12])
def test_bias_corrections_hold_after_any_number_of_steps(step):
    b1, b2 = 0.9, 0.999
    for dtype, rtol in ((torch.float64, 1e-12), (torch.float32, 1e-6)):
        mean, variance, grad = (torch.tensor([value], dtype=dtype) for value in (0.3, 0.7, 0.4))
        state = AdamState(torch.tensor(step), mean, variance)
        moved, state = adam(0.1, b1, b2, eps=0.0).update(grad, state, torch.zeros(1, dtype=dtype))
        m, v = b1 * 0.3 + (1 - b1) * 0.4, b2 * 0.7 + (1 - b2) * 0.16
        expected = -0.1 * (m / (1 - b1 ** (step + 1))) / math.sqrt(v / (1 - b2 ** (step + 1)))
        assert moved.item() == pytest.approx(expected, rel=rtol)
        assert state.step == step + 1


def check_vmap_over_rates(make):
    params, (grads, *_) = random_tree([(3, 2), ()], 0), random_grads([(3, 2), ()], 0)
    rates = torch.tensor([1e-3, 1e-2, 0.1])

    def one(rate, grads, params):
        optimizer = make(rate)
        params, state = optimizer.update(grads, optimizer.init(params), params)
        return optimizer.update(grads, state, params)

    together = torch.func.vmap(one, in_dims=(0, None, None))(rates, grads, params)
    for index, rate in enumerate(rates):
        alone = one(rate, grads, params)
        torch.testing.assert_close(tree.map(lambda leaf, i=index: leaf[i], together), alone, rtol=1e-14, atol=0)


@each_optimizer
def test_vmap_over_learning_rates_is_a_loop(make):
    check_vmap_over_rates(make)
    check_vmap_over_rates(lambda rate: make(linear_warmup(rate, 4)))


@each_optimizer
def test_vmap_over_parameters_is_a_loop(make):
    optimizer = make(0.01)
    params, grads = random_tree([(4, 3), (4,)], 0), random_tree([(4, 3), (4,)], 1)
    params, grads = (tree.map(torch.Tensor.float, each) for each in (params, grads))
    state = torch.func.vmap(optimizer.init)(params)
    together = torch.func.vmap(optimizer.update)(grads, state, params)
    for index in range(4):
        own_params, own_grads = (tree.map(lambda leaf, i=index: leaf[i], each) for each in (params, grads))
        alone = optimizer.update(own_grads, optimizer.init(own_params), own_params)
        torch.testing.assert_close(tree.map(lambda leaf, i=index: leaf[i], together), alone, rtol=1e-6, atol=0)


COMPILED = {
    "adamw, schedule": lambda: adamw(warmup_cosine(0.01, 2, 5), weight_decay=0.1),
    "adam, tensor": lambda: adam(torch.tensor(0.01, dtype=torch.float64)),
    "nesterov": lambda: sgd(0.01, momentum=0.9, nesterov=True, weight_decay=0.1),
}


@pytest.mark.parametrize("make", COMPILED.values(), ids=COMPILED.keys())
def test_compiled_updates_are_eager_updates(make, fresh_compiler):
    shapes, optimizer = [(5, 3), (7,), ()], make()
    params, grads = random_tree(shapes, 0), [random_tree(shapes, 1 + step) for step in range(5)]
    reference = trajectory(optimizer, params, grads)
    compiled = Optimizer(optimizer.init, torch.compile(optimizer.update, fullgraph=True))
    check_movement(trajectory(compiled, params, grads), reference, params)

    narrow, narrow_grads = tree.map(torch.Tensor.float, (params, grads))
    for each in (optimizer, compiled):
        for actual, expected, at in zip(
            trajectory(each, narrow, narrow_grads)[-1], reference[-1], tree.leaves(params), strict=True
        ):
            assert actual.dtype is torch.float32
            error = (actual.double() - expected).abs()
            assert (error <= 5 * torch.finfo(torch.float32).eps * torch.maximum(at.abs(), expected.abs())).all()


def check_one_compilation(step, rates):
    """`step(rate, grads, state, params)` is traced once for all `rates`."""
    counter = CompileCounter()
    compiled = torch.compile(step, backend=counter, fullgraph=True)
    params = random_tree([(3, 2)], 0)
    state = adamw(0.1).init(params)
    for rate in rates:
        compiled(rate, params, state, params)
    assert counter.frame_count == 1, f"compiled {counter.frame_count} times"


def test_another_learning_rate_does_not_recompile(fresh_compiler):
    held = torch.tensor(0.1)
    optimizer = adamw(held)

    def step(rate, grads, state, params):
        return optimizer.update(grads, state, params)

    check_one_compilation(step, (held.fill_(rate) for rate in (0.1, 0.2, 0.3)))


def test_another_optimizer_of_the_same_kind_does_not_recompile(fresh_compiler):
    updates = [adamw(rate).update for rate in (0.1, 0.2, 0.3)]
    check_one_compilation(lambda update, *arguments: update(*arguments), updates)


def test_a_learning_rate_in_the_graph_is_rejected(fresh_compiler):
    def step(rate, grads, state, params):
        return tree.map(lambda p, g: p - rate * g, params, grads), state

    with torch._dynamo.config.patch(specialize_float=True), pytest.raises(AssertionError, match="compiled 3 times"):
        check_one_compilation(step, [0.1, 0.2, 0.3])


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda bad: adam(bad), "learning_rate"),
        (lambda bad: adamw(bad), "learning_rate"),
        (lambda bad: sgd(bad), "learning_rate"),
        (lambda bad: adam(0.1, b1=bad), "b1"),
        (lambda bad: adam(0.1, b2=bad), "b2"),
        (lambda bad: adam(0.1, eps=bad), "eps"),
        (lambda bad: adamw(0.1, weight_decay=bad), "weight_decay"),
        (lambda bad: sgd(0.1, momentum=bad), "momentum"),
        (lambda bad: sgd(0.1, weight_decay=bad), "weight_decay"),
    ],
)
@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf])
def test_a_number_out_of_range_is_refused(make, name, bad):
    with pytest.raises(ValueError, match=f"{name}=.* is out of range: give a number with 0 <= {name} < "):
        make(bad)


def test_settings_without_meaning_are_refused():
    for name in ("b1", "b2"):
        with pytest.raises(ValueError, match=f"{name}=1.0 is out of range"):
            adam(0.1, **{name: 1.0})
    with pytest.raises(ValueError, match="give momentum > 0"):
        sgd(0.1, nesterov=True)
    with pytest.raises(ValueError, match=r"torch\.vmap over several"):
        adam(torch.tensor([0.1, 0.2]))
    for params in ({}, {"steps": torch.tensor(3)}, {"phase": torch.tensor(1j)}):
        with pytest.raises(ValueError, match="real floating-point"):
            adam(0.1).init(params)
