import numpy as np
import pytest
from matplotlib.image import AxesImage
from scipy import stats

from tests.viz.cases import SHAPE, VALUES, pictures
from vae_fn import viz
from vae_fn.viz.grids import mosaic


def images_of(figure):
    return [image.get_array() for image in figure.findobj(AxesImage)]


@pytest.mark.parametrize("n", [1, 2, 5, 20])
def test_latents_of_the_manifold_are_quantiles_in_reading_order(n):
    grid = viz.manifold_latents(n).reshape(n, n, 2)
    quantiles = stats.norm.ppf((np.arange(1, n + 1) - 0.5) / n)
    for i in range(n):
        for j in range(n):
            assert np.allclose(grid[i, j], [quantiles[j], quantiles[n - 1 - i]], atol=1e-12)


def test_further_latents_of_the_manifold_are_zero():
    latents = viz.manifold_latents(3, dim=5)
    assert latents.shape == (9, 5)
    assert np.array_equal(latents[:, :2], viz.manifold_latents(3))
    assert (latents[:, 2:] == 0).all()


@pytest.mark.parametrize("n", [4, 9, 20])
def test_the_manifold_has_its_labels_where_the_latents_are(n):
    images = pictures(n * n)
    figure = viz.manifold(images, SHAPE)
    (axes,) = figure.axes
    assert np.array_equal(images_of(figure)[0], mosaic(images, SHAPE, n))
    latents = viz.manifold_latents(n).reshape(n, n, 2)
    height, width = SHAPE[0] + 2, SHAPE[1] + 2
    for place, label in zip(axes.get_xticks(), axes.get_xticklabels(), strict=True):
        assert float(label.get_text().replace("−", "-")) == round(latents[0, int(place // width), 0], 1)  # noqa: RUF001
    for place, label in zip(axes.get_yticks(), axes.get_yticklabels(), strict=True):
        assert float(label.get_text().replace("−", "-")) == round(latents[int(place // height), 0, 1], 1)  # noqa: RUF001
    assert np.allclose(np.sort(axes.get_xticks()), (n * width - 3) - np.sort(axes.get_xticks())[::-1])


def test_interpolations_have_a_row_for_each_pair():
    linear, spherical = pictures(5, 3), pictures(5, 3)
    first, second = images_of(viz.interpolations(linear, spherical, SHAPE))
    for picture, given in ((first, linear), (second, spherical)):
        rows = np.concatenate([given[:, pair] for pair in range(3)])
        assert np.array_equal(picture, mosaic(rows, SHAPE, 5))


def test_rows_of_interpolations_are_named_if_there_are_names():
    names = ["0 to 1", "2 to 3", "4 to 5"]
    for given in ([], names):
        figure = viz.interpolations(pictures(5, 3), pictures(5, 3), SHAPE, given)
        for axes in figure.axes:
            assert [label.get_text() for label in axes.get_yticklabels()] == given


def test_one_latent_moves_and_the_others_stay():
    start = np.array([0.5, -0.25, 2.0])
    latents = viz.traversal_latents(start, VALUES, [2, 0])
    assert latents.shape == (2, 7, 3)
    for row, dim in enumerate([2, 0]):
        for column, value in enumerate(VALUES):
            expected = start.copy()
            expected[dim] = value
            assert np.array_equal(latents[row, column], expected)


def test_traversals_name_their_latents_and_values():
    images = pictures(2, 7)
    figure = viz.traversals(images, SHAPE, VALUES, [11, 0])
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["z₁₂", "z₁"]
    assert [label.get_text() for label in axes.get_xticklabels()][-2:] == ["2.0", "3.0"]
    assert np.array_equal(images_of(figure)[0], mosaic(images.reshape(14, -1), SHAPE, 7))
