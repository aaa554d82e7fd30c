"""Figures of estimators show the numbers of their rows."""

import itertools

import numpy as np
import pytest
from matplotlib.colors import to_rgba

from tests.viz.gradient_rows import row
from vae_fn.viz import gradients, save_figure
from vae_fn.viz.gradient_rows import biased, with_noise

POWER = [
    row(name, k, group, snr=scale * k**slope, variance_noise=1 / k)
    for group in ("encoder", "prior")
    for name, slope, scale in (("dreg", 0.5, 0.2), ("iwae", -0.5, 0.05))
    for k in (1, 4, 16)
]
DRAW = [
    gradients.bias_against_variance,
    gradients.work_normalised_variance,
    gradients.signal_to_noise,
    gradients.variance_along_training,
]


def labels(axes):
    return axes.get_legend_handles_labels()[1]


def note(figure):
    return " ".join(figure.get_supxlabel().split())


def test_a_power_law_has_its_slope_in_the_legend_and_its_points_on_the_line():
    figure = gradients.signal_to_noise(POWER)
    assert [axes.get_title() for axes in figure.axes] == ["encoder", "prior"]
    for axes in figure.axes:
        assert labels(axes) == ["dreg: +0.50", "iwae: \N{MINUS SIGN}0.50", "floor"]
        assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
        np.testing.assert_allclose(axes.lines[0].get_xydata(), [(1, 0.2), (4, 0.4), (16, 0.8)])
        assert list(axes.lines[2].get_ydata()) == [0.01] * 3


def test_points_near_the_floor_bend_no_slope():
    drowned = [row("iwae", k, snr=max(0.05 * k**-0.5, 0.012)) for k in (1, 4, 64, 256)]
    assert labels(gradients.signal_to_noise(drowned).axes[0])[0] == "iwae: \N{MINUS SIGN}0.50"
    assert labels(gradients.signal_to_noise(drowned[2:]).axes[0])[0] == "iwae: at the floor"


def test_a_bias_that_is_seen_is_filled_and_one_that_is_not_stands_at_its_noise_with_an_arrow():
    rows = [row("stl-iwae", bias=0.3, relative_bias=0.6), row("dreg", bias=0.015, variance_noise=0.2)]
    (axes,) = gradients.bias_against_variance(rows).axes
    seen, unseen = (line for line in axes.lines if line.get_marker() != "None")
    assert seen.get_xydata().tolist() == [[1.0, 0.3]]
    assert unseen.get_xydata().tolist() == [[0.2, 0.01]]
    assert seen.get_markerfacecolor() != "none" == unseen.get_markerfacecolor()
    assert len(axes.texts) == 1


@pytest.mark.parametrize(
    ("changes", "seen"),
    [
        ({"bias": 0.05, "relative_bias": 0.1}, True),
        ({"bias": 0.03, "relative_bias": 0.1}, False),
        ({"bias": 1e-17, "bias_se": 0.0, "relative_bias": 1e-16}, False),
        ({"bias": None, "bias_se": None, "relative_bias": None}, False),
        ({"bias": 0.05, "relative_bias": None}, True),
    ],
)
def test_a_bias_is_seen_beyond_noise_and_rounding(changes, seen):
    assert biased(row(**changes)) == seen


def test_the_figure_fills_what_the_table_marks():
    rows = [row("marked", bias=0.05), row("doubtful", bias=0.03), row("rounding", bias=0.05, relative_bias=1e-7)]
    rows[0]["relative_bias"] = rows[1]["relative_bias"] = 0.1
    (axes,) = gradients.bias_against_variance(rows).axes
    faces = [line.get_markerfacecolor() != "none" for line in axes.lines if line.get_marker() != "None"]
    assert faces == [biased(each) for each in rows] == [True, False, False]


