"""Windows in turn, by a clock that the programs move themselves."""

import pytest
import torch

from vae_fn.bench.windows import Runner, interleaved, ratios, spread, steps_of_window


class Time:
    """A clock, and programs that take a time for each step."""

    def __init__(self):
        self.now, self.ran = 0.0, []

    def clock(self):
        return self.now

    def runner(self, name, seconds):
        def advance(state, count):
            self.now += seconds * count * (2 if len(self.ran) >= 4 else 1)
            self.ran.append(name)
            return state.add_(count)

        return Runner(advance, torch.zeros(1))


def test_each_program_has_its_own_time_and_its_windows():
    time, heard = Time(), []
    runners = {"fast": time.runner("fast", 1e-3), "slow": time.runner("slow", 4e-3)}
    times = interleaved(runners, 2, {"fast": 7, "slow": 3}, clock=time.clock, progress=heard.append)
    assert times == {"fast": [pytest.approx(1.0)] * 2, "slow": [pytest.approx(4.0)] * 2}
    assert heard == time.ran


def test_the_next_round_begins_with_another_program_and_drift_cancels_in_ratios():
    time = Time()
    runners = {"a": time.runner("a", 1e-3), "b": time.runner("b", 3e-3)}
    times = interleaved(runners, 4, {"a": 1, "b": 1}, clock=time.clock)
    assert time.ran == ["a", "b", "b", "a", "a", "b", "b", "a"]
    assert times["a"] == pytest.approx([1, 1, 2, 2])
    assert ratios(times["b"], times["a"]) == pytest.approx([3] * 4)


def test_every_window_starts_from_the_same_state_which_is_kept():
    time = Time()
    runner = time.runner("a", 1e-3)
    interleaved({"a": runner}, 3, {"a": 5}, clock=time.clock)
    assert runner.state.item() == 0


def test_a_window_is_long_enough():
    time = Time()
    assert steps_of_window(time.runner("a", 1e-3), 0.25, time.clock) == 250


def test_quartiles():
    found = spread([5.0, 1.0, 2.0, 4.0, 3.0])
    assert found == (1.0, 2.0, 3.0, 4.0)
    assert spread([2.0]) == (2.0, 2.0, 2.0, 2.0)
