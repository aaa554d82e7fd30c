"""`vae-fn verify` on a user's own files: what it prints, writes and returns."""

import json
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from vae_fn.cli import verify
from vae_fn.cli.main import main
from vae_fn.verify.estimators import battery, settings

MINE = """import torch

from vae_fn import training
from vae_fn.distributions import Normal
from vae_fn.gradients import Coefficients, from_coefficients


def rule(log_weights, beta):
    share = torch.full_like(log_weights, 1 / len(log_weights))
    centred = (log_weights - log_weights.mean(0)) / OTHERS
    return Coefficients(log_weights.mean(0), share, 0 * share, centred - beta * share)


score = from_coefficients("mine", rule, unbiased_for="the ELBO", min_samples=2, latents="any")
silent = score._replace(min_samples=9, init=lambda problem, params: refuse())
failing = score._replace(init=lambda problem, params: refuse())
q = Normal(torch.tensor([0.3]), torch.tensor([0.5]))


def refuse():
    raise ValueError("it takes no problem at all")


def p():
    return (Normal(torch.zeros(1), torch.ones(1)),)


def descent():
    return training.sgd(0.1)


def torch_descent():
    return (lambda params: torch.optim.SGD(params, lr=0.1),)


def faster():
    return (lambda params: torch.optim.SGD(params, lr=0.101),)


def affine(x, w):
    return x @ w


def example():
    return torch.linspace(-1.0, 1.0, 6).reshape(3, 2), torch.tensor([0.5, -2.0])


def step(state, x):
    new = {"w": state["w"] - 0.1 * (state["w"] - x)}
    return new, (state["w"] - x).square().sum()


def start():
    return {"w": torch.ones(2)}, torch.zeros(2)


def wide(x):
    return x.float() + 1


def ones():
    return (torch.ones(2),)
"""


@pytest.fixture
def mine(user_code):
    (user_code / "mine.py").write_text(MINE.replace("OTHERS", "(len(log_weights) - 1)"))
    return user_code


@pytest.fixture
def few_settings(monkeypatch):
    """Two problems of few states in place of ten: the command is what is tested."""
    few = settings.battery()[1:3]
    monkeypatch.setattr(battery, "battery", lambda: few)


def run(command, capsys):
    status = main(["verify", *command.split()])
    out, err = capsys.readouterr()
    return status, out, err


def claims(out):
    """The first word of each row of the certificate's table."""
    table = out.split("\n\n")[1].splitlines()[2:]
    return [row.split("  ")[0] for row in table]


def test_every_option_has_a_help_text():
    source = Path(verify.__file__).read_text()
    for field in fields(verify.VerifyOptions):
        _, _, after = source.partition(f"\n    {field.name}: ")
        assert '"""' in after.partition("\n    def ")[0].split("\n    args: ")[0], field.name


@pytest.mark.parametrize("option", ["--as", "--args", "--mutate", "--json", "--quiet"])
def test_help(option, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["verify", "--help"])
    assert not stop.value.code
    out = capsys.readouterr().out
    assert out.startswith("usage: vae-fn verify [-h] [OPTIONS] MODULE:OBJECT")
    assert f" {option}" in out


def test_a_distribution_passes(mine, capsys):
    status, out, err = run("mine.py:q --args mine.py:p --json out.json", capsys)
    assert status == 0
    assert out.startswith("mine.py:q, a distribution: passed (")
    assert {"normalised", "law", "noise form at scale 1e-8", "kl"} <= set(claims(out))
    assert "\nsource: blake2b " in out
    assert " of the file mine.py, without what it imports\n" in out
    assert out.endswith("\nepoch: 0\n")
    assert "law of mine.py:q: passed" in err or "kl at equality of mine.py:q: passed" in err
    found = json.loads((mine / "out.json").read_text())
    assert (found["status"], found["kind"], found["file"]) == ("passed", "distribution", "mine.py")
    assert [check["claim"] for check in found["checks"]] == claims(out)


def test_without_another_distribution_its_divergence_is_not_covered(mine, capsys):
    status, out, _ = run("mine:q --as distribution", capsys)
    assert status == 0
    assert "\n  the KL divergence from another distribution: none was given\n" in out


