import numpy as np
import pytest
import torch

from tests.data.files import write_idx
from vae_fn.data import DataError, load
from vae_fn.data.stored import in_order, load_stored


def numbered(count, first=0):
    """Images whose first pixel is their number."""
    images = np.full((count, 2, 3), 7, np.uint8)
    images[:, 0, 0] = np.arange(first, first + count)
    return images


def numbers(split):
    return split.images[:, 0].tolist()


@pytest.mark.parametrize("count", [1, 2, 3, 7, 100])
def test_an_array_alone_is_in_the_order_of_its_file(tmp_path, count):
    np.save(tmp_path / "images.npy", numbered(count))
    stored = load_stored(str(tmp_path / "images.npy"))
    assert stored.dataset.shape == (2, 3)
    assert numbers(in_order(stored)) == list(range(count))


def test_the_order_is_not_that_of_the_splits(tmp_path):
    """Without the order of the file the held-out images would stand at the end."""
    np.save(tmp_path / "images.npy", numbered(100))
    stored = load_stored(str(tmp_path / "images.npy"))
    ahead = stored._replace(order=torch.arange(100))
    assert numbers(in_order(ahead)) != list(range(100))


def test_the_splits_are_those_of_training(tmp_path):
    np.savez(tmp_path / "images.npz", images=numbered(30), labels=np.arange(30))
    stored, loaded = load_stored(str(tmp_path / "images.npz")).dataset, load(str(tmp_path / "images.npz"))
    for ours, theirs in ((stored.train, loaded.train), (stored.test, loaded.test)):
        assert torch.equal(ours.images, theirs.images)
        assert torch.equal(ours.labels, theirs.labels)


def test_labels_keep_to_their_images(tmp_path):
    np.savez(tmp_path / "images.npz", images=numbered(30), labels=np.arange(30) + 50)
    whole = in_order(load_stored(str(tmp_path / "images.npz")))
    assert whole.labels.tolist() == [number + 50 for number in numbers(whole)]


@pytest.mark.parametrize("labels", [{}, {"y_train": np.arange(12)}])
def test_of_two_parts_the_training_images_come_first(tmp_path, labels):
    """12 and 2 images: as many as would be held out of 14, and yet nothing is."""
    np.savez(tmp_path / "images.npz", x_train=numbered(12), x_test=numbered(2, 12), **labels)
    whole = in_order(load_stored(str(tmp_path / "images.npz")))
    assert numbers(whole) == list(range(14))
    assert whole.labels is None


def test_parts_of_levels_and_of_intensities_have_no_order(tmp_path):
    path = tmp_path / "images.npz"
    np.savez(path, x_train=numbered(12), x_test=numbered(2).astype(np.float32) / 255)
    with pytest.raises(DataError, match="x_test: test images of float32 beside training images of uint8"):
        load_stored(str(path))


def test_a_name_and_a_folder(tmp_path):
    whole = in_order(load_stored("mnist"))
    assert len(whole.images) == len(whole.labels) == 70_000
    write_idx(tmp_path / "train-images-idx3-ubyte", numbered(20))
    assert numbers(in_order(load_stored(str(tmp_path)))) == list(range(20))
    write_idx(tmp_path / "t10k-images-idx3-ubyte", numbered(20))
    assert numbers(in_order(load_stored(str(tmp_path)))) == [*range(20), *range(20)]


def test_what_cannot_be_loaded_is_refused_as_ever(tmp_path):
    (tmp_path / "images.npy").write_bytes(b"nonsense")
    for source in (tmp_path / "images.npy", tmp_path / "nothing.npy", tmp_path):
        with pytest.raises(DataError) as ours:
            load_stored(str(source))
        with pytest.raises(DataError) as theirs:
            load(str(source))
        assert str(ours.value) == str(theirs.value)
