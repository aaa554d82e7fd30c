"""Maps from raw numbers to scales: what is safe passes, with any floor."""

import pytest

from vae_fn.distributions import positive
from vae_fn.verify import Rejected, scale_map


@pytest.mark.parametrize("floor", [1e-8, 1e-4, 1e-2])
def test_softplus_with_a_floor_passes(floor):
    assert scale_map(lambda raw: positive(raw, floor), floor=floor).check().passed


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda raw: raw.exp() + 1e-8, "not finite"),
        (lambda raw: positive(raw, 1e-2), "does not come down to 1e-08"),
        (lambda raw: positive(raw, 1e-9), "below 1e-08"),
        (lambda raw: 2 * positive(raw), r"derivative is not in \[0, 1\]"),
        (lambda raw: raw.abs() + 1e-8, "falls where the raw number rises"),
        (lambda raw: positive(raw.float()), "dtype"),
    ],
)
def test_what_is_not_is_named(wrong, said):
    with pytest.raises(Rejected, match=said):
        scale_map(wrong, name="wrong").check()