def test_an_optimizer_follows_its_reference_or_not(mine, capsys):
    status, out, _ = run("mine.py:descent --args mine.py:torch_descent", capsys)
    assert (status, claims(out)[0]) == (0, "follows")
    status, out, _ = run("mine.py:descent --args mine.py:faster --json out.json", capsys)
    assert status == 1
    assert out.startswith("mine.py:descent, an optimizer: rejected (1 rejected, 5 passed)")
    assert "\nfollows of mine.py:descent: rejected (deterministic): moved after " in out
    assert "\nreplay: VAE_FN_EPOCH=0 " in out
    assert json.loads((mine / "out.json").read_text())["status"] == "rejected"


def test_an_estimator_is_rejected_and_then_mended(mine, capsys, few_settings):
    (mine / "wrong.py").write_text(MINE.replace("OTHERS", "len(log_weights)"))
    status, out, _ = run("wrong.py:score --mutate", capsys)
    assert status == 1
    assert out.startswith("wrong.py:score, an estimator: biased (")
    assert "mean of mine on bernoulli_latents(latents=1, beta=1), K=3: biased (exact): " in out
    assert "\nmutants: none were made, as not every check passed\n" in out
    status, out, err = run("mine.py:score --mutate", capsys)
    assert status == 0
    assert re.search(r"\nmutants: \d+ of \d+ killed, \d+ equivalent\n  killed: joint: 1 % more; ", out)
    assert "mutant " in err


def test_nothing_that_applies_decides_nothing(mine, capsys):
    status, out, _ = run("mine.py:silent --mutate", capsys)
    assert status == 3
    assert out.startswith("mine.py:silent, an estimator: inconclusive (no check applies)\n\nmutants: none were made, ")
    assert "it takes no problem at all" in out


def test_what_raises_wherever_it_may_run_is_no_refusal(mine, capsys):
    status, out, _ = run("mine.py:failing --mutate --json out.json", capsys)
    assert status == 1
    assert out.startswith("mine.py:failing, an estimator: rejected (1 rejected)\n\n")
    assert claims(out) == ["runs"]
    assert "\nmutants: none were made, as not every check passed\n" in out
    line = MINE.splitlines().index('    raise ValueError("it takes no problem at all")') + 1
    assert (
        "runs of mine: rejected (deterministic): it raises in every setting that its latents and samples allow, first "
        "on bernoulli_decoder(latents=1, beta=1), K=2: ValueError: it takes no problem at all "
        f"(mine.py, line {line})\n"
    ) in out
    assert json.loads((mine / "out.json").read_text())["status"] == "rejected"


def test_quiet_leaves_the_exit_status(mine, capsys):
    assert run("mine.py:descent --args mine.py:faster --quiet", capsys) == (1, "", "")


def test_a_function(mine, capsys, fresh_compiler):
    status, out, _ = run("mine.py:affine --args mine.py:example", capsys)
    assert (status, claims(out)) == (0, ["pure", "parity", "no_recompile", "gradients"])
    assert "\n  whether the values are what they should be\n" in out


def test_what_cannot_be_decided_has_a_status_of_its_own(mine, capsys, fresh_compiler):
    status, out, _ = run("mine.py:wide --args mine.py:ones", capsys)
    assert status == 3
    assert out.startswith("mine.py:wide, a function: inconclusive (")
    assert "parity of mine.py:wide: inconclusive (deterministic): its result is not float64" in out


def test_a_step(mine, capsys, fresh_compiler):
    status, out, _ = run("mine.py:step --as step --args mine.py:start", capsys)
    assert (status, claims(out)) == (0, ["finite", "pure", "no_recompile", "parity", "donated"])


def test_what_is_part_of_the_package(user_code, capsys, few_settings):
    status, out, _ = run("vae_fn.gradients.estimators:rloo", capsys)
    assert status == 0
    assert " of the file " in out
    assert "vae_fn/gradients/estimators/single.py, without" in out


def test_the_installed_command(mine):
    command = [sys.executable, "-c", "import sys; from vae_fn.cli.main import main; sys.exit(main())"]
    done = subprocess.run(
        [*command, "verify", "mine.py:descent", "--args", "mine.py:faster"], capture_output=True, text=True, cwd=mine
    )
    assert done.returncode == 1
    assert done.stdout.startswith("mine.py:descent, an optimizer: rejected (")
    assert "Traceback" not in done.stderr
