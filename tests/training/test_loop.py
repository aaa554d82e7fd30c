import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.training.problems import PIXELS, algorithm, images, streams
from vae_fn import data, tree
from vae_fn.training import Batch, sgd, step_by_shape
from vae_fn.training.loop import Hooks, fit
from vae_fn.training.step import draw_noise


def run(epochs=3, log_every=2, count=10, **settings):
    built, rows, epochs_seen = algorithm(**settings), [], []
    state = fit(
        step_by_shape(built),
        built.init(streams().init, Batch(images(4))),
        images(count),
        streams(),
        epochs=epochs,
        batch_size=4,
        log_every=log_every,
        hooks=Hooks(rows.append, lambda state, step, epoch: epochs_seen.append((step, epoch))),
    )
    return state, rows, epochs_seen


def test_rows_stand_at_every_interval_and_at_each_epochs_end():
    state, rows, epochs_seen = run()
    assert [(row.step, row.epoch) for row in rows] == [(2, 1), (3, 1), (4, 2), (6, 2), (8, 3), (9, 3)]
    assert epochs_seen == [(3, 1), (6, 2), (9, 3)]
    assert state.step == 9
    assert all(row.examples_per_second > 0 for row in rows)
    assert [row.seconds for row in rows] == sorted(row.seconds for row in rows)


def test_a_row_weighs_examples_equally_also_in_the_short_last_batch():
    """With a learning rate of 0 the mean over an epoch's batches is the mean over its examples."""
    _, rows, _ = run(epochs=1, log_every=100, optimizer=sgd(0.0))
    built = algorithm(optimizer=sgd(0.0))
    state = built.init(streams().init, Batch(images(4)))
    order, total = data.epoch_order(streams().order, 0, 10), 0.0
    for step, part in enumerate(data.batch_slices(10, 4)):
        pixels = images(10)[order[part]]
        noise = draw_noise(streams(), torch.tensor(step), built.noise_like(Batch(pixels)), torch.float32)
        _, info = built.step(state, Batch(pixels), noise)
        total += info.loss.item() * len(pixels)
    torch.testing.assert_close(rows[0].info["loss"], total / 10, rtol=1e-5, atol=0)


def test_the_same_keys_give_the_same_bits():
    for one, other in zip(tree.leaves(run()[0]), tree.leaves(run()[0]), strict=True):
        assert torch.equal(one, other)


class Synchronisations(TorchDispatchMode):
    """Counts the operations that wait for a device's value."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.is_nonzero.default)
        return func(*args, **(kwargs or {}))


def check_no_synchronisation(step):
    built = algorithm(binarisation=data.DYNAMIC)
    run_step, state = step(step_by_shape(built)), built.init(streams().init, Batch(images(4)))
    with Synchronisations() as seen:
        fit(run_step, state, images(12), streams(), epochs=2, batch_size=4, log_every=100, hooks=Hooks())
    assert seen.count == 0


def test_no_step_waits_for_the_device():
    check_no_synchronisation(lambda step: step)


def test_a_step_that_reads_its_loss_is_rejected():
    def reading(step):
        def run_and_read(*args):
            state, info = step(*args)
            info.loss.item()
            return state, info

        return run_and_read

    with pytest.raises(AssertionError):
        check_no_synchronisation(reading)


def test_every_epoch_visits_all_images_in_its_own_order():
    built, visited = algorithm(), []
    step = step_by_shape(built)
    pixels = torch.arange(10, dtype=torch.uint8).unsqueeze(-1).expand(10, PIXELS).contiguous()

    def spied(state, batch, keys):
        visited.extend(batch.pixels[:, 0].tolist())
        return step(state, batch, keys)

    fit(
        spied,
        built.init(streams().init, Batch(pixels[:4])),
        pixels,
        streams(),
        epochs=3,
        batch_size=4,
        log_every=9,
        hooks=Hooks(),
    )
    epochs = [visited[i : i + 10] for i in (0, 10, 20)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
