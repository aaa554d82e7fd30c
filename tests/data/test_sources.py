"""A data set by name or path, and what is said of one that is not there."""

import os

import numpy as np
import pytest

from tests.data.cases import dataset
from tests.data.files import check_arrays, mnist_like, write_folder
from vae_fn import data
from vae_fn.data import NAMES, DataError, load, load_mnist, sources

FASHION = "/usr/share/datasets/fashion-mnist"


def test_the_names():
    assert NAMES == ("mnist", "fashion-mnist", "kmnist", "emnist")
    assert {"load", "NAMES"} <= set(data.__all__)


def test_mnist_by_name_is_the_embedded_one():
    for part, expected in zip(load("mnist")[:3], load_mnist()[:3], strict=True):
        assert part is expected is None or (part.images == expected.images).all()


def test_a_published_name_is_looked_up_in_the_cache(monkeypatch):
    published = {"kmnist": dataset(0)}
    monkeypatch.setattr(sources, "load_published", published.__getitem__)
    assert load("kmnist") is published["kmnist"]


def test_a_path_is_told_by_what_is_there(tmp_path, monkeypatch):
    arrays = mnist_like()
    write_folder(tmp_path / "mnist", arrays)
    keys = ("x_train", "y_train", "x_test", "y_test")
    np.savez(tmp_path / "set.npz", **dict(zip(keys, arrays.values(), strict=True)))
    np.save(tmp_path / "set.npy", arrays["train-images-idx3-ubyte"])
    check_arrays(load(str(tmp_path / "mnist")), arrays)
    check_arrays(load(str(tmp_path / "set.npz")), arrays)
    assert len(load(str(tmp_path / "set.npy")).train.images) == 10
    monkeypatch.chdir(tmp_path)
    check_arrays(load("./mnist"), arrays)
    assert len(load("mnist").train.images) == 60_000
    monkeypatch.setenv("HOME", str(tmp_path))
    check_arrays(load("~/mnist"), arrays)


@pytest.mark.parametrize(
    ("source", "nearest"),
    [("fashionmnist", "fashion-mnist"), ("MNIST", "mnist"), ("kminst", "kmnist"), ("eminst", "emnist")],
)
def test_the_nearest_name_is_suggested(source, nearest):
    with pytest.raises(DataError, match=f"^there is no data set.* '{source}': did you mean {nearest}\\?.*mnist, fash"):
        load(source)


@pytest.mark.parametrize("source", ["", "cifar", "no/such/file.npz"])
def test_no_name_is_suggested_where_none_is_near(source):
    with pytest.raises(DataError, match=rf"'{source}': the names are mnist, fashion-mnist, kmnist, emnist; .* \.npz"):
        load(source)


def test_what_is_neither_name_nor_path(unchecked):
    with pytest.raises(TypeError, match=r"from an ndarray of uint8 and shape \(3, 4\): .* training\.Batch"):
        load(np.zeros((3, 4), np.uint8))


def test_what_is_neither_file_nor_folder_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="pipe: neither a file nor a folder"):
        load(str(tmp_path / "pipe"))


@pytest.mark.parametrize(("source", "reason"), [("a\0b", "null"), ("a" * 5000, "too long")])
def test_an_impossible_path_is_refused(source, reason):
    with pytest.raises(DataError, match=f"the path cannot be read .*{reason}"):
        load(source)


def test_a_path_below_what_may_not_be_entered_is_refused(monkeypatch):
    def denied(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(sources.os, "stat", denied)
    with pytest.raises(DataError, match=r"'secret/x.npz': the path cannot be read \(Permission denied\)"):
        load("secret/x.npz")


@pytest.mark.skipif(not os.path.isdir(FASHION), reason="Debian's package dataset-fashion-mnist is not installed")
def test_fashion_mnist_has_the_mean_and_deviation_that_everybody_normalises_by():
    fashion = load(FASHION)
    assert fashion.shape == (28, 28)
    assert (fashion.train.images.shape, fashion.test.images.shape) == ((60_000, 784), (10_000, 784))
    assert fashion.train.labels.bincount().tolist() == [6000] * 10
    assert fashion.test.labels.bincount().tolist() == [1000] * 10
    shares = fashion.train.images.flatten().bincount().double() / fashion.train.images.numel()
    levels = np.arange(256) / 255
    mean = float(shares.numpy() @ levels)
    assert mean == pytest.approx(0.2860, abs=5e-5)
    assert float(shares.numpy() @ (levels - mean) ** 2) ** 0.5 == pytest.approx(0.3530, abs=5e-5)
