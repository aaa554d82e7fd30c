import math

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from tests.training.poison import check_equal, donating
from tests.training.problems import algorithm, images, streams
from vae_fn import data, tree
from vae_fn.training import Batch, Info, loop, sgd, step_by_shape
from vae_fn.training.batches import Batches
from vae_fn.training.loop import Hooks, Progress, Training, begin, fit
from vae_fn.training.skipping import skip_nonfinite
from vae_fn.training.step import draw_noise
from vae_fn.training.stretches import Member, one_by_one


def batches(count=10):
    return Batches(images(count), streams().order, 4)


def start(built):
    return begin(built.init(streams().init, Batch(images(4))))


def fit_alone(built, progress, data, hooks, edge=lambda step: step, **settings):
    advance = one_by_one([step_by_shape(built, edge)], [Member((), data, streams())])
    (state,) = fit(advance, [Training(progress or start(built), data, hooks)], quiet=True, **settings).values()
    return state


def run(built=None, progress=None, epochs=3, log_every=2, count=10, edge=lambda step: step, wants=lambda step: False):
    """The last state, the rows, what was seen at the ends of epochs, and what was saved."""
    built, rows, ends, saved = built or algorithm(), [], [], []
    hooks = Hooks(rows.append, epoch=lambda state, step, epoch: ends.append((step, epoch)), save=saved.append)
    state = fit_alone(built, progress, batches(count), hooks, edge, epochs=epochs, log_every=log_every, wants=wants)
    return state, rows, ends, saved


def test_rows_stand_at_every_interval_and_at_each_epochs_end():
    state, rows, ends, saved = run()
    assert [(row.step, row.epoch) for row in rows] == [(2, 1), (3, 1), (4, 2), (6, 2), (8, 3), (9, 3)]
    assert ends == [(3, 1), (6, 2), (9, 3)]
    assert (state.step, saved) == (9, [])
    assert all(row.examples_per_second > 0 and row.skipped == 0 for row in rows)


def test_a_row_weighs_examples_equally_also_in_the_short_last_batch():
    """With a learning rate of 0 the mean over an epoch's batches is the mean over its examples."""
    built = algorithm(optimizer=sgd(0.0))
    _, rows, *_ = run(built, epochs=1, log_every=100)
    state, losses, norms = start(built).state, [], []
    for step in range(3):
        batch = batches()(step)
        noise = draw_noise(streams(), torch.tensor(step), built.noise_like(batch), torch.float32)
        _, info = built.step(state, batch, noise)
        losses.append(info.loss.item() * len(batch.pixels))
        norms.append(info.grad_norm.item())
    assert rows[0].info["loss"] == pytest.approx(sum(losses) / 10, rel=1e-5)
    assert rows[0].info["grad_norm"] == pytest.approx(sum(norms) / 3, rel=1e-5)


def test_the_same_keys_give_the_same_bits():
    check_equal(run()[0], run()[0])


def check_taken_up_again(resume):
    """From every step on, a run that is left and taken up again ends with the same state and the same rows."""
    state, rows, _, saved = run(epochs=2, log_every=2, wants=lambda step: True)
    assert [int(progress.state.step) for progress in saved] == [1, 2, 3, 4, 5, 6]
    for progress in saved:
        step, taken_up = int(progress.state.step), Progress(tree.clone(progress.state), progress.pending)
        again, later, *_ = run(progress=resume(taken_up), epochs=2, log_every=2, edge=donating)
        check_equal(again, state)
        assert [(row.step, row.info) for row in later] == [(row.step, row.info) for row in rows if row.step > step]


def test_a_run_can_be_left_and_taken_up_again_anywhere():
    check_taken_up_again(lambda progress: progress)


def test_forgetting_what_no_row_has_shown_is_rejected():
    with pytest.raises(AssertionError):
        check_taken_up_again(lambda progress: progress._replace(pending=progress.pending[:0]))


@pytest.mark.parametrize(("patience", "expected"), [(math.inf, [1, 2, 4, 3]), (0.0, [1] * 10)])
def test_stretches_grow_until_they_take_too_long(patience, expected, monkeypatch):
    """An epoch of ten steps with one row: what a signal waits for is bounded by time, not by the row."""
    monkeypatch.setattr(loop, "PATIENCE", patience)
    built, counts = algorithm(), []
    take = one_by_one([step_by_shape(built)], [Member((), batches(40), streams())])

    def advance(states, step, count):
        counts.append(count)
        return take(states, step, count)

    fit(advance, [Training(start(built), batches(40), Hooks())], epochs=1, log_every=100, quiet=True)
    assert counts == expected


