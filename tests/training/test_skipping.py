"""Steps that are not finite change nothing and are counted; a run with them is the one that a loop by hand gives."""

import math

import pytest
import torch

from tests.training.poison import CASES, batches, check_equal, donating, start, train
from tests.training.problems import streams
from vae_fn import tree
from vae_fn.compiling import compile_step
from vae_fn.training import skipping, step_by_shape
from vae_fn.training.nonfinite import NonFiniteStep, all_finite
from vae_fn.training.skipping import skip_nonfinite

LOST = (2, 3, 7, 8)
"""Steps that are lost; rows stand at 4, 5, 8 and 10."""


def by_hand(algorithm, steps=10):
    """Step, look at every number, and keep the old state where one is not finite; also what the kept steps reported."""
    state, step, kept = start(algorithm).state, step_by_shape(algorithm), {}
    for before in range(steps):
        new, info = step(state, batches()(before), streams())
        if all(math.isfinite(number) for leaf in tree.leaves((new, info)) for number in leaf.flatten().tolist()):
            state, kept[before + 1] = new, info
        else:
            state = state._replace(step=new.step)
    return state, kept


def check_skips(name, edge=donating):
    algorithm = CASES[name][0](*LOST)
    end, rows = train(skip_nonfinite(algorithm), run=step_by_shape(skip_nonfinite(algorithm), edge), skipping=True)
    assert not isinstance(end, NonFiniteStep)
    expected, kept = by_hand(algorithm)
    assert set(kept) == set(range(1, 11)) - set(LOST)
    check_equal(end, expected)
    assert [(row.step, row.skipped) for row in rows] == [(4, 2), (5, 0), (8, 2), (10, 0)]
    for row, steps in zip(rows, [(1, 4), (5,), (6,), (9, 10)], strict=True):
        for field, mean in row.info.items():
            assert mean == pytest.approx(
                sum(getattr(kept[step], field).item() for step in steps) / len(steps), rel=1e-6
            )


@pytest.mark.parametrize("name", CASES)
def test_skipped_steps_change_nothing_and_are_counted(name):
    check_skips(name)


def restoring(*kept):
    """The mutant that restores only some fields of the state."""

    def skip(algorithm):
        def step(state, batch, noise):
            new, info = algorithm.step(state, batch, noise)
            if all_finite((new, info)):
                return new, info
            info = tree.map(lambda value: value * math.nan, info)
            return new._replace(**{name: getattr(state, name) for name in kept}), info

        return algorithm._replace(step=step)

    return skip


@pytest.mark.parametrize("kept", [("params",), ("optimizer",), ("params", "optimizer", "step")])
def test_restoring_too_little_or_too_much_is_rejected(kept, monkeypatch):
    monkeypatch.setitem(globals(), "skip_nonfinite", restoring(*kept))
    with pytest.raises(AssertionError):
        check_skips("gradient")


def test_looking_at_what_is_reported_alone_is_rejected(monkeypatch):
    monkeypatch.setattr(skipping, "all_finite", lambda values: all_finite(values[1]))
    with pytest.raises(AssertionError):
        check_skips("parameters")


def test_a_window_without_a_finite_step_has_no_means():
    _, rows = train(skip_nonfinite(CASES["loss"][0](5, 6, 7, 8)), skipping=True)
    assert [(row.step, row.skipped) for row in rows] == [(4, 0), (5, 1), (8, 3), (10, 0)]
    assert [all(map(math.isnan, row.info.values())) for row in rows] == [False, True, True, False]


def test_where_nothing_is_lost_nothing_is_skipped():
    algorithm = CASES["gradient"][0](99)
    (plain, rows), (other, other_rows) = train(algorithm), train(skip_nonfinite(algorithm), skipping=True)
    check_equal(other, plain)
    assert [row.info for row in other_rows] == [row.info for row in rows]
    assert all(row.skipped == 0 for row in other_rows)


def test_without_skipping_the_run_stops():
    fault, _ = train(CASES["loss"][0](*LOST))
    assert (int(fault.state.step), fault.found) == (1, True)


def test_the_estimators_own_state_is_kept_too():
    algorithm = CASES["loss"][0](1)

    def estimate_and_count(state, batch, noise):
        new, info = algorithm.step(state, batch, noise)
        return new._replace(estimator=(state.estimator[0] + 1,)), info

    counting = algorithm._replace(
        step=estimate_and_count, init=lambda *args: algorithm.init(*args)._replace(estimator=(torch.zeros(()),))
    )
    end, _ = train(skip_nonfinite(counting), skipping=True)
    assert (end.estimator[0].item(), end.step.item(), end.optimizer.step.item()) == (9, 10, 9)


def test_the_compiled_step_skips_the_same_steps(fresh_compiler):
    algorithm = CASES["parameters"][0](*LOST)
    run = step_by_shape(skip_nonfinite(algorithm), compile_step)
    end, rows = train(skip_nonfinite(algorithm), run=run, skipping=True)
    assert [(row.step, row.skipped) for row in rows] == [(4, 2), (5, 0), (8, 2), (10, 0)]
    expected, _ = by_hand(algorithm)
    for leaf, other in zip(tree.leaves(end), tree.leaves(expected), strict=True):
        torch.testing.assert_close(leaf, other, rtol=1e-4, atol=1e-5)
