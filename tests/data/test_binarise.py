"""Binarisation, integrated over its noise: uniforms are (2k + 1) / 2^24 for k < 2^23, so the sums are exact."""

import os

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import binary_cross_entropy_with_logits

from tests.data.cases import dataset, pixels_from
from vae_fn import random
from vae_fn.data import DYNAMIC, FIXED, GREY, Dataset, Split, binarisation, binarise, scale
from vae_fn.verify import Biased, mean_bounded

PROTOCOLS = [GREY, DYNAMIC, FIXED]
LEVELS = torch.arange(256, dtype=torch.uint8)
POINTS = 2**23


@pytest.fixture(scope="module")
def lattice() -> torch.Tensor:
    return uniforms(torch.arange(POINTS, dtype=torch.int32))


def uniforms(k: torch.Tensor) -> torch.Tensor:
    return (2 * k + 1).float() * 2.0**-24


def means_over(apply, levels: torch.Tensor, lattice: torch.Tensor) -> torch.Tensor:
    """The mean target of each pixel over all values of its noise, one by one."""
    return torch.tensor([mean_over(apply, level, lattice) for level in levels], dtype=torch.float64)


def mean_over(apply, level: torch.Tensor, lattice: torch.Tensor) -> float:
    ones = 0.0
    for noise in lattice.split(2**20):
        targets = apply(level.expand(len(noise)), noise)
        count = targets.sum()  # exact, as they are 0 or 1
        assert count == targets @ targets
        ones += count.item()
    return ones / len(lattice)


def means_by_bisection(apply, levels: torch.Tensor) -> torch.Tensor:
    """The mean target of each pixel over all values of its noise, given that targets fall from 1 to 0 once."""
    ones, zero = torch.zeros(len(levels), dtype=torch.int64), torch.full((len(levels),), POINTS)
    while (ones < zero).any():
        middle = (ones + zero) // 2
        is_one = apply(levels, uniforms(middle)) == 1
        ones, zero = torch.where(is_one, middle + 1, ones), torch.where(is_one, zero, middle)
    return ones.double() / POINTS


def check_means(means: torch.Tensor, levels: torch.Tensor):
    assert torch.all((means - levels.double() / 255).abs() <= 1 / POINTS)
    assert torch.all(means[levels == 0] == 0)
    assert torch.all(means[levels == 255] == 1)


def test_the_mean_of_dynamic_targets_is_the_intensity_for_every_pixel():
    check_means(means_by_bisection(DYNAMIC.apply, LEVELS), LEVELS)


def test_the_mean_of_dynamic_targets_is_the_intensity_at_every_point(lattice):
    levels = LEVELS if os.environ.get("VAE_FN_PROFILE") == "nightly" else LEVELS[::51]
    means = means_over(DYNAMIC.apply, levels, lattice)
    check_means(means, levels)
    assert torch.equal(means, means_by_bisection(DYNAMIC.apply, levels))


@pytest.mark.parametrize(
    "mutant",
    [
        lambda pixels, uniform: (uniform > scale(pixels)).float(),
        lambda pixels, uniform: (uniform < pixels.float() / 256).float(),
        lambda pixels, uniform: (uniform < 0.5).float(),
        lambda pixels, uniform: scale(pixels),
    ],
)
def test_other_laws_are_caught(lattice, mutant):
    levels = LEVELS[[0, 100, 255]]
    with pytest.raises(AssertionError):
        check_means(means_over(mutant, levels, lattice), levels)
    with pytest.raises(AssertionError):
        check_means(means_by_bisection(mutant, levels), levels)


