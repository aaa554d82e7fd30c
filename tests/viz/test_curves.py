import numpy as np
import pytest
from matplotlib.colors import to_hex

from tests.viz.cases import row, rows
from vae_fn import viz
from vae_fn.viz.curves import SPLITS, TERMS, settled_limits


def lines(axes):
    return {line.get_label(): line for line in axes.lines}


def test_each_split_is_a_line_of_its_own_rows_in_each_panel():
    given = [*rows(), row(400, "test", -102.0)]
    figure = viz.loss_curves(given)
    assert [axes.get_ylabel() for axes in figure.axes] == [f"{term}\n(nats per image)" for term in TERMS.values()]
    for axes, key in zip(figure.axes, TERMS, strict=True):
        assert lines(axes).keys() == {"train", "validation", "test"}
        for split, line in lines(axes).items():
            own = [(r["step"], r[key]) for r in given if r["split"] == split]
            assert np.array_equal(line.get_xydata(), own)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["train", "validation", "test"]


def test_a_split_without_rows_is_no_line():
    assert lines(viz.loss_curves(rows()).axes[0]).keys() == {"train", "validation"}


def test_what_is_not_finite_is_a_gap():
    given = [row(1, "train", -5.0), row(2, "train", None), row(3, "train", -4.0)]
    elbo, _, kl = viz.loss_curves(given).axes
    assert np.array_equal(lines(elbo)["train"].get_ydata(), [-5, np.nan, -4], equal_nan=True)
    assert np.array_equal(lines(kl)["train"].get_ydata(), [5, 5, 5])


def test_the_limits_fit_all_but_the_first_tenth():
    low, high = viz.loss_curves(rows()).axes[0].get_ylim()
    settled = [r["elbo"] for r in rows() if r["step"] >= 40]
    margin = 0.05 * (max(settled) - min(settled))
    assert low == pytest.approx(min(settled) - margin)
    assert high == pytest.approx(max(settled) + margin)


@pytest.mark.parametrize(
    ("steps", "values", "limits"),
    [
        ([], [], (None, None)),
        ([1.0, 2.0], [np.nan, np.nan], (None, None)),
        ([1.0], [-100.0], (-105.0, -95.0)),
        ([1.0], [0.0], (-1.0, 1.0)),
        ([1.0, 10.0, 11.0], [1e9, 0.0, 1.0], (-0.05, 1.05)),
        ([1.0, 2.0, 100.0], [0.0, 1.0, np.nan], (-0.05, 1.05)),
        ([1.0, 10.0, 11.0], [-2.0, 0.0, 1.0], (-2.15, 1.15)),
        ([1.0, 10.0, 11.0], [-2.1, 0.0, 1.0], (-0.05, 1.05)),
    ],
)
def test_limits_of_few_and_of_missing_values(steps, values, limits):
    assert settled_limits(np.array(steps), np.array(values)) == pytest.approx(limits)


def triangles(axes):
    """The colour and the places of the triangles at the edges."""
    return [(to_hex(each.get_facecolor()[0]), each.get_offsets().tolist()) for each in axes.collections]


def test_what_lies_outside_is_a_triangle_at_the_edge_in_the_colour_of_its_line():
    elbo, _, kl = viz.loss_curves(rows()).axes
    low, _ = elbo.get_ylim()
    assert triangles(elbo) == [(to_hex(SPLITS["train"]["color"]), [[step, low] for step in (10, 20, 30)])]
    assert triangles(kl) == []
    above = viz.loss_curves([row(1, "train", 1e4), row(50, "train", 0.0), row(99, "train", 1.0)]).axes[0]
    assert triangles(above)[0][1] == [[1.0, above.get_ylim()[1]]]


@pytest.mark.parametrize(("points", "size"), [(1, 3.0), (60, 3.0), (61, 0.75)])
def test_every_point_of_a_short_curve_is_seen(points, size):
    given = [row(step, "train", grad_norm=1.0) for step in range(1, points + 1)]
    assert lines(viz.loss_curves(given).axes[0])["train"].get_markersize() == size
    assert lines(viz.gradient_norm(given, 0.0).axes[0])["gradient norm"].get_markersize() == size


@pytest.mark.parametrize("given", [[], [row(1, "train", None)], [row(1, "test")]])
def test_few_rows_make_a_figure(given):
    viz.loss_curves(given).draw_without_rendering()
    viz.gradient_norm(given, 1.0).draw_without_rendering()


def test_the_gradient_norm_is_of_training_on_a_logarithmic_axis_with_the_threshold():
    (axes,) = viz.gradient_norm(rows(), 2.5).axes
    assert axes.get_yscale() == "log"
    assert np.array_equal(
        lines(axes)["gradient norm"].get_xydata(),
        [(r["step"], r["grad_norm"]) for r in rows() if r["split"] == "train"],
    )
    assert lines(axes)["clipped to 2.5"].get_ydata() == [2.5, 2.5]


def test_gradient_norms_are_written_as_numbers():
    (axes,) = viz.gradient_norm([row(step, "train", grad_norm=norm) for step, norm in ((1, 1.7), (2, 6.5))], 10.0).axes
    axes.figure.draw_without_rendering()
    said = [label.get_text() for label in axes.get_yticklabels()]
    assert {"2", "5", "10"} <= set(said)
    assert not any("$" in each for each in said)
    assert not axes.get_yticklabels(minor=True)


def test_without_clipping_there_is_no_threshold():
    assert lines(viz.gradient_norm(rows(), 0.0).axes[0]).keys() == {"gradient norm"}
