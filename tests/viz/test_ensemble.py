"""The curves of an ensemble: mean and spread of the members that are there."""

import numpy as np
import pytest
from matplotlib.collections import LineCollection

from vae_fn.viz import save_figure
from vae_fn.viz.ensemble import ensemble_curves, mean_and_spread


def rows(elbos, split="train"):
    return [{"step": 10.0 * (place + 1), "split": split, "elbo": elbo} for place, elbo in enumerate(elbos)]


def test_mean_and_deviation_are_those_of_a_sample():
    values = np.array([[-9.0, -5.0, -4.0], [-8.0, -6.0, -2.0], [-7.0, -1.0, -3.0]])
    steps, mean, spread = mean_and_spread([rows(each) for each in values.tolist()], "train")
    assert steps.tolist() == [10, 20, 30]
    np.testing.assert_allclose(mean, values.mean(0), rtol=1e-12)
    np.testing.assert_allclose(spread, values.std(0, ddof=1), rtol=1e-12)


def test_a_member_that_was_lost_counts_as_far_as_it_went():
    steps, mean, spread = mean_and_spread([rows([-9.0, None]), rows([-7.0, -5.0, -3.0])], "train")
    assert steps.tolist() == [10, 20, 30]
    assert mean.tolist() == [-8, -5, -3]
    assert spread[0] == pytest.approx(2**0.5)
    assert np.isnan(spread[1:]).all()


def test_members_without_rows_have_no_curve():
    assert [part.size for part in mean_and_spread([rows([1.0], "test"), []], "train")] == [0, 0, 0]


def test_the_figure_names_split_spread_and_counts():
    one, other = (rows([-9.0, -5.0]) + rows([start, -4.0], "validation") for start in (-6.0, -7.0))
    figure = ensemble_curves({"beta 1": [one, other], "beta 2": [other]})
    assert "one standard deviation to either side" in " ".join(figure.get_supxlabel().split())
    assert [axes.get_ylabel().split("\n")[0] for axes in figure.axes] == ["train ELBO", "validation ELBO"]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["beta 1, 2 keys", "beta 2, 1 key"]
    assert save_figure(figure)["png"][:4] == b"\x89PNG"


def test_the_spread_of_a_single_point_is_drawn_too():
    """As after one epoch: from one deviation below the mean, of -7, to one above."""
    training, evaluation = ensemble_curves({"": [rows([-9.0]), rows([-5.0])], "other": [rows([-1.0])]}).axes
    bands = [
        segment
        for lines in training.collections
        if isinstance(lines, LineCollection)
        for segment in lines.get_segments()
    ]
    np.testing.assert_allclose(bands, [[[10, -7 - 8**0.5], [10, -7 + 8**0.5]]], rtol=1e-12)
    assert len(training.lines) == 2
    assert not any(isinstance(lines, LineCollection) for lines in evaluation.collections)


@pytest.mark.parametrize(("points", "sizes"), [(2, [3.0, 3.0]), (60, [3.0, 3.0]), (61, [0.75, 3.0])])
def test_points_are_seen_where_those_of_a_single_run_are(points, sizes):
    member = rows([-9.0] * points) + rows([-8.0] * points, "test")
    lines = [axes.lines[0] for axes in ensemble_curves({"": [member, member]}).axes]
    assert [line.get_marker() for line in lines] == ["o", "o"]
    assert [line.get_markersize() for line in lines] == sizes


def test_nothing_to_draw_is_drawn():
    assert save_figure(ensemble_curves({"": [[], []]}))["svg"]
