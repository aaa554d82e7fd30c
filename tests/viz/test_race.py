"""The figure of a race: what is drawn against what, and the band over the keys."""

import math

import numpy as np
import pytest
from matplotlib.colors import to_hex

from vae_fn.gradients.estimator import Evaluations
from vae_fn.lab.race import Curve, Leg, Point
from vae_fn.viz.race import COLOURS, curves_of, race_figure


def curve(bounds, speed=1.0):
    return Curve([Point(10 * i, speed * i, bound) for i, bound in enumerate(bounds)], Evaluations(2, 1), -5.0)


def raced():
    return {
        Leg("rloo", 2, 0.1, 0): curve([-9.0, -5.0, -4.0]),
        Leg("rloo", 2, 0.1, 1): curve([-9.0, -7.0, -2.0], speed=3.0),
        Leg("rloo", 2, 0.1, 2): curve([-9.0, -6.0, -3.0], speed=2.0),
        Leg("disarm", 1, 0.2, 0): curve([-9.0, -6.0, -5.0]),
    }


def drawn(figure):
    """By panel, the points of each line by its name."""
    return [{line.get_label(): line.get_xydata() for line in axes.get_lines()} for axes in figure.axes]


def test_the_mean_over_keys_is_drawn_against_steps_seconds_and_evaluations():
    found = [panel["rloo, K=2, rate 0.1"] for panel in drawn(race_figure(curves_of(raced())))]
    for points, x in zip(found, ([0, 10, 20], [0, 2, 4], [0, 30, 60]), strict=True):
        assert np.array_equal(points, np.stack([x, [-9, -6, -3]], 1))


def test_the_band_reaches_from_the_lowest_to_the_highest_key():
    for axes in race_figure(curves_of(raced())).axes:
        corners = axes.collections[0].get_paths()[0].vertices
        for x, low, high in zip(axes.get_lines()[0].get_xdata(), [-9, -7, -4], [-9, -5, -2], strict=True):
            there = corners[np.isclose(corners[:, 0], x), 1]
            assert (there.min(), there.max()) == (low, high)


def test_a_key_that_met_a_busy_machine_does_not_move_the_seconds():
    busy = raced() | {Leg("rloo", 2, 0.1, 1): curve([-9.0, -7.0, -2.0], speed=300.0)}
    assert np.array_equal(drawn(race_figure(curves_of(busy)))[1]["rloo, K=2, rate 0.1"][:, 0], [0, 2, 4])


def test_where_a_leg_was_lost_its_estimator_is_drawn_no_further():
    lost = raced() | {Leg("rloo", 2, 0.1, 1): curve([-9.0, math.nan])}
    points = drawn(race_figure(curves_of(lost)))[0]["rloo, K=2, rate 0.1"]
    assert np.array_equal(points[:, 1], [-9, np.nan, np.nan], equal_nan=True)


def test_names_colours_and_the_bound_that_is_said():
    figure = race_figure(curves_of(raced()), "100-sample bound")
    figure.draw_without_rendering()
    assert [to_hex(line.get_color()).upper() for line in figure.axes[0].get_lines()] == list(COLOURS[:2])
    assert figure.axes[0].get_ylabel() == "validation 100-sample bound (nats per image)"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "rloo, K=2, rate 0.1",
        "disarm, K=1, rate 0.2",
    ]


@pytest.mark.parametrize("count", [1, len(COLOURS) + 1, 2 * len(COLOURS) + 1])
def test_no_two_estimators_look_alike(count):
    figure = race_figure(curves_of({Leg(f"e{i}", 1, 0.1, 0): curve([-9.0, -8.0]) for i in range(count)}))
    looks = {(line.get_color(), line.get_linestyle()) for line in figure.axes[0].get_lines()}
    assert len(looks) == count
