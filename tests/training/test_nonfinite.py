"""A run that loses its numbers stops at the next row, names the step at which it did, and hands over the step."""

import math

import pytest
import torch

from tests.training.poison import CASES, batches, check_equal, donating, start, states, train
from tests.training.problems import small_vae, streams
from vae_fn import tree
from vae_fn.compiling import compile_step
from vae_fn.training import Info, step_by_shape
from vae_fn.training import loop as loop_module
from vae_fn.training import nonfinite as nonfinite_module
from vae_fn.training.diagnosis import diagnose, first
from vae_fn.training.loop import Hooks
from vae_fn.training.nonfinite import NonFiniteStep, all_finite
from vae_fn.training.step import draw_noise


def diagnosed(algorithm, fault):
    noise = draw_noise(streams(), fault.state.step, algorithm.noise_like(fault.batch), torch.float32)
    return first(diagnose(algorithm, small_vae(), fault.state, fault.batch, noise))


def check_found(name, at, edge=donating):
    """The step before which the state is that of a run by hand, its batch, and its first quantity."""
    algorithm = CASES[name][0](at)
    fault, rows = train(algorithm, run=step_by_shape(algorithm, edge))
    assert isinstance(fault, NonFiniteStep)
    assert fault.found
    assert str(fault) == f"step {at} is not finite"
    check_equal(fault.state, states(algorithm, at)[at - 1])
    assert torch.equal(fault.batch.pixels, batches()(at - 1).pixels)
    assert rows[-1].step == min(step for step in (4, 5, 8, 10) if step >= at)
    assert (rows[-1].skipped, diagnosed(algorithm, fault).name.startswith(CASES[name][1])) == (0, True)


def pure(step):
    return step


@pytest.mark.parametrize(("at", "edge"), [(1, donating), (4, pure), (6, donating), (10, pure)])
@pytest.mark.parametrize("name", CASES)
def test_the_step_is_found(name, at, edge):
    check_found(name, at, edge)


def test_the_step_of_a_compiled_donated_run_is_found(fresh_compiler):
    algorithm = CASES["gradient"][0](6)
    fault, _ = train(algorithm, run=step_by_shape(algorithm, compile_step))
    assert isinstance(fault, NonFiniteStep)
    assert (int(fault.state.step), fault.found) == (5, True)
    assert all_finite(fault.state)
    for leaf, expected in zip(
        tree.leaves(fault.state.params), tree.leaves(states(algorithm, 5)[5].params), strict=True
    ):
        torch.testing.assert_close(leaf, expected, rtol=1e-4, atol=1e-5)
    assert diagnosed(algorithm, fault).name == "gradient/decoder/0.weight"


def loss_alone(values):
    _, reported = values
    return (reported.loss if isinstance(reported, Info) else reported[..., 0]).isfinite().all()


@pytest.mark.parametrize("name", ["gradient", "norm", "parameters"])
def test_a_check_of_the_loss_alone_is_rejected(name, monkeypatch):
    monkeypatch.setattr(loop_module, "all_finite", loss_alone)
    monkeypatch.setattr(nonfinite_module, "all_finite", loss_alone)
    with pytest.raises(AssertionError):
        check_found(name, 6)


def test_a_check_of_what_is_reported_alone_is_rejected(monkeypatch):
    def reported_alone(values):
        return all_finite(values[1])

    monkeypatch.setattr(loop_module, "all_finite", reported_alone)
    monkeypatch.setattr(nonfinite_module, "all_finite", reported_alone)
    with pytest.raises(AssertionError):
        check_found("parameters", 6)


def test_running_again_from_a_state_that_was_not_kept_is_rejected(monkeypatch):
    """Without clones a donated state is the one that is lost, also where it is held."""
    monkeypatch.setattr(loop_module.tree, "clone", lambda state: state)
    with pytest.raises(AssertionError):
        check_found("loss", 6)


@pytest.mark.parametrize("name", ["loss", "norm"])
def test_the_row_shows_what_is_lost(name):
    _, rows = train(CASES[name][0](4))
    assert [row.step for row in rows] == [4]
    assert not math.isfinite(rows[0].info["loss" if name == "loss" else "grad_norm"])
    assert math.isfinite(rows[0].info["loss"]) == (name == "norm")


def test_a_checkpoint_between_rows_is_not_written_from_what_is_lost():
    rows, saved = [], []
    hooks = Hooks(rows.append, save=lambda progress: saved.append(progress))
    algorithm = CASES["parameters"][0](3)
    fault, _ = train(algorithm, hooks=hooks, wants=lambda step: step in (2, 3))
    assert [int(progress.state.step) for progress in saved] == [2]
    assert [row.step for row in rows] == [3]
    assert int(fault.state.step) == 2


def test_a_state_that_was_lost_before_the_run_is_named_at_its_first_step():
    algorithm = CASES["loss"][0](99)
    before = start(algorithm).state
    before.params["encoder"]["2.bias"][1] = torch.inf
    broken = algorithm._replace(init=lambda key, batch: before)
    for skipping in (False, True):
        fault, _ = train(broken, skipping=skipping)
        assert int(fault.state.step) == 0
        assert diagnosed(algorithm, fault).name == "params/encoder/2.bias"


def test_numbers_that_are_finite_when_run_again_are_said_to_be():
    algorithm = CASES["loss"][0](99)
    step, calls = step_by_shape(algorithm), []

    def erring(state, batch, keys):
        calls.append(int(state.step))
        state, info = step(state, batch, keys)
        return state, info._replace(kl=torch.tensor(math.inf if len(calls) == 2 else 1.0))

    fault, _ = train(algorithm, run=erring)
    assert (fault.found, int(fault.state.step)) == (False, 3)
    assert calls == [0, 1, 2, 3, 0, 1, 2, 3]
    check_equal(fault.state, states(algorithm, 3)[3])


def test_all_finite_looks_at_every_float():
    good = {"a": torch.zeros(2), "b": (torch.ones(3, dtype=torch.float64), torch.zeros((), dtype=torch.int64), None)}
    assert all_finite(good)
    for bad in (math.nan, math.inf, -math.inf):
        for path in ("a", "b"):
            broken = tree.clone(good)
            (broken["a"] if path == "a" else broken["b"][0])[-1] = bad
            assert not all_finite(broken)
