"""Wrong data of every kind: each is one line that says what to do, before anything is made."""

import os

import numpy as np
import pytest

from tests.cli.workplace import all_of, array, arrays, check_mistake, cut, folder, text, zipped_idx
from vae_fn.cli.main import main

BLACK = np.zeros((20, 6, 6), np.uint8)
GREY = np.full((20, 6, 6), 0.5, np.float32)
HOLED = np.where(np.arange(20)[:, None, None] == 3, np.nan, GREY)

MISTAKES = [
    (
        None,
        "nowhere.npy",
        "vae-fn train: error: there is no data set, file or folder '{here}/nowhere.npy': the names are mnist, "
        "fashion-mnist, kmnist, emnist; else give the path of a .npy, a .npz or a folder of IDX files",
    ),
    (
        None,
        "mnits",
        "vae-fn train: error: there is no data set, file or folder '{here}/mnits': did you mean mnist? The names "
        "are mnist, fashion-mnist, kmnist, emnist; else give the path of a .npy, a .npz or a folder of IDX files",
    ),
    (
        None,
        "blobs.npy/x",
        "vae-fn train: error: there is no data set, file or folder '{here}/blobs.npy/x': the names are mnist, "
        "fashion-mnist, kmnist, emnist; else give the path of a .npy, a .npz or a folder of IDX files",
    ),
    (
        None,
        "/dev/null",
        "vae-fn train: error: /dev/null: neither a file nor a folder: name a .npy, a .npz or a folder of IDX files",
    ),
    (
        folder("empty"),
        "empty",
        "vae-fn train: error: {here}/empty: train-images-idx3-ubyte (or .gz, .xz) is missing; the folder holds nothing",
    ),
    (
        text("some.txt", "words"),
        "some.txt",
        "vae-fn train: error: {here}/some.txt: neither a .npy nor a .npz file (it begins with b'words'): name "
        "one, or a folder of IDX files",
    ),
    (
        text("some.npy", ""),
        "some.npy",
        "vae-fn train: error: {here}/some.npy: neither a .npy nor a .npz file (it begins with b''): name one, or "
        "a folder of IDX files",
    ),
    (
        array("nan.npy", HOLED),
        "nan.npy",
        "vae-fn train: error: {here}/nan.npy: 36 pixels are NaN or infinite, the first in image 3: mend or remove "
        "such images",
    ),
    (
        array("wide.npy", np.linspace(0, 255, 720).reshape(20, 6, 6)),
        "wide.npy",
        "vae-fn train: error: {here}/wide.npy: float images from 0.0 to 255.0, outside [0, 1]: divide by 255, or "
        "store as uint8",
    ),
    (
        array("minus.npy", GREY - 1),
        "minus.npy",
        "vae-fn train: error: {here}/minus.npy: float images from -0.5 to -0.5, outside [0, 1]: scale or clip "
        "them to it",
    ),
    (
        array("none.npy", GREY[:0]),
        "none.npy",
        "vae-fn train: error: {here}/none.npy: images of shape (0, 6, 6), so no images at all: check how the file "
        "was written",
    ),
    (
        array("flat.npy", GREY.ravel()),
        "flat.npy",
        "vae-fn train: error: {here}/flat.npy: images of shape (720,): give an array (n, ...) with the images "
        "along the first axis, such as (n, height, width)",
    ),
    (
        array("one.npy", GREY[:1]),
        "one.npy",
        "vae-fn train: error: {here}/one.npy: one image alone cannot be trained on and tested: give at least two, "
        "or a test part",
    ),
    (
        array("counts.npy", BLACK.astype(np.int64)),
        "counts.npy",
        "vae-fn train: error: {here}/counts.npy: images of int64 leave open what is white: store them as uint8 (0 "
        "to 255), or as float32 in [0, 1]",
    ),
    (
        array("bits.npy", BLACK + 1),
        "bits.npy",
        "vae-fn train: error: {here}/bits.npy: the brightest uint8 pixel is 1 of 255, so all would be black: "
        "multiply by 255, or store as bool or float32",
    ),
    (
        array("words.npy", np.array([["a", "b"]])),
        "words.npy",
        "vae-fn train: error: {here}/words.npy: images of dtype <U1 are no intensities: store them as uint8 (0 to "
        "255), float32 in [0, 1] or bool",
    ),
    (
        array("objects.npy", np.array([[{}, []]], object)),
        "objects.npy",
        "vae-fn train: error: {here}/objects.npy: no plain array of numbers can be read (...); get the file "
        "again, or save it with a numeric dtype, without objects",
    ),
    (
        cut("blobs.npy", 1000),
        "blobs.npy",
        "vae-fn train: error: {here}/blobs.npy: no plain array of numbers can be read (...); get the file again, "
        "or save it with a numeric dtype, without objects",
    ),
    (
        all_of(arrays("a.npz", images=GREY), cut("a.npz", 900)),
        "a.npz",
        "vae-fn train: error: {here}/a.npz: no plain array of numbers can be read (...); get the file again, or "
        "save it with a numeric dtype, without objects",
    ),
    (
        arrays("b.npz", pictures=GREY, names=GREY),
        "b.npz",
        "vae-fn train: error: {here}/b.npz: the keys are names, pictures: use x_train, y_train, x_test, y_test; "
        "or train, train_labels, test, test_labels; or images, labels (labels and test part may be missing); or a "
        "single array",
    ),
    (
        arrays("c.npz", images=GREY, labels=np.arange(19)),
        "c.npz",
        "vae-fn train: error: {here}/c.npz: labels: labels of shape (19,) for 20 images: give one per image, (20,)",
    ),
    (
        arrays("d.npz", x_train=GREY, x_test=GREY[:, :5]),
        "d.npz",
        "vae-fn train: error: {here}/d.npz: x_test: test images of shape (5, 6) beside training images of (6, 6): "
        "give both the same shape",
    ),
    (
        arrays("e.npz", images=GREY, labels=np.full(20, 0.5)),
        "e.npz",
        "vae-fn train: error: {here}/e.npz: labels: labels of dtype float64: number the classes from 0, with an "
        "integer dtype",
    ),
    (
        zipped_idx,
        "idx",
        "vae-fn train: error: {here}/idx/train-images-idx3-ubyte.gz: the compressed content is truncated or "
        "corrupt (...); get it again",
    ),
    (
        text("idx/train-images-idx3-ubyte", "words"),
        "idx",
        "vae-fn train: error: {here}/idx/train-images-idx3-ubyte: this is not an IDX file (it begins with "
        "b'word'); name one, raw, .gz or .xz",
    ),
    (
        text("idx/t10k-images-idx3-ubyte", "words"),
        "idx",
        "vae-fn train: error: {here}/idx: train-images-idx3-ubyte (or .gz, .xz) is missing; the folder holds "
        "'t10k-images-idx3-ubyte'",
    ),
    (
        None,
        "blobs.npy --held-out 400",
        "vae-fn train: error: --held-out must leave a training image of the 400 that {here}/blobs.npy has: use "
        "--held-out 33 or another number below 400",
    ),
    (
        None,
        "blobs.npy --batch-size 401",
        "vae-fn train: error: --batch-size 401 is larger than the training set: use at most 400",
    ),
    (
        None,
        "blobs.npy --held-out 300",
        "vae-fn train: error: --batch-size 128 is larger than the training set: use at most 100",
    ),
    (
        None,
        "blobs.npy --epochs 1 --schedule warmup-cosine --warmup-steps 4",
        "vae-fn train: error: --warmup-steps 4 leaves nothing of the run's 4 steps: use fewer --warmup-steps or "
        "more --epochs",
    ),
]
"""What is set up, what follows `--data`, and the line."""


@pytest.mark.parametrize(("setup", "data", "line"), MISTAKES)
def test_wrong_data_are_one_line(setup, data, line, here, capsys):
    if setup:
        setup(here)
    check_mistake(main, f"train --no-compile --data {data}", line.replace("{here}", str(here)), here, capsys)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_data_that_may_not_be_read_are_one_line(here, capsys):
    (here / "blobs.npy").chmod(0)
    line = f"vae-fn train: error: {here}/blobs.npy: the file cannot be read (Permission denied); check its permissions"
    check_mistake(main, "train --no-compile --data blobs.npy", line, here, capsys)