def check_linear(cost, seed: int):
    """The mean cost of dynamic targets is the cost of grey ones, to the spacing of the lattice."""
    means = means_by_bisection(DYNAMIC.apply, LEVELS)
    logits = 10 * torch.randn(256, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    dynamic = means * cost(logits, torch.ones_like(logits)) + (1 - means) * cost(logits, torch.zeros_like(logits))
    grey = cost(logits, GREY.apply(LEVELS, {}).double())
    assert torch.all((dynamic - grey).abs() <= 2 / POINTS * logits.abs() + 1e-12)


def bce(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return binary_cross_entropy_with_logits(logits, targets, reduction="none")


@given(seed=st.integers(0, 2**63 - 1))
def test_the_mean_of_dynamic_cross_entropies_is_that_of_grey_targets(seed):
    check_linear(bce, seed)


def test_a_cost_that_is_not_linear_is_caught():
    with pytest.raises(AssertionError):
        check_linear(lambda logits, targets: (torch.sigmoid(logits) - targets) ** 2, 0)


@given(shape=st.lists(st.integers(0, 5), min_size=1, max_size=4), seed=st.integers(0, 2**32))
def test_targets_have_the_pixels_shape_and_lie_in_the_unit_interval(shape, seed):
    pixels = pixels_from(seed, *shape)
    for protocol in PROTOCOLS:
        targets = protocol.apply(pixels, random.draw(random.key(seed), protocol.noise_like(tuple(shape))))
        assert targets.shape == pixels.shape
        assert targets.dtype == torch.float32
        assert ((targets >= 0) & (targets <= 1)).all()
        if protocol is DYNAMIC:
            assert ((targets == 0) | (targets == 1)).all()
        else:
            assert torch.equal(targets, scale(pixels))


def test_only_dynamic_draws_noise():
    assert GREY.noise_like((3, 4)) == FIXED.noise_like((3, 4)) == {}
    assert DYNAMIC.noise_like((3, 4)) == random.Noise(random.uniform, (3, 4))


@pytest.mark.parametrize("protocol", [GREY, DYNAMIC])
def test_preparing_for_grey_and_dynamic_changes_nothing(protocol):
    data = dataset(0)
    assert protocol.prepare(data, random.key(0)) is data


@given(seed=st.integers(0, 2**32), other=st.integers(0, 2**32))
def test_fixed_images_are_binary_and_stay_as_they_are(seed, other):
    data = dataset(seed)
    once = FIXED.prepare(data, random.key(seed))
    twice = FIXED.prepare(once, random.key(other))
    assert once.shape == data.shape
    for before, split, again in zip(data[:3], once[:3], twice[:3], strict=True):
        assert split.images.dtype == torch.uint8
        assert ((split.images == 0) | (split.images == 255)).all()
        assert torch.equal(split.images, again.images)
        assert torch.equal(split.labels, before.labels)


def test_a_split_that_is_not_there_stays_away():
    assert FIXED.prepare(dataset(0)._replace(validation=None), random.key(0)).validation is None


def test_the_key_alone_chooses():
    data = dataset(0)
    first, same, other = (FIXED.prepare(data, random.key(seed)) for seed in (1, 1, 2))
    assert torch.equal(first.train.images, same.train.images)
    assert not torch.equal(first.train.images, other.train.images)


def test_every_image_of_every_split_has_its_own_draws():
    split = Split(torch.full((40, 784), 128, dtype=torch.uint8), torch.arange(40))
    rows = torch.cat([part.images for part in FIXED.prepare(Dataset(split, split, split, (28, 28)), random.key(0))[:3]])
    assert len(rows.unique(dim=0)) == 120


def check_chunks(prepare, seed: int, count: int):
    """What becomes of the first images does not depend on those that follow."""
    data, key = dataset(seed), random.key(seed)
    first = data._replace(train=Split(data.train.images[:count], data.train.labels[:count]))
    assert torch.equal(prepare(first, key).train.images, prepare(data, key).train.images[:count])


@given(seed=st.integers(0, 2**32), count=st.integers(1, 50))
def test_images_do_not_depend_on_those_beside_them(seed, count):
    check_chunks(FIXED.prepare, seed, count)


@pytest.mark.parametrize("chunk", [1, 7, 50, 51])
def test_images_do_not_depend_on_how_many_are_drawn_at_a_time(monkeypatch, chunk):
    expected = FIXED.prepare(dataset(0), random.key(0))
    monkeypatch.setattr(binarise, "_CHUNK", chunk)
    for split, same in zip(FIXED.prepare(dataset(0), random.key(0))[:3], expected[:3], strict=True):
        assert torch.equal(split.images, same.images)


def column_by_column(data: Dataset, key) -> Dataset:
    images = data.train.images
    drawn = 255 * binarise.bernoulli(images, random.uniform(key, images.mT.shape).mT).to(torch.uint8)
    return data._replace(train=data.train._replace(images=drawn))


def test_draws_that_depend_on_the_number_of_images_are_caught():
    with pytest.raises(AssertionError):
        check_chunks(column_by_column, 0, 20)


def check_chance(prepare, name: str):
    """Pixels of one level are one with their intensity; off by 0.0026, they are seen."""
    level, d = 100, 784

    def draw(key, n):
        count = -(-n // d)
        split = Split(torch.full((count, d), level, dtype=torch.uint8), torch.arange(count))
        images = prepare(Dataset(split, None, Split(split.images[:1], split.labels[:1]), (28, 28)), key).train.images
        return images.flatten()[:n].double() / 255

    chance = torch.tensor(level / 255, dtype=torch.float64)
    mean_bounded(draw, chance, chance * (1 - chance), name=name, detect=0.0053).check()


def test_fixed_pixels_follow_their_intensity():
    check_chance(FIXED.prepare, "fixed pixels")


def inverted(data: Dataset, key) -> Dataset:
    return data._replace(train=data.train._replace(images=255 - FIXED.prepare(data, key).train.images))


def test_inverted_pixels_are_caught():
    with pytest.raises(Biased):
        check_chance(inverted, "inverted pixels")


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda protocol: protocol.name)
def test_protocols_are_found_by_name(protocol):
    assert binarisation(protocol.name) is protocol


def test_an_unknown_name_lists_the_names():
    with pytest.raises(ValueError, match=r"'gray'.*grey, dynamic, fixed"):
        binarisation("gray")


def test_grey_alone_is_not_binary():
    assert [protocol.binary for protocol in PROTOCOLS] == [False, True, True]


@pytest.mark.parametrize("protocol", [DYNAMIC, FIXED], ids=lambda protocol: protocol.name)
def test_targets_compiled_and_vmapped(fresh_compiler, protocol):
    pixels = LEVELS.repeat(3, 1)
    noise = random.draw(random.key(0), protocol.noise_like((3, 256)))
    expected = protocol.apply(pixels, noise)
    assert torch.equal(torch.compile(protocol.apply, fullgraph=True)(pixels, noise), expected)
    assert torch.equal(torch.vmap(protocol.apply)(pixels, noise), expected)
