import io

import matplotlib.image
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.image import AxesImage

from tests.viz.cases import PICTURES, SHAPE, pictures
from vae_fn import viz
from vae_fn.viz.grids import GAP, as_picture, draw_grid, mosaic
from vae_fn.viz.style import new_figure


def rescaled(figure):
    """The pictures of a figure whose black is not 0 or whose white is not 1."""
    return [
        image for image in figure.findobj(AxesImage) if image.get_clim() != (0, 1) or image.get_cmap().name != "gray"
    ]


@pytest.mark.parametrize("name", PICTURES)
def test_grey_is_never_rescaled_and_there_are_no_ticks(name):
    figure = PICTURES[name]()
    assert figure.findobj(AxesImage)
    assert not rescaled(figure)
    for axes in figure.axes:
        assert all(tick.tick1line.get_markersize() == 0 for tick in axes.xaxis.majorTicks + axes.yaxis.majorTicks)


def test_an_automatic_range_is_seen():
    figure = new_figure("")
    figure.subplots().imshow(pictures(1)[0].reshape(SHAPE), cmap="gray")
    assert rescaled(figure)


def test_a_half_is_drawn_as_half_grey():
    file = io.BytesIO(viz.save_figure(viz.prior_samples(np.full((1, 16), 0.5), (4, 4)))["png"])
    pixels = matplotlib.image.imread(file, format="png")
    assert np.allclose(pixels[pixels.shape[0] // 2, pixels.shape[1] // 2, :3], 0.5, atol=1 / 255)


@given(st.integers(1, 12), st.integers(1, 5), st.integers(1, 4), st.integers(1, 4))
def test_a_mosaic_holds_each_picture_in_its_place_and_white_between(count, columns, height, width):
    images = np.random.default_rng(0).random((count, height * width)) / 2
    picture = mosaic(images, (height, width), columns)
    left = picture.copy()
    for i, image in enumerate(images):
        top, start = i // columns * (height + GAP), i % columns * (width + GAP)
        cell = (slice(top, top + height), slice(start, start + width))
        assert np.array_equal(picture[cell], image.reshape(height, width))
        left[cell] = 1
    assert (left == 1).all()
    assert picture.shape == (-(-count // columns) * (height + GAP) - GAP, columns * (width + GAP) - GAP)


@pytest.mark.parametrize(
    ("shape", "picture"),
    [
        ((2, 6), lambda x: x.reshape(2, 6)),
        ((2, 6, 1), lambda x: x.reshape(2, 6)),
        ((1, 2, 6), lambda x: x.reshape(2, 6)),
        ((2, 2, 3), lambda x: x.reshape(2, 2, 3)),
        ((3, 2, 2), lambda x: np.stack([x[:4].reshape(2, 2), x[4:8].reshape(2, 2), x[8:].reshape(2, 2)], -1)),
        ((12,), lambda x: x.reshape(1, 12)),
        ((6, 2, 1, 1), lambda x: x.reshape(1, 12)),
    ],
)
def test_shapes_become_pictures(shape, picture):
    row = np.arange(12) / 12
    assert np.array_equal(as_picture(row, shape), picture(row))


def test_a_flat_row_is_a_square_or_a_strip_that_can_be_seen():
    assert np.array_equal(as_picture(np.arange(9) / 9, (9,)), (np.arange(9) / 9).reshape(3, 3))
    strip = as_picture(np.arange(80) / 80, (80,))
    assert strip.shape == (10, 80)
    assert (strip == np.arange(80) / 80).all()


@pytest.mark.parametrize("fault", [-0.5, 1.5, np.nan])
def test_numbers_that_are_no_intensities_are_refused(fault):
    with pytest.raises(ValueError, match=r"in \[0, 1\]"):
        as_picture(np.array([0.0, 1.0, 0.5, fault]), (2, 2))


def test_a_row_of_another_size_is_refused():
    with pytest.raises(ValueError, match="5 numbers is not an image of shape"):
        as_picture(np.zeros(5), (2, 2))


def test_colour_is_drawn_as_it_is():
    images = np.random.default_rng(0).random((4, 12))
    (image,) = viz.prior_samples(images, (2, 2, 3)).findobj(AxesImage)
    assert np.array_equal(image.get_array()[:2, :2].ravel(), images[0])


def test_sixty_four_samples_are_eight_by_eight():
    images = pictures(64)
    (image,) = viz.prior_samples(images, SHAPE).findobj(AxesImage)
    assert np.array_equal(image.get_array(), mosaic(images, SHAPE, 8))


def test_reconstructions_stand_below_their_originals():
    originals, decoded = pictures(5), pictures(5)
    figure = viz.reconstructions(originals, decoded, SHAPE, columns=3)
    first, second = (image.get_array() for image in figure.findobj(AxesImage))
    assert np.array_equal(first, mosaic(np.concatenate([originals[:3], decoded[:3]]), SHAPE, 3))
    blank = np.ones((1, 24))
    assert np.array_equal(second, mosaic(np.concatenate([originals[3:], blank, decoded[3:], blank]), SHAPE, 3))
    for axes in figure.axes:
        assert [label.get_text() for label in axes.get_yticklabels()] == ["original", "decoded"]
        assert axes.get_yticks()[0] < axes.get_yticks()[1]


def test_labels_stand_at_the_middles_of_rows_and_columns():
    axes = new_figure("").subplots()
    draw_grid(axes, pictures(6), (4, 6), 3, row_labels=("a", "b"), column_labels=("c", "", "d"))
    assert axes.get_yticks().tolist() == [1.5, 1.5 + 4 + GAP]
    assert axes.get_xticks().tolist() == [2.5, 2.5 + 2 * (6 + GAP)]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["c", "d"]