def test_what_is_pending_lies_where_the_state_does():
    """Also where torch makes tensors elsewhere by default: at a row, as after step 3, and between rows."""
    state = start(algorithm()).state
    assert begin(state._replace(step=state.step.to("meta"))).pending.device.type == "meta"
    saved, settings = [], {"epochs": 1, "log_every": 2, "wants": lambda step: True, "quiet": True}

    def advance(states, step, count):
        return states, state.step.new_zeros(1, count, len(Info._fields), dtype=torch.float32)

    with torch.device("meta"):
        fit(advance, [Training(begin(state), batches(), Hooks(save=saved.append))], **settings)
    assert [(len(each.pending), each.pending.device.type) for each in saved] == [(1, "cpu"), (0, "cpu"), (0, "cpu")]


def fit_two(change):
    """Two trainings in lock-step, the second of which is changed; three steps an epoch."""
    built, state = algorithm(), start(algorithm()).state
    second = change(Training(begin(tree.clone(state)), batches(), Hooks()))
    pair = [Training(begin(state), batches(), Hooks()), second]
    members = [Member((), training.batches, streams()) for training in pair]
    advance = one_by_one([step_by_shape(built)] * 2, members)
    return fit(advance, pair, epochs=1, log_every=1, quiet=True)


def test_trainings_at_other_steps_are_refused():
    def later(training):
        state = training.progress.state
        return training._replace(progress=begin(state._replace(step=state.step + 2)))

    assert [int(state.step) for state in fit_two(lambda training: training).values()] == [3, 3]
    with pytest.raises(ValueError, match="stand at one step, not at 0 and at 2: begin all where they stand alike"):
        fit_two(later)


def test_trainings_of_other_batch_sizes_are_refused():
    other = Batches(images(10), streams().order, 3)
    with pytest.raises(ValueError, match="have batches of 4 of 10 and of 3 of 10 images: make all Batches"):
        fit_two(lambda training: training._replace(batches=other))


def test_what_save_raises_ends_the_run():
    class Stop(Exception):
        pass

    def save(progress):
        raise Stop(int(progress.state.step))

    hooks = Hooks(save=save)
    with pytest.raises(Stop, match="5"):
        fit_alone(algorithm(), None, batches(), hooks, epochs=3, log_every=2, wants=lambda step: step == 5)


class Clock(Batches):
    """Batches that know which step is under way."""

    now = 0

    def __call__(self, step):
        self.now = step + 1
        return super().__call__(step)


class Dispatched(TorchDispatchMode):
    """Notes at which steps an operation waits for a device's value."""

    def __init__(self, clock, waits):
        super().__init__()
        self.clock, self.waits = clock, waits

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.is_nonzero.default):
            self.waits.add(self.clock.now)
        return func(*args, **(kwargs or {}))


class Called(TorchFunctionMode):
    """Notes at which steps a tensor is read from Python; on the CPU `tolist` and `numpy` dispatch no operation."""

    def __init__(self, clock, waits):
        super().__init__()
        self.clock, self.waits = clock, waits

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if getattr(func, "__name__", "") in ("tolist", "numpy", "cpu", "item", "__array__"):
            self.waits.add(self.clock.now)
        return func(*args, **(kwargs or {}))


def check_waits(edge, wrap=lambda built: built, skipping=False):
    """Two epochs of three steps, a row at each end, a checkpoint after step 2: only there is the device waited for."""
    built = wrap(algorithm(binarisation=data.DYNAMIC))
    clock, waits, progress = Clock(images(12), streams().order, 4), set(), start(built)
    with Dispatched(clock, waits), Called(clock, waits):
        settings = {"epochs": 2, "log_every": 100, "wants": lambda step: step == 2, "skipping": skipping}
        fit_alone(built, progress, clock, Hooks(), edge, **settings)
    assert waits == {0, 2, 3, 6}


@pytest.mark.parametrize("edge", [lambda step: step, donating], ids=["pure", "donated"])
def test_no_step_waits_for_the_device_between_rows(edge):
    check_waits(edge)


def test_steps_that_may_be_skipped_do_not_wait_either():
    check_waits(lambda step: step, skip_nonfinite, skipping=True)


@pytest.mark.parametrize("read", [torch.Tensor.item, torch.Tensor.tolist, torch.Tensor.numpy, bool])
def test_a_step_that_reads_its_loss_is_rejected(read):
    def reading(step):
        def run_and_read(*args):
            state, info = step(*args)
            read(info.loss)
            return state, info

        return run_and_read

    with pytest.raises(AssertionError):
        check_waits(reading)


def test_a_run_that_is_finished_does_nothing():
    state, rows, *_ = run()
    again, later, *_ = run(progress=begin(state))
    assert again is state
    assert later == []
    assert math.isfinite(rows[-1].info["loss"])
    assert begin(state).pending.shape == (0, len(Info._fields))


def test_progress_that_nobody_reads_does_not_end_a_run(monkeypatch):
    class Gone:
        encoding = "utf-8"

        def write(self, text):
            raise BrokenPipeError

        def flush(self):
            raise BrokenPipeError

        def isatty(self):
            return True

    monkeypatch.setattr("sys.stderr", Gone())
    assert run()[0].step == 9
