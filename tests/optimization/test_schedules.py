"""Schedules against `torch.optim.lr_scheduler`, step for step."""

import math
import warnings

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.fx.experimental.proxy_tensor import make_fx
from torch.optim import lr_scheduler

from vae_fn.optimization.schedules import constant, fixed, linear_warmup, warmup_cosine

VALUES = st.floats(1e-6, 10.0)


def values_of(schedule, count):
    return [schedule(torch.tensor(step)).item() for step in range(count)]


def torch_values(peak, make_scheduler, count):
    optimizer = torch.optim.SGD([torch.zeros((), requires_grad=True)], lr=peak)
    scheduler = make_scheduler(optimizer)
    values = []
    for _ in range(count):
        values.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        with warnings.catch_warnings():
            # SequentialLR passes an epoch to the schedulers it holds, and warns about that itself.
            warnings.simplefilter("ignore", UserWarning)
            scheduler.step()
    return values


def check_values(schedule, expected, size):
    torch.testing.assert_close(
        torch.tensor(values_of(schedule, len(expected)), dtype=torch.float64),
        torch.tensor(expected, dtype=torch.float64),
        rtol=1e-12,
        atol=1e-12 * size,
    )


def cosine_by_lambda(peak, warmup, total, final, count):
    def factor(step):
        if step < warmup:
            return step / warmup
        cosine = (1 + math.cos(math.pi * min(1.0, (step - warmup) / (total - warmup)))) / 2
        return (final + (peak - final) * cosine) / peak

    return torch_values(peak, lambda optimizer: lr_scheduler.LambdaLR(optimizer, factor), count)


def cosine_by_parts(peak, warmup, total, final, count):
    def scheduler(optimizer):
        # LinearLR refuses to start at 0: the start is as good as 0 here.
        rise = lr_scheduler.LinearLR(optimizer, start_factor=1e-200, total_iters=warmup)
        fall = lr_scheduler.CosineAnnealingLR(optimizer, total - warmup, eta_min=final)
        return lr_scheduler.SequentialLR(optimizer, [rise, fall], milestones=[warmup])

    return torch_values(peak, scheduler, count)


@given(VALUES, st.integers(0, 20), st.integers(1, 30), st.floats(0.0, 1.0))
def test_warmup_cosine_is_a_lambda_lr(peak, warmup, decay, share):
    total, final = warmup + decay, share * peak
    expected = cosine_by_lambda(peak, warmup, total, final, total + 5)
    check_values(warmup_cosine(peak, warmup, total, final), expected, peak)


@given(VALUES, st.integers(1, 20), st.integers(1, 30), st.floats(0.0, 1.0))
def test_warmup_cosine_is_linear_lr_then_cosine_annealing_lr(peak, warmup, decay, share):
    # Beyond the last step CosineAnnealingLR rises again; the schedule stays at `final`.
    total, final = warmup + decay, share * peak
    expected = cosine_by_parts(peak, warmup, total, final, total + 1)
    check_values(warmup_cosine(peak, warmup, total, final), expected, peak)


@given(VALUES, st.integers(1, 30))
def test_linear_warmup_is_linear_lr(value, steps):
    expected = torch_values(
        value, lambda optimizer: lr_scheduler.LinearLR(optimizer, start_factor=1e-200, total_iters=steps), steps + 5
    )
    check_values(linear_warmup(value, steps), expected, value)


@pytest.mark.parametrize("shift", [-1, 1])
@pytest.mark.parametrize(("warmup", "final"), [(0, 0.0), (4, 0.01)])
def test_a_schedule_off_by_one_step_is_rejected(shift, warmup, final):
    right = warmup_cosine(0.1, warmup, 12, final)
    expected = cosine_by_lambda(0.1, warmup, 12, final, 15)
    check_values(right, expected, 0.1)
    with pytest.raises(AssertionError):
        check_values(lambda step: right(step + shift), expected, 0.1)


