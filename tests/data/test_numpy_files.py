"""`.npy` and `.npz` against `numpy.save`, with every layout of keys."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data.files import check_refused, npy, npz, written
from vae_fn.data.numpy_files import load_numpy

TRAIN, TEST = np.arange(1, 13, dtype="u1").reshape(3, 2, 2), np.arange(9, 17, dtype="u1").reshape(2, 2, 2)


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("numpy") / "file"


@given(order=st.sampled_from("CF"), dtype=st.sampled_from(["u1", "?", ">f4", "f8"]))
def test_an_npy_is_images_of_which_a_sixth_is_held_out(file, order, dtype):
    images = np.asarray(np.arange(70 * 6).reshape(70, 3, 2) % 2 * (255 if dtype == "u1" else 1), dtype, order=order)
    data = load_numpy(written(file, npy(images)))
    assert data.shape == (3, 2)
    assert (len(data.train.images), len(data.test.images)) == (59, 11)
    assert data.train.labels is data.test.labels is data.validation is None


def check_layout(load, path: Path, names: list[str | None], save):
    values = (TRAIN, np.array([0, 1, 2]), TEST, np.array([1, 0]))
    path.write_bytes(npz(save, **{name: array for name, array in zip(names, values, strict=True) if name}))
    data = load(path)
    assert np.array_equal(data.train.images.unflatten(1, data.shape).numpy(), TRAIN)
    assert np.array_equal(data.test.images.unflatten(1, data.shape).numpy(), TEST)
    for split, name, labels in ((data.train, names[1], values[1]), (data.test, names[3], values[3])):
        assert (split.labels is None) if name is None else split.labels.tolist() == labels.tolist()


KERAS, PLAIN = ["x_train", "y_train", "x_test", "y_test"], ["train", "train_labels", "test", "test_labels"]


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("names", [KERAS, PLAIN])
@pytest.mark.parametrize("without", [(), (1,), (3,), (1, 3)])
def test_the_keys_of_two_parts_with_and_without_labels(file, save, names, without):
    check_layout(load_numpy, file, [None if i in without else name for i, name in enumerate(names)], save)


def test_a_reader_that_swaps_the_parts_is_caught(file):
    def swapped(path: Path):
        data = load_numpy(path)
        return data._replace(train=data.test, test=data.train)

    with pytest.raises(AssertionError):
        check_layout(swapped, file, KERAS, np.savez)


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("names", [("x_train", "y_train"), ("train", "train_labels"), ("images", "labels")])
def test_an_npz_of_one_part_is_divided_with_its_labels(file, names, labelled):
    arrays = dict(zip(names, (TRAIN, np.array([5, 6, 7])), strict=True))
    data = load_numpy(written(file, npz(**arrays if labelled else {names[0]: TRAIN})))
    assert (len(data.train.images), len(data.test.images)) == (2, 1)
    for split in (data.train, data.test):
        for row, label in zip(split.images, split.labels if labelled else [], strict=labelled):
            assert np.array_equal(row.numpy(), TRAIN[label - 5].ravel())


def test_a_single_array_has_any_name(file):
    assert load_numpy(written(file, npz(faces=TRAIN))).shape == (2, 2)


@pytest.mark.parametrize(
    "keys",
    [
        [],
        ["a", "b"],
        ["x_test"],
        ["labels"],
        ["images", "mask"],
        ["x_train", "y_tests"],
        ["x_train", "y_test"],
        ["x_train", "test"],
        ["x_train", "images"],
        ["x_train", "y_train", "x_val"],
        ["y_train", "x_test"],
    ],
)
def test_other_keys_are_listed_beside_those_understood(file, keys):
    path = written(file, npz(**dict.fromkeys(keys, TRAIN)))
    found = ", ".join(sorted(keys)) or "none"
    check_refused(
        load_numpy, path, f"the keys are {found}:", ", ".join(KERAS), ", ".join(PLAIN), "images, labels", "a single"
    )


def test_the_key_of_a_bad_array_is_named(file):
    path = written(file, npz(x_train=TRAIN, y_train=np.array([0, 1, -1])))
    check_refused(load_numpy, path, f"{path}: y_train: label -1 of image 2")
    path = written(file, npz(x_train=TRAIN, x_test=TEST.astype("i8")))
    check_refused(load_numpy, path, f"{path}: x_test: images of int64")
