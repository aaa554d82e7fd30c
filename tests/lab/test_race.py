"""Which rate is an estimator's best, and that a leg is the training that it says."""

import math

import torch

from vae_fn.gradients.estimator import Evaluations
from vae_fn.lab.race import Curve, Leg, Point, Runner, best, run, standings
from vae_fn.training.step import State

ONCE = Evaluations(2, 1)


def curve(*bounds):
    return Curve([Point(10 * i, float(i), float(bound)) for i, bound in enumerate(bounds)], ONCE)


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

    return Runner(state, step, bound, ONCE), seen


def test_every_step_is_taken_once_and_the_first_one_is_warmed_up_on_a_copy():
    runner, seen = counting()
    heard = []
    found = run(runner, 7, 3, heard.append)
    assert seen == [0, *range(7)]
    assert [(point.step, point.bound) for point in found.points] == [(0, 0), (3, 3), (6, 6), (7, 7)]
    assert heard == [3, 3, 1]
    assert found.points[0].seconds == 0
    assert all(a.seconds <= b.seconds for a, b in zip(found.points, found.points[1:], strict=False))


def test_a_leg_that_is_lost_ends():
    runner, _ = counting(lost_at=4)
    assert [point.step for point in run(runner, 9, 3).points] == [0, 3, 6]