@given(VALUES, st.integers(0, 20), st.integers(1, 30), VALUES)
def test_the_named_steps_get_their_values_exactly(peak, warmup, decay, final):
    schedule = warmup_cosine(peak, warmup, warmup + decay, final)
    values = values_of(schedule, warmup + decay + 3)
    assert values[0] == (0.0 if warmup else pytest.approx(peak, rel=1e-15))
    assert values[warmup] == pytest.approx(peak, rel=1e-15)
    assert values[warmup + decay :] == [final] * 3
    assert values_of(linear_warmup(peak, warmup), warmup + 3)[warmup:] == [peak] * 3
    assert values_of(constant(peak), 3) == [peak] * 3


SCHEDULES = {
    "constant": constant,
    "linear_warmup": lambda value: linear_warmup(value, 5),
    "warmup_cosine": lambda value: warmup_cosine(value, 3, 9, 0.01),
}


@pytest.mark.parametrize("make", SCHEDULES.values(), ids=SCHEDULES.keys())
def test_a_schedule_gives_a_float64_scalar_and_runs_under_vmap(make):
    steps, values = torch.arange(12), torch.tensor([0.1, 0.2, 0.3])
    assert make(0.1)(steps[2]).dtype is torch.float64
    assert make(0.1)(steps[2]).shape == ()
    over_steps = torch.func.vmap(make(0.1))(steps)
    torch.testing.assert_close(over_steps, torch.stack([make(0.1)(step) for step in steps]), rtol=1e-15, atol=0)
    over_values = torch.func.vmap(lambda value: make(value)(steps[2]))(values)
    torch.testing.assert_close(over_values, torch.stack([make(v)(steps[2]) for v in values]), rtol=1e-15, atol=0)


@pytest.mark.parametrize("make", SCHEDULES.values(), ids=SCHEDULES.keys())
def test_a_value_written_into_the_tensor_is_seen(make):
    value, step = torch.tensor(0.1), torch.tensor(4)
    schedule = make(value)
    value.fill_(0.2)
    assert schedule(step) == make(torch.tensor(0.2))(step)


def test_a_fixed_value_is_a_constant_one_that_lies_where_the_step_does():
    steps = torch.arange(4)
    assert torch.equal(torch.func.vmap(fixed(0.1))(steps), torch.func.vmap(constant(0.1))(steps))
    value = fixed(0.1)(steps[0].to("meta"))
    assert (value.shape, value.dtype, value.is_meta) == ((), torch.float64, True)
    assert not [*make_fx(fixed(0.1))(steps[0]).named_buffers()]
    assert [*make_fx(constant(0.1))(steps[0]).named_buffers()]


@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf])
@pytest.mark.parametrize("make", [*SCHEDULES.values(), fixed], ids=[*SCHEDULES, "fixed"])
def test_a_value_out_of_range_is_refused(make, value):
    with pytest.raises(ValueError, match="out of range: give a number with 0 <= "):
        make(value)


def test_steps_that_make_no_schedule_are_refused():
    with pytest.raises(ValueError, match="steps=-1 is out of range"):
        linear_warmup(1.0, -1)
    with pytest.raises(ValueError, match="warmup_steps=-1 is out of range"):
        warmup_cosine(1.0, -1, 5)
    with pytest.raises(ValueError, match=r"final=-1\.0 is out of range"):
        warmup_cosine(1.0, 1, 5, -1.0)
    with pytest.raises(ValueError, match="use linear_warmup"):
        warmup_cosine(1.0, 5, 5)
    with pytest.raises(ValueError, match=r"torch\.vmap over several"):
        constant(torch.tensor([0.1, 0.2]))


@pytest.mark.parametrize("steps", [math.nan, math.inf, 5.5, "100", -1, None])
def test_steps_are_whole_numbers(steps, unchecked):
    refusal = "steps=.* is out of range: give a whole number, 0 or more"
    with pytest.raises(ValueError, match=f"^{refusal}"):
        linear_warmup(1.0, steps)
    with pytest.raises(ValueError, match=f"warmup_{refusal}"):
        warmup_cosine(1.0, steps, 9)
    with pytest.raises(ValueError, match=f"total_{refusal}"):
        warmup_cosine(1.0, 0, steps)
