"""What can be wrong with pixels in memory, each in one line."""

import numpy as np
import pytest
import torch

from vae_fn import data, random
from vae_fn.data.pixels import check_levels, check_prepared, check_protocol, check_rows, check_unit

GREYS = torch.arange(12, dtype=torch.uint8).reshape(3, 4) * 20
UNIT = GREYS / 255


@pytest.mark.parametrize("pixels", [GREYS, UNIT, UNIT.double(), UNIT.bfloat16()], ids=lambda pixels: str(pixels.dtype))
def test_sound_pixels(pixels, unchecked):
    check_rows("images", pixels)
    check_levels("images", pixels)
    check_unit("images", pixels)
    for protocol in (data.GREY, data.DYNAMIC):
        check_prepared("images", pixels, protocol)


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (GREYS.numpy(), r"an ndarray of uint8 and shape \(3, 4\): make one with torch\.from_numpy"),
        (data.Split(GREYS, None), "a Split: .* take the images of a split"),
        (None, "None"),
    ],
)
def test_what_is_no_tensor(pixels, words, unchecked):
    with pytest.raises(TypeError, match=rf"^images must be a tensor of pixels \(n, d\), not {words}"):
        check_rows("images", pixels)


@pytest.mark.parametrize("pixels", [GREYS.long(), GREYS.to(torch.int8)], ids=lambda p: str(p.dtype))
def test_dtypes_without_a_white(pixels, unchecked):
    with pytest.raises(data.DataError, match=r"^images: pixels of torch\.\w+ leave open what is white: make them"):
        check_rows("images", pixels)


def test_truth_values(unchecked):
    with pytest.raises(data.DataError, match=r"^images: pixels of torch\.bool: make them float32 by pixels\.float\(\)"):
        check_rows("images", GREYS > 127)


def test_rows_of_more_dimensions_are_for_models_of_ones_own():
    check_rows("images", torch.zeros(3, 1, 2, 2))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64], ids=str)
def test_what_rounding_leaves_above_one_is_in_the_unit_interval(dtype, unchecked):
    ulp = torch.finfo(dtype).eps
    check_unit("images", torch.full((2, 3), 1.0, dtype=dtype) + ulp)
    with pytest.raises(data.DataError, match="outside"):
        check_unit("images", torch.full((2, 3), 1.0, dtype=dtype) + 10 * ulp)


@pytest.mark.parametrize("shape", [(12,), (0, 4), (3, 0)])
def test_what_is_not_in_rows(shape):
    with pytest.raises(data.DataError, match=r"^images: pixels of shape \(.*\): give rows \(n, d\)"):
        check_rows("images", torch.zeros(shape))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite(bad):
    with pytest.raises(data.DataError, match="some pixels are NaN or infinite"):
        check_levels("images", UNIT.index_fill(0, torch.tensor(1), bad))


def test_uint8_of_ones():
    with pytest.raises(data.DataError, match="1 of 255, so all would be black: multiply by 255"):
        check_levels("images", (GREYS > 127).to(torch.uint8))
    check_levels("images", torch.zeros_like(GREYS))


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (GREYS.float(), "from 0 to 220, outside .*: divide by 255, or give uint8"),
        (2 * UNIT - 1, r"from -1 to 0\.7\d+, outside .*: scale or clip them to it"),
        (1000 * UNIT, r"from 0 to 862\.7\d+, outside .*: scale or clip"),
    ],
)
def test_floats_out_of_range(pixels, words):
    with pytest.raises(data.DataError, match=f"^images: float pixels {words}"):
        check_unit("images", pixels)


@pytest.mark.parametrize("pixels", [GREYS, UNIT])
def test_grey_pixels_are_not_prepared_ones(pixels):
    split = data.Split(pixels, None)
    dataset = data.Dataset(split, None, split, (4,))
    with pytest.raises(data.DataError, match=r"under the protocol fixed.*: prepare .* data\.FIXED\.prepare\(dataset, "):
        check_prepared("images", pixels, data.FIXED)
    check_prepared("images", data.FIXED.prepare(dataset, random.key(0)).train.images, data.FIXED)
    check_prepared("images", (UNIT > 0.5).float(), data.FIXED)


@pytest.mark.parametrize("protocol", ["grey", data.binarisation, None])
def test_what_is_no_protocol(protocol):
    with pytest.raises(TypeError, match=r"^binarisation must be a Binarisation, not .*: give data\.GREY, "):
        check_protocol("binarisation", protocol)