def test_dots_are_variance_times_milliseconds_the_best_on_top_and_hollow_without_a_claim():
    rows = [row("a", milliseconds=3.0), row("b"), row("c", unbiased_for="nothing: a reason", variance_noise=4.0)]
    (axes,) = gradients.work_normalised_variance(rows).axes
    (dots,) = axes.collections
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["b", "c", "a"]
    assert dots.get_offsets().tolist() == [[0.5, 0], [2.0, 1], [3.0, 2]]
    assert [face[3] for face in dots.get_facecolors()] == [1, 0, 1]
    assert axes.get_ylim()[0] > axes.get_ylim()[1]
    assert not axes.patches


@pytest.mark.parametrize("heights", [(0.01,), (0.01, 0.010000000000000002), (0.1, 0.2, 0.4), (1e-5, 1.0)])
def test_arrows_end_above_the_axis_and_ticks_have_room(heights):
    rows = [row(f"e{i}", bias_se=height, variance_noise=1 + 0.1 * i) for i, height in enumerate(heights)]
    figure = gradients.bias_against_variance(rows + [{**each, "group": "decoder"} for each in rows])
    figure.draw_without_rendering()
    for axes in figure.axes:
        assert len(axes.texts) == len(heights)
        lowest = min(text.arrow_patch.get_window_extent().y0 for text in axes.texts)
        assert lowest > axes.get_window_extent().y0
        labels = [label.get_window_extent() for label in axes.get_xticklabels() if label.get_text()]
        assert all(left.x1 < right.x0 for left, right in itertools.pairwise(labels))
        seen = [tick for tick in axes.get_yticks() if axes.get_ylim()[0] <= tick <= axes.get_ylim()[1]]
        assert len(seen) >= 3


def test_a_bias_without_noise_to_place_it_is_left_out():
    rows = [row("a"), row("b", bias_se=0.0)]
    figure = gradients.bias_against_variance(rows)
    assert labels(figure.axes[0]) == ["a"]
    assert note(figure).endswith("no exact gradient: b.")


def test_what_has_no_variance_but_rounding_is_left_out():
    rows = [row("a"), row("exact", variance_noise=1e-16), row("none", variance_noise=0.0)]
    assert [each["estimator"] for each in with_noise(rows)] == ["a"]
    rows.append(row("small", group="prior", variance=1e-16, variance_noise=1e-16))
    assert [each["estimator"] for each in with_noise(rows)] == ["a", "small"]


@pytest.mark.parametrize("draw", DRAW)
def test_what_a_logarithmic_axis_leaves_out_is_named(draw):
    nothing = {"variance_noise": 0.0, "snr": None}
    rows = [row(name, group=group, step=1) for group in ("encoder", "decoder") for name in ("a", "b")]
    assert "Left out" not in note(draw(rows))
    rows += [row("exact", group=group, step=1, **nothing) for group in ("encoder", "decoder")]
    rows[1] |= nothing
    left_out = note(draw(rows)).partition("Left out where there is no finite noise")[2]
    assert left_out.endswith(": b (encoder), exact.")


def test_variance_along_training_is_a_line_for_each_estimator_in_the_order_of_steps():
    rows = [row(name, step=step, variance_noise=value) for step, value in ((9, 2.0), (3, 1.0)) for name in ("a", "b")]
    (axes,) = gradients.variance_along_training(rows).axes
    assert labels(axes) == ["a", "b"]
    assert axes.lines[0].get_xydata().tolist() == [[3, 1], [9, 2]]


def test_many_estimators_are_told_apart():
    names = [f"e{i}" for i in range(25)]
    (axes,) = gradients.variance_along_training([row(name, step=1) for name in names]).axes
    assert len({(to_rgba(line.get_color()), line.get_marker()) for line in axes.lines}) == 25


@pytest.mark.parametrize("draw", DRAW)
@pytest.mark.parametrize("rows", [[], [row(bias=None, relative_bias=None, snr=None, variance_noise=0.0, step=1)]])
def test_nothing_to_show_is_an_empty_figure(draw, rows):
    draw(rows).draw_without_rendering()


@pytest.mark.parametrize("draw", DRAW)
def test_a_figure_is_the_same_each_time(draw):
    rows = [each | {"step": step} for step in (1, 2) for each in POWER]
    assert save_figure(draw(rows)) == save_figure(draw(rows))
