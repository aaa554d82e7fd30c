"""What can be wrong with pixels that lie in memory, before a step or an evaluation takes them."""

from typing import Any

import torch
from torch import Tensor

from vae_fn import tree
from vae_fn.data.binarise import Binarisation
from vae_fn.data.checks import ALL_BLACK, advice_on_range
from vae_fn.data.idx import DataError
from vae_fn.errors import check_kind, described
from vae_fn.types import Pixels


def check_protocol(what: str, protocol: Any) -> None:
    """Hold what is given as a protocol against what it must be.

    Raises:
        TypeError: it is none.
    """
    instead = "give data.GREY, data.DYNAMIC or data.FIXED, or data.binarisation(name)"
    check_kind(what, protocol, Binarisation, instead)


def check_rows(what: str, pixels: Any) -> None:
    """Check that pixels are rows, by shape and dtype alone.

    Raises:
        TypeError: they are no tensor.
        DataError: they are neither uint8 nor floats, or not `(n, d)` with n and d at least 1; models of one's own
            may read more dimensions than d.
    """
    if not isinstance(pixels, Tensor):
        raise TypeError(
            f"{what} must be a tensor of pixels (n, d), not {described(pixels)}: make one with torch.from_numpy, or "
            "take the images of a split"
        )
    if pixels.dtype == torch.bool:
        raise DataError(f"{what}: pixels of torch.bool: make them float32 by pixels.float()")
    if pixels.dtype != torch.uint8 and not pixels.is_floating_point():
        raise DataError(
            f"{what}: pixels of {pixels.dtype} leave open what is white: make them uint8 (0 to 255) or float32 in "
            "[0, 1]"
        )
    if pixels.ndim < 2 or 0 in pixels.shape:
        raise DataError(
            f"{what}: pixels of shape {tuple(pixels.shape)}: give rows (n, d), one for each image, as by "
            "images.flatten(1)"
        )


def check_levels(what: str, pixels: Pixels) -> None:
    """Check the values of rows of pixels, whatever reads them.

    Raises:
        DataError: a float is not finite, or the brightest uint8 pixel is 1.
    """
    if pixels.is_floating_point() and not bool(pixels.isfinite().all()):
        raise DataError(f"{what}: some pixels are NaN or infinite: mend or remove them")
    if pixels.dtype == torch.uint8 and pixels.max() == 1:
        raise DataError(f"{what}: {ALL_BLACK}")


def check_unit(what: str, pixels: Pixels) -> None:
    """Check that float pixels are in [0, 1] to rounding, as what reads them as probabilities needs.

    Raises:
        DataError: some are not.
    """
    if not pixels.is_floating_point():
        return
    low, high, rounding = pixels.min().item(), pixels.max().item(), 4 * torch.finfo(pixels.dtype).eps
    if low < -rounding or high > 1 + rounding:
        advice = advice_on_range(low, high, "give uint8")
        raise DataError(f"{what}: float pixels from {low:g} to {high:g}, outside [0, 1]: {advice}")


def check_prepared(what: str, pixels: Pixels, protocol: Binarisation) -> None:
    """Check that pixels are black and white where a protocol promises it and draws nothing in the step.

    Raises:
        DataError: some are grey.
    """
    if not protocol.binary or tree.leaves(protocol.noise_like(tuple(pixels.shape))):
        return
    white = 1 if pixels.is_floating_point() else 255
    if not bool(((pixels == 0) | (pixels == white)).all()):
        raise DataError(
            f"{what}: grey pixels under the protocol {protocol.name}, whose data are black and white: prepare the data "
            f"set first, with data.{protocol.name.upper()}.prepare(dataset, key)"
        )
