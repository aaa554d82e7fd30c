import numpy as np
import pytest
from matplotlib.collections import QuadMesh

from tests.viz.cases import row, rows
from vae_fn import viz


def test_active_units_have_at_least_a_hundredth_of_a_nat():
    assert viz.active_units(np.array([0.0, 0.0099, 0.01, 3.0, np.nan])) == 2


def test_the_most_active_come_first_and_of_equals_the_first():
    kl = np.array([0.1, 3.0, 0.1, 5.0])
    assert viz.most_active(kl, 3) == [3, 1, 0]
    assert viz.most_active(kl, 9) == [3, 1, 0, 2]


@pytest.mark.parametrize("dims", [1, 8])
def test_few_latents_are_lines_of_different_colour_and_marker(dims):
    given = rows(dims)
    figure = viz.kl_by_dimension(given)
    lines = figure.axes[0].lines
    own = [r for r in given if r["split"] == "validation"]
    assert len({(line.get_color(), line.get_marker()) for line in lines}) == len(lines) == dims
    for dim, line in enumerate(lines):
        assert np.array_equal(line.get_xydata(), [(r["step"], r["kl_by_dimension"][dim]) for r in own])
    assert len(figure.legends[0].get_texts()) == dims


def test_many_latents_are_a_heat_map_with_the_most_active_on_top():
    given = [row(10, "validation", dims=9), row(30, "validation", dims=9)]
    given[1]["kl_by_dimension"] = [0.001 * 2**i for i in range(9)]
    axes, bar = viz.kl_by_dimension(given).axes
    (mesh,) = [found for found in axes.collections if isinstance(found, QuadMesh)]
    expected = np.array([r["kl_by_dimension"] for r in given])[:, ::-1].T
    assert np.array_equal(mesh.get_array(), expected)
    assert np.array_equal(mesh.get_coordinates()[0, :, 0], [0, 10, 30])
    assert axes.yaxis_inverted()
    assert [label.get_text() for label in axes.get_yticklabels()][:2] == ["z₉", "z₈"]
    assert (mesh.norm.vmin, mesh.norm.vmax) == (0.01, expected.max())
    assert "nats" in bar.get_ylabel()


def test_the_title_counts_active_units_at_the_end():
    given = rows(dims=9)
    given[-1]["kl_by_dimension"] = [1.0, 0.01, 0.0099, None, 0, 0, 0, 0, 0]
    assert "2 of 9 active" in viz.kl_by_dimension(given).get_suptitle()
    assert "2 of 2 active" in viz.kl_by_dimension(rows()).get_suptitle()


def test_latents_that_are_all_inactive_or_not_finite_are_drawn():
    given = [row(10, "validation", dims=9)]
    for values in ([0.0] * 9, [None] * 9):
        given[0]["kl_by_dimension"] = values
        viz.kl_by_dimension(given).draw_without_rendering()
    given[0]["kl_by_dimension"] = [None, None]
    viz.kl_by_dimension(given).draw_without_rendering()


def test_rows_of_another_split_are_not_mixed_in():
    figure = viz.kl_by_dimension([*rows(), row(400, "test", dims=2)])
    assert figure.axes[0].lines[0].get_xdata().tolist() == [100, 200, 300, 400]


def test_rows_without_it_are_refused():
    with pytest.raises(ValueError, match="no row has kl_by_dimension"):
        viz.kl_by_dimension([row(1, "train")])
