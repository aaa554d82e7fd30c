"""Data sets resident in memory, and how their pixels become targets."""

from vae_fn.data.binarise import DYNAMIC, FIXED, GREY, Binarisation, binarisation
from vae_fn.data.dataset import Dataset, Split, batch_slices, epoch_order, hold_out, scale, to_device
from vae_fn.data.embedded import load_mnist
from vae_fn.data.idx import DataError, read_idx
from vae_fn.data.sources import NAMES, load

__all__ = [
    "DYNAMIC",
    "FIXED",
    "GREY",
    "NAMES",
    "Binarisation",
    "DataError",
    "Dataset",
    "Split",
    "batch_slices",
    "binarisation",
    "epoch_order",
    "hold_out",
    "load",
    "load_mnist",
    "read_idx",
    "scale",
    "to_device",
]
