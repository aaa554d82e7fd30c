"""The batch of a step depends on its number alone, and an epoch visits every image once."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vae_fn import random
from vae_fn.training.batches import Batches


def numbered(count, width=3):
    """Images that show their own number."""
    return torch.arange(count, dtype=torch.uint8).unsqueeze(-1).expand(count, width).contiguous()


def made(count, batch_size, seed=0):
    return Batches(numbered(count), random.streams(random.key(seed)).order, batch_size)


def visited(batches, steps):
    return [batches(step).pixels[:, 0].tolist() for step in steps]


def flat(parts):
    return [image for part in parts for image in part]


@given(st.integers(1, 40), st.integers(1, 50))
def test_every_epoch_visits_all_images_once(count, batch_size):
    batches = made(count, batch_size)
    assert batches.per_epoch == -(-count // batch_size)
    for epoch in range(3):
        steps = range(epoch * batches.per_epoch, (epoch + 1) * batches.per_epoch)
        seen = visited(batches, steps)
        assert sorted(flat(seen)) == list(range(count))
        assert [len(part) for part in seen] == [batches.size(step) for step in steps]
        assert all(len(part) == batch_size for part in seen[:-1])


def test_every_epoch_has_its_own_order_and_every_key_its_own():
    steps = [range(6 * epoch, 6 * epoch + 6) for epoch in (0, 1, 2)]
    orders = [flat(visited(made(40, 7, seed), epoch)) for epoch in steps for seed in (0, 1)]
    assert len(set(map(tuple, orders))) == 6


def check_depends_on_the_step_alone(make):
    forwards = visited(make(), range(12))
    assert visited(make(), reversed(range(12))) == forwards[::-1]
    scattered = [11, 0, 5, 4, 4, 8, 0]
    assert visited(make(), scattered) == [forwards[step] for step in scattered]


def test_the_batch_depends_on_the_step_alone():
    check_depends_on_the_step_alone(lambda: made(10, 4))


def test_an_order_that_is_made_at_the_start_of_an_epoch_alone_is_rejected():
    class Forgetful(Batches):
        def __call__(self, step):
            if step % self.per_epoch:
                self._order = (step // self.per_epoch, self._order[1])
            return super().__call__(step)

    def make():
        batches = Forgetful(numbered(10), random.streams(random.key(0)).order, 4)
        batches(0)
        return batches

    with pytest.raises(AssertionError):
        check_depends_on_the_step_alone(make)


def test_floats_stay_as_they_are():
    images = torch.rand(10, 3, generator=torch.Generator().manual_seed(0))
    batches = Batches(images, random.key(3), 4)
    found = torch.cat([batches(step).pixels for step in range(3)])
    assert torch.equal(found.sort(0).values, images.sort(0).values)
    assert batches(0).context is None
