"""The per-image path gives the rows of the fast path, bit for bit, and an augmented set gets back into it."""

import pickle

import pytest
import torch
from torch.utils.data import DataLoader
from torchvision.transforms import v2
from torchvision.transforms.functional import to_pil_image

from tests.data.cases import pixels_from
from vae_fn.data import DataError, Split, load_mnist, scale
from vae_fn.data.per_image import TO_ROW, PerImage, render

LEVELS = Split(torch.arange(256, dtype=torch.uint8)[None], None)
TORCHVISION = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True), torch.nn.Flatten(0)])


@pytest.fixture(scope="module")
def mnist() -> Split:
    test = load_mnist().test
    return Split(test.images[:500], test.labels[:500])


def check_same_rows(transform, split: Split, shape=(28, 28)):
    images = PerImage(split, shape, transform)
    assert len(images) == len(split.images)
    for index, row in enumerate(scale(split.images)):
        assert type(images[index]) is torch.Tensor
        assert torch.equal(images[index], row)


def test_every_image_and_every_level_is_scaled_bit_for_bit(mnist):
    check_same_rows(TO_ROW, mnist)
    check_same_rows(TO_ROW, LEVELS, (16, 16))
    check_same_rows(TO_ROW, Split(scale(mnist.images[:9]), None))
    check_same_rows(TO_ROW, Split(pixels_from(0, 7, 24), None), (3, 2, 4))


def test_torchvision_s_own_scaling_is_caught_and_differs_in_the_last_bit_alone():
    with pytest.raises(AssertionError):
        check_same_rows(TORCHVISION, LEVELS, (16, 16))
    difference = TORCHVISION(LEVELS.images.view(16, 16)) - scale(LEVELS.images[0])
    assert difference.count_nonzero() == 126
    assert difference.abs().max() <= 2.0**-24


def test_pil_images_as_torchvision_s_data_sets_serve_them(mnist):
    for image, row in zip(mnist.images[:50], scale(mnist.images), strict=False):
        assert torch.equal(TO_ROW(to_pil_image(image.view(28, 28))), row)


def test_batches_of_a_loader_are_those_of_the_fast_path(mnist):
    loader = DataLoader(PerImage(mnist, (28, 28)), batch_size=128, generator=torch.Generator())
    batches = list(loader)
    assert [len(batch) for batch in batches] == [128, 128, 128, 116]
    assert torch.equal(torch.cat(batches), scale(mnist.images))


def check_pickles(transform):
    copy = pickle.loads(pickle.dumps(transform))
    assert torch.equal(copy(LEVELS.images.view(16, 16)), transform(LEVELS.images.view(16, 16)))


def test_the_transform_and_the_images_pickle(mnist):
    check_pickles(TO_ROW)
    copy = pickle.loads(pickle.dumps(PerImage(mnist, (28, 28))))
    assert torch.equal(copy[7], scale(mnist.images[7]))


def test_a_lambda_is_caught():
    with pytest.raises((pickle.PicklingError, AttributeError)):
        check_pickles(v2.Compose([v2.ToImage(), v2.Lambda(lambda image: scale(image).flatten())]))


@pytest.mark.parametrize("shape", [(784,), (28, 27), (1, 1, 28, 28)])
def test_a_shape_that_is_not_the_images_is_refused(mnist, shape):
    with pytest.raises(ValueError, match=r"784 pixels as images \(h, w\) or \(c, h, w\), got the shape"):
        PerImage(mnist, shape)


def test_rendering_without_augmentation_is_scaling(mnist):
    split = render(PerImage(mnist, (28, 28)), seed=0)
    assert torch.equal(split.images, scale(mnist.images))
    assert split.labels is mnist.labels
    assert render(PerImage(mnist._replace(labels=None), (28, 28)), seed=0).labels is None


AUGMENTED = v2.Compose([v2.RandomAffine(10, translate=(0.1, 0.1), interpolation=v2.InterpolationMode.BILINEAR), TO_ROW])


def check_reproducible(render, images: PerImage):
    first, again, other = render(images, 0), render(images, 0), render(images, 1)
    assert torch.equal(first.images, again.images)
    assert not torch.equal(first.images, other.images)
    assert not torch.equal(first.images, scale(images.split.images))


def test_the_seed_alone_chooses_the_augmentation(mnist):
    check_reproducible(render, PerImage(Split(mnist.images[:50], None), (28, 28), AUGMENTED))


def test_rendering_that_ignores_the_seed_is_caught(mnist):
    images = PerImage(Split(mnist.images[:50], None), (28, 28), AUGMENTED)
    with pytest.raises(AssertionError):
        check_reproducible(lambda images, seed: render(images, 0), images)


def test_rows_that_leave_the_range_are_refused(mnist):
    centred = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5], [1.0]), TO_ROW])
    with pytest.raises(DataError, match=r"the rendered images: float images from -0\.5 to 0\.5, outside \[0, 1\]"):
        render(PerImage(mnist, (28, 28), centred), seed=0)
