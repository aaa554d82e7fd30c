"""What every optimizer promises: purity, dtypes, vmap, one compilation, and refusals."""

import math

import pytest
import torch

from tests.training.trajectories import check_movement, random_grads, random_tree, trajectory
from vae_fn import tree, verify
from vae_fn.optimization.optimizers import AdamState, Optimizer, adam, adamw, sgd
from vae_fn.optimization.schedules import linear_warmup, warmup_cosine

OPTIMIZERS = {
    "adam": lambda rate: adam(rate),
    "adamw": lambda rate: adamw(rate, weight_decay=0.1),
    "sgd": lambda rate: sgd(rate),
    "nesterov": lambda rate: sgd(rate, momentum=0.9, nesterov=True, weight_decay=0.1),
}
each_optimizer = pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS.keys())


RATES = {
    "float": 0.1,
    "tensor": torch.tensor(0.1),
    "float64": torch.tensor(0.1, dtype=torch.float64),
    "schedule": linear_warmup(0.1, 3),
}


@each_optimizer
@pytest.mark.parametrize("rate", RATES.values(), ids=RATES.keys())
def test_every_promise_is_kept(make, rate):
    """Purity, leaves that move as one flat vector, dtypes, descent, and a state that advances by whole steps."""
    optimizer = make(rate)
    verify.optimizer(optimizer).check()
    params = random_tree([(3, 2), (4,), ()], 0)
    moved, state = optimizer.update(params, optimizer.init(params), params)
    assert state.step.dtype is torch.int64
    returned = [leaf.untyped_storage().data_ptr() for leaf in tree.leaves((moved, state))]
    assert len(set(returned)) == len(returned), "two leaves of what is returned share their memory"


def test_gradients_are_matched_by_name_not_by_order():
    params = {"a": torch.zeros(2), "b": torch.zeros(2)}
    grads = {"b": torch.ones(2), "a": -torch.ones(2)}
    moved, _ = sgd(1.0).update(grads, sgd(1.0).init(params), params)
    torch.testing.assert_close(moved, {"a": torch.ones(2), "b": -torch.ones(2)}, rtol=0, atol=0)


MISFITS = {
    "broadcast": torch.ones(3, 2),
    "a number": torch.tensor(1.0),
    "one for two": torch.ones(1),
    "float64": torch.ones(2, dtype=torch.float64),
    "bfloat16": torch.ones(2, dtype=torch.bfloat16),
}


@each_optimizer
@pytest.mark.parametrize("grad", MISFITS.values(), ids=MISFITS.keys())
def test_a_gradient_of_another_shape_or_dtype_is_refused(make, grad):
    optimizer, params = make(0.1), {"encoder": {"a": torch.zeros(3), "b": torch.zeros(2)}}
    grads = {"encoder": {"b": grad, "a": torch.ones(3)}}
    with pytest.raises(ValueError, match=r"the gradient of encoder/b is .*, and the parameter torch.float32 of shape"):
        optimizer.update(grads, optimizer.init(params), params)
    with pytest.raises(ValueError, match="the gradient of the parameter is"):
        optimizer.update(grad, optimizer.init(torch.zeros(2)), torch.zeros(2))


def test_parameters_of_several_dtypes_take_gradients_of_theirs():
    params = {"wide": torch.zeros(2), "narrow": torch.zeros(3, dtype=torch.bfloat16)}
    for make in OPTIMIZERS.values():
        optimizer = make(0.1)
        moved, state = optimizer.update(tree.map(torch.ones_like, params), optimizer.init(params), params)
        expected = tree.map(lambda leaf: leaf.dtype, params)
        assert tree.map(lambda leaf: leaf.dtype, moved) == expected
        assert all(tree.map(lambda leaf: leaf.dtype, part) == expected for part in state[1:])


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


def test_another_learning_rate_does_not_recompile(fresh_compiler):
    """Whether the optimizer holds a tensor that changes, or every rate has an optimizer of its own."""
    params, grads = random_tree([(3, 2)], 0), random_tree([(3, 2)], 1)
    held, rates, state = torch.tensor(0.1), (0.1, 0.2, 0.3), adamw(0.1).init(params)
    optimizer = adamw(held)

    def changing(rate, *arguments):
        held.copy_(rate)
        return optimizer.update(*arguments)

    def given(update, *arguments):
        return update(*arguments)

    verify.no_recompile(changing, [(torch.tensor(rate), grads, state, params) for rate in rates]).check()
    verify.no_recompile(given, [(adamw(rate).update, grads, state, params) for rate in rates]).check()


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


@pytest.mark.parametrize("optimizer", [adam(1e-3), adamw(1e-3)], ids=["adam", "adamw"])
def test_adam_refuses_parameters_in_float16(optimizer):
    with pytest.raises(ValueError, match="keep them in float32 or bfloat16"):
        optimizer.init({"a": torch.zeros(3), "b": torch.zeros(2, dtype=torch.float16)})
