"""One's own code that raises while it is verified is rejected with its line, whatever kind of object it is."""

import json

import pytest

from vae_fn.cli.main import main

MINE = """import torch

from vae_fn import training
from vae_fn.distributions import Normal
from vae_fn.gradients import estimators


def refuse(*given):
    raise KeyError("mine")


optimizer = training.Optimizer(lambda params: (), lambda grads, state, params: refuse())
late = training.Optimizer(lambda params: params, lambda grads, state, params: (params, state["none"]))
estimator = estimators.pathwise()._replace(estimate=lambda problem, params, noise, state: refuse())


class Own(Normal):
    def sample(self, noise):
        return refuse()


class Narrow(Normal):
    def sample(self, noise):
        raise ValueError("mine")


q, narrow = Own(torch.zeros(2), torch.ones(2)), Narrow(torch.zeros(2), torch.ones(2))


def function(x):
    return x @ torch.ones(5)


def ones():
    return (torch.ones(3),)


def step(state, x):
    return refuse(state, x)


def start():
    return torch.ones(3), torch.ones(3)
"""

REFUSE = "it raised KeyError: 'mine' (mine.py, line 9)"

RAISING = [
    ("optimizer", "runs", REFUSE),
    ("late", "runs", "it raised KeyError: 'none' (mine.py, line 13)"),
    ("q", "runs", REFUSE),
    ("narrow", "shapes", "() draws raise ValueError: mine (mine.py, line 24); "),
    ("step --as step --args mine.py:start", "runs", REFUSE),
    ("function --args mine.py:ones", "runs", "it raised RuntimeError: inconsistent tensor size, expected tensor [3]"),
    ("estimator", "runs", "it raises in every setting that its latents and samples allow, first on "),
]


@pytest.mark.parametrize(("command", "claim", "said"), RAISING)
def test_what_raises_is_rejected_with_its_line(command, claim, said, user_code):
    (user_code / "mine.py").write_text(MINE)
    assert main(["verify", *f"mine.py:{command} --json found.json".split()]) == 1
    last = json.loads((user_code / "found.json").read_text())["checks"][-1]
    assert (last["claim"], last["status"]) == (claim, "rejected")
    assert last["detail"].startswith(said)
    assert "(mine.py, line " in last["detail"]


def test_a_property_that_raises_leaves_no_traceback(user_code, capsys):
    """Python 3.11 runs it to see whether it is there, before anything is checked."""
    own = "    @property\n    def mean(self):\n"
    (user_code / "mine.py").write_text(MINE.replace("    def sample(self, noise):\n", own, 1))
    assert main(["verify", "mine.py:q"]) in (1, 2)
    assert " raised KeyError: 'mine' (mine.py, line 9)\n" in "".join(capsys.readouterr())
