"""The batch of every step of a run: a function of the step's number alone, so that any step can be taken up again."""

from collections.abc import Sequence

from jaxtyping import Int64
from torch import Tensor

from vae_fn.data import batch_slices, epoch_order
from vae_fn.training.step import Batch
from vae_fn.types import Key, Pixels


class Batches:
    """`batches(step)` is the batch of step 0, 1, ...; every epoch visits all images in its own order.

    Attributes:
        images: all of them.
        per_epoch: steps in an epoch; the last batch of an epoch may be short.
        full: how many of them have as many images as the first.
    """

    def __init__(self, images: Pixels, order: Key, batch_size: int):
        """Cut images `(n, d)` into batches, in orders that the key gives."""
        self.images, self._key = images, order
        self._slices = batch_slices(len(images), batch_size)
        self.per_epoch = len(self._slices)
        self.full = sum(self.size(step) == self.size(0) for step in range(self.per_epoch))
        self._order = (-1, images)  # the last epoch asked for, and its order

    def __call__(self, step: int) -> Batch:
        """The batch of the step that so many steps went before."""
        epoch, place = divmod(step, self.per_epoch)
        return Batch(self.images[self.order(epoch)[self._slices[place]]])

    def order(self, epoch: int) -> Int64[Tensor, " n"]:
        """The order in which an epoch, from 0, visits the images."""
        if self._order[0] != epoch:
            self._order = (epoch, epoch_order(self._key, epoch, len(self.images)))
        return self._order[1]

    def size(self, step: int) -> int:
        """The number of images in that batch."""
        part = self._slices[step % self.per_epoch]
        return part.stop - part.start


def check_alike(batches: Sequence[Batches]) -> None:
    """See that trainings which advance together cut their images alike.

    Raises:
        ValueError: they do not.
    """
    cuts = dict.fromkeys(f"{each.size(0)} of {len(each.images)}" for each in batches)
    if len(cuts) > 1:
        raise ValueError(
            f"trainings that advance together have batches of {' and of '.join(cuts)} images: make all Batches with "
            "one batch size, of equal numbers of images"
        )
