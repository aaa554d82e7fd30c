"""Folders of IDX files in every accepted naming, and every folder that is none."""

from pathlib import Path

import numpy as np
import pytest

from tests.data.files import ENCODERS, check_arrays, check_refused, mnist_like, pixels, write_folder
from vae_fn.data import embedded, load_mnist
from vae_fn.data.idx_folder import load_idx_folder

ARRAYS = mnist_like()


def named(rename) -> dict[str, np.ndarray]:
    return {rename(name): array for name, array in ARRAYS.items()}


@pytest.mark.parametrize("suffix", ENCODERS)
@pytest.mark.parametrize(
    "rename",
    [
        lambda name: name,
        lambda name: name.replace("-idx", ".idx"),
        lambda name: "emnist-balanced-" + name.replace("t10k", "test"),
        lambda name: name.replace("t10k", "test"),
    ],
)
def test_every_accepted_name_in_every_encoding(tmp_path, rename, suffix):
    folder = write_folder(tmp_path, named(lambda name: rename(name) + suffix))
    (tmp_path / "README.md").write_text("train-images-idx3-ubyte\n")
    check_arrays(load_idx_folder(folder), ARRAYS)


def test_labels_on_other_images_are_caught(tmp_path):
    folder = write_folder(tmp_path, ARRAYS | {"train-labels-idx1-ubyte": ARRAYS["train-labels-idx1-ubyte"][::-1]})
    with pytest.raises(AssertionError):
        check_arrays(load_idx_folder(folder), ARRAYS)


def test_a_raw_file_is_taken_before_its_compressed_form(tmp_path):
    write_folder(tmp_path, ARRAYS)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(b"not even read")
    check_arrays(load_idx_folder(tmp_path), ARRAYS)


def test_the_package_s_own_mnist_is_a_folder_too():
    folder, mnist = load_idx_folder(Path(embedded.__file__).parent / "mnist"), load_mnist()
    for split, expected in ((folder.train, mnist.train), (folder.test, mnist.test)):
        assert (split.images == expected.images).all()
        assert (split.labels == expected.labels).all()
    assert folder.shape == mnist.shape


def without(*parts: str) -> dict[str, np.ndarray]:
    return {name: array for name, array in ARRAYS.items() if not name.startswith(parts)}


def test_labels_are_optional(tmp_path):
    data = load_idx_folder(write_folder(tmp_path, without("train-labels", "t10k-labels")))
    assert data.train.labels is data.test.labels is None
    assert (len(data.train.images), len(data.test.images)) == (12, 5)


def test_a_missing_test_part_is_held_out(tmp_path):
    data = load_idx_folder(write_folder(tmp_path, without("t10k")))
    assert (len(data.train.images), len(data.test.images)) == (10, 2)
    for split in (data.train, data.test):
        images = ARRAYS["train-images-idx3-ubyte"][split.labels]
        assert np.array_equal(split.images.numpy(), images.reshape(len(images), -1))


def test_a_reader_that_accepts_anything_is_caught(tmp_path):
    with pytest.raises(AssertionError):
        check_refused(lambda folder: None, tmp_path)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({}, ["train-images-idx3-ubyte", "is missing", "holds nothing"]),
        ({"faces.idx": pixels(0, 2, 2)}, ["train-images-idx3-ubyte", "is missing", "'faces.idx'"]),
        (without("train"), ["train-images-idx3-ubyte", "'t10k-images-idx3-ubyte', 't10k-labels-idx1-ubyte'"]),
        (without("train-images"), ["train-images-idx3-ubyte (or .gz, .xz) is missing", "'train-labels-idx1-ubyte'"]),
        (without("t10k-images"), ["t10k-images-idx3-ubyte (or .gz, .xz) is missing", "'t10k-labels-idx1-ubyte'"]),
        (ARRAYS | {"kmnist-" + name: array for name, array in ARRAYS.items()}, ["several data sets ('', 'kmnist-')"]),
        (ARRAYS | {"train-images.idx3-ubyte.gz": pixels(0, 2, 2)}, ["both claim to be the train images"]),
        (ARRAYS | {"test-labels-idx1-ubyte": pixels(0, 2)}, ["both claim to be the test labels"]),
        (ARRAYS | {"t10k-images-idx3-ubyte": pixels(0, 5, 3, 4)}, ["t10k-images", "test images of shape (3, 4)"]),
        (ARRAYS | {"train-images-idx3-ubyte": pixels(0, 12)}, ["train-images", "images of shape (12,)"]),
        (ARRAYS | {"train-labels-idx1-ubyte": pixels(0, 11)}, ["train-labels", "shape (11,) for 12 images"]),
    ],
)
def test_what_is_missing_or_wrong_is_named(tmp_path, arrays, words):
    check_refused(load_idx_folder, write_folder(tmp_path, arrays), *words)


def test_a_truncated_file_is_named(tmp_path):
    write_folder(tmp_path, ARRAYS)
    path = tmp_path / "t10k-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    check_refused(load_idx_folder, tmp_path, str(path), "cut short")


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    check_refused(load_idx_folder, tmp_path / "missing", "No such file")

    def denied(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", denied)
    check_refused(load_idx_folder, tmp_path, "Permission denied", "check its permissions")
