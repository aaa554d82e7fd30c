"""Numbers in sentences."""

import pytest

from vae_fn.words import counted


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 images"), (1, "1 image"), (2, "2 images"), (10_000, "10,000 images")]
)
def test_a_number_of_things_is_singular_for_one_alone(count, said):
    assert counted(count, "image") == said
