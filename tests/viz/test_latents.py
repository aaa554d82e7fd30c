import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgba
from matplotlib.image import AxesImage
from matplotlib.patches import Circle
from scipy import stats

from tests.viz.cases import LABELS, Z
from vae_fn import viz
from vae_fn.viz.latents import BINS, label_places, prior_mass
from vae_fn.viz.style import CLASSES, reach


def clouds(figure):
    return [found for found in figure.axes[0].collections if isinstance(found, PathCollection)]


def numbers(figure):
    """The texts in circles, and where they stand."""
    return {int(t.get_text()): t.get_position() for t in figure.axes[0].texts if t.get_bbox_patch() is not None}


@pytest.mark.parametrize("radius", [0.0, 0.5, 1.0, 2.0, 3.0, 9.0])
def test_the_mass_within_a_radius_is_that_of_a_chi_square(radius):
    assert prior_mass(radius) == pytest.approx(stats.chi2(2).cdf(radius**2), abs=1e-15)


@pytest.mark.parametrize("draw", [lambda: viz.latent_scatter(Z, LABELS), lambda: viz.latent_histogram(Z)])
def test_contours_are_circles_of_equal_scale_and_their_masses_are_told(draw):
    figure = draw()
    axes = figure.axes[0]
    circles = [patch for patch in axes.patches if isinstance(patch, Circle)]
    assert [(circle.center, circle.radius) for circle in circles] == [((0, 0), 1), ((0, 0), 2), ((0, 0), 3)]
    assert axes.get_aspect() == 1
    assert axes.get_xlim() == axes.get_ylim() == (-reach(Z[:, :2]), reach(Z[:, :2]))
    assert "39.3 %, 86.5 %, 98.9 %" in " ".join(figure.get_supxlabel().split())


def test_all_points_are_drawn_in_their_order_so_that_no_class_hides_another():
    figure = viz.latent_scatter(Z, LABELS, (3, 1))
    (cloud,) = clouds(figure)
    assert np.array_equal(cloud.get_offsets(), Z[:, (3, 1)])
    colours = np.array([to_rgba(CLASSES[label], 0.6) for label in LABELS])
    assert np.allclose(cloud.get_facecolors(), colours)
    axes = figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == (
        "z₄ (prior standard deviations)",
        "z₂ (prior standard deviations)",
    )


def test_without_labels_there_is_one_colour_and_no_number():
    figure = viz.latent_scatter(Z, None)
    assert len(clouds(figure)[0].get_facecolors()) == 1
    assert not numbers(figure)


def test_more_than_ten_classes_differ_by_marker():
    figure = viz.latent_scatter(Z, np.arange(500) % 25)
    shapes = {cloud.get_paths()[0].vertices.tobytes() for cloud in clouds(figure)}
    assert len(clouds(figure)) == len(shapes) == 3
    assert numbers(figure).keys() == set(range(25))


def test_a_class_is_named_where_it_is_densest():
    points = np.array([[1.0, 2.0]] * 3 + [[-3.0, -3.0]] * 2 + [[0.1, -2.0]])
    places = label_places(points, np.array([7, 7, 7, 7, 7, 8]), 4.0)
    side = 8 / 20
    for label, point in {7: (1.0, 2.0), 8: (0.1, -2.0)}.items():
        assert np.abs(np.array(places[label]) - point).max() <= side / 2 + 1e-9


@pytest.mark.parametrize("place", [(0.0, 0.0), (2.0, -1.0)])
def test_classes_in_one_place_have_their_names_apart_but_near(place):
    places = label_places(np.tile(place, (25, 1)), np.arange(25), 3.4)
    assert len(set(places.values())) == 25
    assert np.abs(np.array(list(places.values())) - place).max() < 4 * 0.34


def leaders(figure):
    """The ends of the lines that lead from a number to where its class is densest."""
    return [line.get_xydata() for line in figure.axes[0].lines]


def test_a_number_stands_on_its_class_or_a_line_leads_from_it_to_there():
    """Classes on a line across the squares' edges: the middle of a square is off it; the third has no room on it."""
    along = np.linspace(-1, 1, 200)
    points, labels = np.stack([along, 0.01 * np.sin(along)], 1), np.repeat([0, 1], 100)
    points, labels = np.concatenate([points, [[0.5, 0.005]] * 40]), np.concatenate([labels, [2] * 40])
    figure = viz.latent_scatter(points, labels)
    places = numbers(figure)
    for label, place in places.items():
        own = points[labels == label]
        on_it = bool((own == place).all(1).any())
        ends = [line for line in leaders(figure) if np.array_equal(line[0], place)]
        assert on_it == (not ends)
        assert all((own == line[1]).all(1).any() for line in ends)
    assert len(leaders(figure)) <= 1
    assert len(set(places.values())) == 3


def test_a_class_on_one_place_that_is_taken_has_a_line_to_it():
    figure = viz.latent_scatter(np.tile([0.5, 0.5], (20, 1)), np.arange(20) % 2)
    places, ((start, end),) = numbers(figure), leaders(figure)
    assert places[0] == (0.5, 0.5)
    assert tuple(start) == places[1] != places[0]
    assert tuple(end) == (0.5, 0.5)


def test_a_number_is_not_put_where_its_class_is_rare():
    """One point far away is no place for the number of a hundred that lie where another number is."""
    points = np.concatenate([np.tile([0.5, 0.5], (200, 1)), [[3.0, -3.0]]])
    places = label_places(points, np.array([0] * 100 + [1] * 101), 3.4)
    assert np.hypot(*(np.array(places[1]) - 0.5)) < 4 * 0.34


def test_a_class_outside_the_frame_has_its_number_at_the_edge():
    points = np.concatenate([np.random.default_rng(0).normal(size=(5000, 2)), [[50.0, 0.0]]])
    figure = viz.latent_scatter(points, np.array([0] * 5000 + [1]))
    assert numbers(figure)[1] == (reach(points), 0.0)


def test_the_histogram_counts_every_point_in_its_square():
    z = np.concatenate([Z[:, :2], [[100.0, 0.0]]])
    figure = viz.latent_histogram(z)
    image = figure.findobj(AxesImage)[0]
    counts = image.get_array()
    extent = reach(z)
    assert counts.sum() == (np.abs(z) <= extent).all(1).sum()
    assert (counts.compressed() >= 1).all()
    low, high, bottom, top = image.get_extent()
    assert (low, high, bottom, top) == (-extent, extent, -extent, extent)
    assert "lie outside the frame" in figure.get_supxlabel()


@pytest.mark.parametrize("point", [(1.0, 2.0), (-3.0, 0.5)])
def test_the_histogram_has_its_first_latent_to_the_right_and_the_second_upwards(point):
    image = viz.latent_histogram(np.array([point])).findobj(AxesImage)[0]
    row, column = np.argwhere(image.get_array().filled(0))[0]
    side = 2 * 3.4 / BINS
    assert image.origin == "lower"
    assert abs(-3.4 + (column + 0.5) * side - point[0]) <= side / 2
    assert abs(-3.4 + (row + 0.5) * side - point[1]) <= side / 2


def test_colours_of_counts_are_logarithmic_from_one():
    image = viz.latent_histogram(Z).findobj(AxesImage)[0]
    assert image.norm.vmin == 1
    assert image.norm.vmax == max(2, image.get_array().max())
    assert image.get_cmap().name == "viridis"
