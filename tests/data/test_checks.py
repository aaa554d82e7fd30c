"""Images that nothing can be learnt from are refused for training, and taken where they are only encoded."""

import tracemalloc

import numpy as np
import pytest

from tests.data.files import check_refused, npy, npz, written
from vae_fn.data import load
from vae_fn.data.arrays import Named, Part, make_dataset, make_split
from vae_fn.data.checks import check_bright, check_images
from vae_fn.data.stored import load_stored

FLOATS = ["f2", "<f4", ">f4", "f8"]
LEVELS = np.arange(256).reshape(16, 4, 4)


def npy_loaded(path):
    return load(str(path))


def scaled_twice(dtype: str) -> np.ndarray:
    return (LEVELS.astype(dtype) / np.array(255, dtype) / np.array(255, dtype)).astype(dtype)


@pytest.mark.parametrize("dtype", FLOATS)
def test_floats_scaled_twice_are_refused(tmp_path, dtype):
    path = written(tmp_path / "images.npy", npy(scaled_twice(dtype)))
    check_refused(npy_loaded, path, "at most 1/255", "as if scaled twice", "divide by 255 only once")


@pytest.mark.parametrize("dtype", ["u1", "?", *FLOATS])
def test_black_training_images_are_refused(tmp_path, dtype):
    path = written(tmp_path / "images.npy", npy(np.zeros((6, 4, 4), dtype)))
    check_refused(npy_loaded, path, "every training image is black")


@pytest.mark.parametrize("dtype", FLOATS)
def test_floats_brighter_than_one_level_are_taken(dtype):
    """Dim they are, but no image scaled twice is as bright."""
    images = np.zeros((6, 2, 2), dtype)
    images[0, 0, 0] = np.nextafter(images.dtype.type(1 / 255), images.dtype.type(1))
    assert len(make_dataset(Part(Named("", images), None), None).train.images) == 5


def test_the_fault_of_the_training_images_is_named_beside_sound_test_images(tmp_path):
    path = written(tmp_path / "images.npz", npz(x_train=scaled_twice("f4"), x_test=np.ones((2, 4, 4), "f4")))
    check_refused(npy_loaded, path, "x_train: the brightest training pixel")


def test_dark_test_images_are_taken(tmp_path):
    content = npz(x_train=np.ones((2, 4, 4), "f4"), x_test=np.zeros((3, 4, 4), "f4"))
    assert len(load(str(written(tmp_path / "images.npz", content))).test.images) == 3


@pytest.mark.parametrize("image", [np.zeros((1, 4, 4), "u1"), np.zeros((1, 4, 4), "f4"), scaled_twice("f4")[:1]])
def test_one_dark_image_alone_is_taken(tmp_path, image):
    assert len(load_stored(str(written(tmp_path / "image.npy", npy(image)))).dataset.test.images) == 1
    assert len(make_split(Part(Named("", image), None))[0].images) == 1


def check_allocates_little(check, images: np.ndarray):
    tracemalloc.start()
    try:
        check("", images)
        assert tracemalloc.get_traced_memory()[1] < images.nbytes / 10
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("check", [check_images, check_bright])
@pytest.mark.parametrize("dtype", ["u1", "?", *FLOATS])
def test_sound_images_are_checked_without_arrays_of_their_size(check, dtype):
    check_allocates_little(check, np.full((1000, 40, 40), 255 if dtype == "u1" else 1, dtype))


def test_a_check_of_every_pixel_at_once_is_caught():
    with pytest.raises(AssertionError):
        check_allocates_little(lambda name, images: np.isfinite(images).all(), np.ones((1000, 40, 40), "f4"))
