import subprocess
import sys

import pytest

from vae_fn.cli import train
from vae_fn.cli.main import COMMANDS, main

MISTAKES = [
    ("--verson", "vae-fn: error: unknown option '--verson'. Did you mean --version?"),
    ("trian", "vae-fn: error: unknown command 'trian'. Did you mean train?"),
    ("zzz", "vae-fn: error: unknown command 'zzz'. Choose from: train, evaluate, --help, --version."),
    ("train tutoral --epochs 3", "vae-fn train: error: unknown preset 'tutoral'. Did you mean tutorial?"),
    ("train zzz", "vae-fn train: error: unknown preset 'zzz'. Choose from: tutorial, quick."),
    ("train --preset quick", "vae-fn train: error: a preset has no --: it comes first, as in `vae-fn train tutorial`."),
    ("train --epoch 3", "vae-fn train: error: unknown option '--epoch'. Did you mean --epochs?"),
    ("train quick --epcohs=3", "vae-fn train: error: unknown option '--epcohs'. Did you mean --epochs?"),
    ("train --no-compil", "vae-fn train: error: unknown option '--no-compil'. Did you mean --no-compile?"),
    ("train -x", "vae-fn train: error: unknown option '-x'. See --help for the options."),
    ("train --zzz", "vae-fn train: error: unknown option '--zzz'. See --help for the options."),
    ("train --epochs", "vae-fn train: error: --epochs needs a value: a whole number."),
    ("train --epochs --key 3", "vae-fn train: error: --epochs takes a whole number, not '--key'."),
    ("train --epochs x", "vae-fn train: error: --epochs takes a whole number, not 'x'."),
    ("train --epochs=1.5", "vae-fn train: error: --epochs takes a whole number, not '1.5'."),
    ("train --beta one", "vae-fn train: error: --beta takes a number, not 'one'."),
    ("train --binarise gray", "vae-fn train: error: --binarise takes one of grey, dynamic, fixed, not 'gray'. Did you"),
    ("train --binarise --key 3", "vae-fn train: error: --binarise takes one of grey, dynamic, fixed, not '--key'."),
    ("train quick extra", "vae-fn train: error: unexpected argument 'extra': it belongs to no option, see --help."),
    ("train --key 3 quick", "vae-fn train: error: unexpected argument 'quick': it belongs to no option"),
    ("train --compile 3", "vae-fn train: error: unexpected argument '3'"),
    ("train --epochs 0", "vae-fn train: error: epochs must be positive and finite, not 0"),
    ("train --learning-rate nan", "vae-fn train: error: learning_rate must be positive and finite, not nan"),
    ("train --learning-rate -1e-3", "vae-fn train: error: learning_rate must be positive and finite, not -0.001"),
    ("train --beta inf", "vae-fn train: error: beta must be 0 or more and finite, not inf"),
    ("train --hidden 12", "vae-fn train: error: hidden must be a positive multiple of 8"),
    ("train --held-out 60000", "vae-fn train: error: held_out must lie between 0 and 59999, not 60000"),
    ("train --epochs 99999999999999999999", "vae-fn train: error: epochs must fit into 64 bits"),
    ("train --device tpu", "vae-fn train: error: device 'tpu' is unknown: use cpu, cuda, cuda:1, mps or xpu"),
    ("train --name ../x", "vae-fn train: error: name '../x' cannot name a run"),
    ("train --name=", "vae-fn train: error: name '' cannot name a run"),
    (
        "train --estimator iwae",
        "vae-fn train: error: an importance-sampled bound (iwae) of grey pixels under a Bernoulli",
    ),
    (
        "train --estimator score",
        "vae-fn train: error: the score estimator compares each sample with the others: use --sa",
    ),
    ("evaluate", "vae-fn evaluate: error: missing argument: RUN, see --help."),
    ("evaluate --draws 3", "vae-fn evaluate: error: missing argument: RUN, see --help."),
    ("evaluate nowhere", "vae-fn evaluate: error: nowhere does not exist."),
    ("evaluate .", "vae-fn evaluate: error: . has no config.toml, so it is not a run."),
    ("evaluate a b", "vae-fn evaluate: error: unexpected argument 'b'"),
    ("evaluate --drows 3 a", "vae-fn evaluate: error: unknown option '--drows'. Did you mean --draws?"),
    ("evaluate a --draws 0", "vae-fn evaluate: error: draws must be positive and at most 65536, not 0"),
    ("evaluate a --draws x", "vae-fn evaluate: error: --draws takes a whole number or None, not 'x'."),
    ("evaluate a --key -1", "vae-fn evaluate: error: key must lie between 0 and 2^63 - 1, not -1"),
    ("evaluate a --json", "vae-fn evaluate: error: --json needs a value: a path or None."),
    ("evaluate a --json no/x.json", "vae-fn evaluate: error: json must be a file in an existing folder that"),
]


@pytest.mark.parametrize(("command", "line"), MISTAKES)
@pytest.mark.parametrize("colours", ["", "1"])
def test_a_mistake_is_one_line(command, line, colours, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    if colours:
        monkeypatch.setenv("FORCE_COLOR", colours)
    assert main(command.split(" ")) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(line)
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert list(tmp_path.iterdir()) == []


def interpret(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


@pytest.mark.parametrize(
    "args", [[], ["--help"], ["train", "--help"], ["evaluate", "--help"], ["train", "--epoch", "3"]]
)
def test_no_torch_before_a_command_runs(args):
    done = interpret(
        "import sys, vae_fn.cli.main as m\n"
        f"try: status = m.main({args!r})\n"
        "except SystemExit as stop: status = stop.code or 0\n"
        "assert 'torch' not in sys.modules\n"
        "sys.exit(status)"
    )
    assert done.returncode == (2 if "--epoch" in args else 0)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("args", [[], ["--help"], ["-h"]])
def test_overview_lists_the_commands(args, capsys):
    assert main(args) == 0
    lines = capsys.readouterr().out.splitlines()
    for name, command in COMMANDS.items():
        assert f"  {name:10} {command.SUMMARY}" in lines


@pytest.mark.parametrize("command", ["train", "train quick", "evaluate"])
def test_help_lists_every_option(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([*command.split(), "--help"])
    assert not stop.value.code
    out, err = capsys.readouterr()
    assert err == ""
    assert out.startswith(f"usage: vae-fn {command}")
    for option in ("--learning-rate", "--no-compile", "--runs-dir") if "train" in command else ("--draws", "--json"):
        assert option in out
    assert "--preset" not in out


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("vae-fn 0.")


def test_interrupted(capsys, monkeypatch):
    def interrupt(args):
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "main", interrupt)
    assert main(["train"]) == 130
    assert capsys.readouterr().err == "vae-fn train: interrupted\n"


def test_a_fault_of_the_program_keeps_its_traceback(monkeypatch):
    def fail(args):
        raise ValueError("a bug")

    monkeypatch.setattr(train, "main", fail)
    with pytest.raises(ValueError, match="a bug"):
        main(["train"])
