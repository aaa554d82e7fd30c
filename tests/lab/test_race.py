"""Which rate is an estimator's best, and that a leg is the training that it says."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.training.problems import algorithm, images, small_vae, streams
from vae_fn import tree
from vae_fn.gradients.estimator import Evaluations
from vae_fn.lab.race import Curve, Leg, Point, Runner, Underway, best, run, standings
from vae_fn.training import Batch, step_by_shape
from vae_fn.training.step import State

ONCE = Evaluations(2, 1)


def curve(*bounds, test=0.0):
    return Curve([Point(10 * i, float(i), float(bound)) for i, bound in enumerate(bounds)], ONCE, test)


def planted():
    """By key: rloo is best at 0.1 on average, though its best key is at 0.2; disarm was lost at 0.2."""
    return {
        Leg("rloo", 2, 0.1, 0): curve(-9, -4),
        Leg("rloo", 2, 0.1, 1): curve(-9, -5),
        Leg("rloo", 2, 0.2, 0): curve(-9, -1),
        Leg("rloo", 2, 0.2, 1): curve(-9, -9),
        Leg("disarm", 1, 0.1, 0): curve(-9, -3),
        Leg("disarm", 1, 0.1, 1): curve(-9, -3),
        Leg("disarm", 1, 0.2, 0): curve(-9, -1),
        Leg("disarm", 1, 0.2, 1): curve(-9, math.nan),
        Leg("disarm", 1, 0.05, 0): curve(-9, -8),
        Leg("disarm", 1, 0.05, 1): curve(-9, -8),
    }


def test_the_best_rate_is_that_of_the_mean_over_keys():
    first, second = standings(planted())
    assert (first.estimator, first.learning_rate, first.bound, first.spread, first.at_edge) == (
        "disarm",
        0.1,
        -3,
        0,
        False,
    )
    assert (second.estimator, second.learning_rate, second.bound, second.at_edge) == ("rloo", 0.1, -4.5, True)
    assert {(leg.estimator, leg.learning_rate) for leg in best(planted())} == {("disarm", 0.1), ("rloo", 0.1)}


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=10, max_size=10))
def test_test_data_choose_nothing(tests):
    """Whatever the bounds of test data are, the same legs stand, in the same order."""
    told = {leg: each._replace(test=test) for (leg, each), test in zip(planted().items(), tests, strict=True)}
    assert list(best(told)) == list(best(planted()))
    for one, other in zip(standings(told), standings(planted()), strict=True):
        assert one._replace(test=0.0) == other._replace(test=0.0)


def test_what_test_data_say_of_the_best_rate_is_told():
    """The better of two rates has the worse test bound."""
    legs = {
        Leg("rloo", 2, rate, key): curve(-9, bound, test=test)
        for rate, bound, test in ((0.1, -4, -8), (0.2, -5, -1))
        for key in (0, 1)
    }
    (standing,) = standings(legs)
    assert (standing.learning_rate, standing.test) == (0.1, -8)


def test_where_every_leg_was_lost_the_estimator_comes_last():
    lost = {Leg("rloo", 2, 0.1, 0): curve(-9, math.nan), Leg("disarm", 1, 0.1, 0): curve(-9, -8)}
    assert [each.estimator for each in standings(lost)] == ["disarm", "rloo"]
    assert standings(lost)[1].bound == -math.inf


def counting(lost_at=10**6):
    """A training whose only parameter counts its steps, and a step that overwrites its argument."""
    params = {"q": {"x": torch.zeros(())}}
    state = State(params, (), (), torch.zeros((), dtype=torch.int64))
    seen = []

    def step(state, number):
        seen.append(number)
        state.params["q"]["x"].add_(1.0)
        state.step.add_(1)
        return state

    def bound(params):
        value = params["q"]["x"].item()
        return math.nan if value >= lost_at else float(value)

    return Runner(state, step, bound, lambda params: 2 * bound(params), ONCE), seen


def test_every_step_is_taken_once_and_the_first_one_is_warmed_up_on_a_copy():
    runner, seen = counting()
    heard = []
    found = run(runner, 7, 3, keep=lambda reached: heard.append(reached.points[-1].step))
    assert seen == [0, *range(7)]
    assert [(point.step, point.bound) for point in found.points] == [(0, 0), (3, 3), (6, 6), (7, 7)]
    assert heard == [3, 6, 7]
    assert found.test == 14
    assert found.points[0].seconds == 0
    assert all(a.seconds <= b.seconds for a, b in zip(found.points, found.points[1:], strict=False))


def test_a_leg_that_is_lost_ends():
    runner, _ = counting(lost_at=4)
    found = run(runner, 9, 3)
    assert [point.step for point in found.points] == [0, 3, 6]
    assert math.isnan(found.test)


class Stopped(Exception):
    pass


def small():
    """A training of a small model whose bound is minus the squared length of its parameters."""
    built = algorithm(small_vae())
    advance = step_by_shape(built)

    def step(state, number):
        return advance(state, Batch(images(4, number)), streams())[0]

    def bound(params):
        return -sum(leaf.double().square().sum().item() for leaf in tree.leaves(params))

    return Runner(built.init(streams().init, Batch(images(4))), step, bound, bound, ONCE)


def stopped_at(runner, step, forget=lambda state: state):
    """The leg as it was kept when it was stopped there; `forget` is what was kept wrongly."""
    kept = []

    def keep(reached):
        kept.append(Underway(forget(tree.clone(reached.state)), reached.points))
        if reached.points[-1].step == step:
            raise Stopped

    with pytest.raises(Stopped):
        run(runner, 10, 3, keep=keep)
    return kept[-1]


def bounds(curve):
    return [(point.step, point.bound) for point in curve.points], curve.test


@pytest.mark.parametrize("step", [3, 6, 9, 10])
def test_a_leg_that_was_left_goes_on_to_the_same_bits_and_to_more_seconds(step):
    whole, left = run(small(), 10, 3), stopped_at(small(), step)
    resumed = run(small(), 10, 3, since=left)
    assert bounds(resumed) == bounds(whole)
    assert resumed.points[: len(left.points)] == left.points
    assert all(a.seconds <= b.seconds for a, b in zip(resumed.points, resumed.points[1:], strict=False))


def test_a_leg_that_lost_its_optimizer_is_seen():
    left = stopped_at(small(), 6, lambda state: state._replace(optimizer=small().state.optimizer))
    assert bounds(run(small(), 10, 3, since=left)) != bounds(run(small(), 10, 3))
