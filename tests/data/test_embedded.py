"""The embedded MNIST is the published one."""

import gzip
import lzma
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from vae_fn.data import DataError, embedded, load_mnist, read_idx

FOLDER = Path(embedded.__file__).parent / "mnist"
LABELS = {
    "train": [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
    "test": [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
}


@pytest.fixture(scope="module")
def mnist():
    return load_mnist()


def test_shapes_dtypes_and_labels(mnist):
    assert mnist.validation is None
    for name, n in (("train", 60_000), ("test", 10_000)):
        images, labels = getattr(mnist, name)
        assert images.shape == (n, 784)
        assert images.dtype == torch.uint8
        assert labels.dtype == torch.int64
        assert torch.bincount(labels).tolist() == LABELS[name]


def test_the_mean_and_deviation_that_everybody_normalises_by(mnist):
    shares = torch.bincount(mnist.train.images.flatten()).double() / mnist.train.images.numel()
    levels = torch.arange(256, dtype=torch.float64) / 255
    mean = shares @ levels
    assert mean.item() == pytest.approx(0.1307, abs=5e-5)
    assert (shares @ (levels - mean) ** 2).sqrt().item() == pytest.approx(0.3081, abs=5e-5)


def test_rows_are_images_in_c_order_and_centred_by_mass(mnist):
    pixels = mnist.test.images.reshape(-1, 28, 28)
    assert torch.equal(pixels, torch.from_numpy(read_idx(FOLDER / "t10k-images-idx3-ubyte.xz")))
    for axis in (1, 2):
        mass = pixels.sum(axis).double()
        centre = mass @ torch.arange(28, dtype=torch.float64) / mass.sum(1)
        assert ((centre - 14).abs() < 1).all()


def test_the_checksums_are_those_that_the_readme_states():
    rows = re.findall(r"^\| (\S+-ubyte) \|.*\| ([0-9a-f]{32}) \|$", (FOLDER / "README.md").read_text(), re.MULTILINE)
    assert dict(rows) == embedded.MD5


def test_raw_gz_and_xz_are_equal(tmp_path):
    xz = FOLDER / "t10k-images-idx3-ubyte.xz"
    raw = lzma.decompress(xz.read_bytes())
    (tmp_path / "raw.xz").write_bytes(raw)  # whatever the name says
    (tmp_path / "gz").write_bytes(gzip.compress(raw, 1))
    arrays = [read_idx(path) for path in (xz, tmp_path / "raw.xz", tmp_path / "gz")]
    assert arrays[0].shape == (10_000, 28, 28)
    assert np.array_equal(arrays[0], arrays[1])
    assert np.array_equal(arrays[0], arrays[2])


@pytest.mark.parametrize("damage", ["other content", "truncated", "missing"])
def test_a_damaged_package_asks_to_be_reinstalled(tmp_path, monkeypatch, damage):
    name = "train-images-idx3-ubyte.xz"
    if damage == "other content":
        raw = bytearray(lzma.decompress((FOLDER / "t10k-images-idx3-ubyte.xz").read_bytes()))
        raw[-1] ^= 1
        (tmp_path / name).write_bytes(lzma.compress(raw, preset=0))
    elif damage == "truncated":
        shutil.copyfile(FOLDER / name, tmp_path / name)
        with (tmp_path / name).open("r+b") as file:
            file.truncate(1000)
    monkeypatch.setattr(embedded, "_FOLDER", tmp_path)
    with pytest.raises(DataError, match=f"{re.escape(name)}.*reinstall the package"):
        load_mnist()
