"""One's own code that raises while it is verified is rejected with its line, whatever kind of object it is."""

import json
import sys

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


def huge(x):
    raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")


def made():
    return huge(None)


def pair():
    return (q,)
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


@pytest.mark.parametrize("name", ["optimizer", "estimator", "q"])
def test_an_installed_module_that_is_named_is_one_s_own(name, user_code):
    folder = user_code / "site-packages"
    folder.mkdir()
    (folder / "mine.py").write_text(MINE)
    assert main(["verify", f"site-packages/mine.py:{name}", "--json", "found.json", "--quiet"]) == 1
    last = json.loads((user_code / "found.json").read_text())["checks"][-1]
    assert (last["claim"], last["status"]) == ("runs", "rejected")
    assert last["detail"].endswith("KeyError: 'mine' (site-packages/mine.py, line 9)")


@pytest.mark.parametrize("command", ["huge --args mine.py:ones", "made"])
def test_want_of_memory_is_no_fault_of_the_code(command, user_code, capsys):
    (user_code / "mine.py").write_text(MINE)
    assert main(["verify", *f"mine.py:{command} --quiet".split()]) == 2
    said = "vae-fn verify: error: it does not fit into memory: choose smaller sizes\n"
    assert capsys.readouterr() == ("", said)


WITH_A_PROPERTY = MINE.replace("    def sample(self, noise):\n", "    @property\n    def mean(self):\n", 1)
RUN_BY_A_LOOK = sys.version_info < (3, 12)
"""Whether a property is run to see whether it is there, before anything is checked."""


def test_a_property_that_raises_leaves_no_traceback(user_code, capsys):
    (user_code / "mine.py").write_text(WITH_A_PROPERTY)
    assert main(["verify", "mine.py:q"]) == (2 if RUN_BY_A_LOOK else 1)
    assert " raised KeyError: 'mine' (mine.py, line 9)\n" in "".join(capsys.readouterr())


@pytest.mark.skipif(not RUN_BY_A_LOOK, reason="from Python 3.12 on no property is run by a look at it")
def test_a_property_of_another_distribution_that_raises_is_one_line(user_code, capsys):
    (user_code / "mine.py").write_text(WITH_A_PROPERTY)
    assert main(["verify", "mine.py:narrow", "--args", "mine.py:pair", "--quiet"]) == 2
    said = "vae-fn verify: error: mine.py:pair raised KeyError: 'mine' (mine.py, line 9)\n"
    assert capsys.readouterr() == ("", said)
