import io
import os
import signal
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from vae_fn.cli import evaluate, train
from vae_fn.cli.main import COMMANDS, main
from vae_fn.run.interrupts import Interrupted


def interpret(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


WITHOUT_TORCH = ["", "--help", "--version", *(f"{name} --help" for name in COMMANDS), "train --print-config"]


@pytest.mark.parametrize(
    ("args", "status"),
    [*((args, 0) for args in WITHOUT_TORCH), ("train --epoch 3", 2), ("train --key -1", 2), ("evaluate nowhere", 2)],
)
def test_no_torch_before_a_command_runs(args, status):
    done = interpret(
        "import sys, vae_fn.cli.main as m\n"
        f"try: status = m.main({args.split()})\n"
        "except SystemExit as stop: status = stop.code or 0\n"
        "assert 'torch' not in sys.modules\n"
        "sys.exit(status)"
    )
    assert done.returncode == status
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("args", [[], ["--help"], ["-h"]])
def test_overview_lists_the_commands(args, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert main(args) == 0
    lines = capsys.readouterr().out.splitlines()
    for name, command in COMMANDS.items():
        assert [name, command.SUMMARY] in [line.strip().split(maxsplit=1) for line in lines if name in line]
    assert any(line.startswith("  vae-fn train quick ") for line in lines)


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
    assert "{None}" not in out


@pytest.mark.parametrize("options", [train.TrainOptions, evaluate.EvaluateConfig])
def test_every_option_has_a_help_text(options):
    source = Path(sys.modules[options.__module__].__file__).read_text()
    for field in fields(options):
        _, _, after = source.partition(f"\n    {field.name}: ")
        assert after.partition("\n")[2].lstrip().startswith('"""') or field.name == "settings", field.name


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("vae-fn 0.")


@pytest.mark.parametrize(
    ("fault", "status", "words"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (Interrupted("stopped at step 3", signal.SIGINT), 130, "stopped at step 3"),
        (Interrupted("stopped at step 3", signal.SIGTERM), 143, "stopped at step 3"),
    ],
)
def test_interrupted(fault, status, words, capsys, monkeypatch):
    def interrupt(args):
        raise fault

    monkeypatch.setattr(train, "main", interrupt)
    assert main(["train"]) == status
    assert capsys.readouterr().err == f"vae-fn train: {words}\n"


@pytest.mark.parametrize("args", ["--debug train --key -1", "train --debug --key -1", "train --key -1 --debug"])
def test_debug_shows_the_traceback_of_a_mistake(args):
    done = interpret(f"from vae_fn.cli.main import main; raise SystemExit(main({args.split()}))")
    assert done.returncode == 2
    assert done.stderr.startswith("Traceback")
    *_, fault, said = done.stderr.splitlines()
    assert fault.endswith("ConfigError: --key must lie between 0 and 2^63 - 1, not -1")
    assert said == "vae-fn train: error: --key must lie between 0 and 2^63 - 1, not -1"


def test_debug_leaves_the_exit_status(capsys):
    assert main(["--debug", "trian"]) == 2
    assert "UsageError: " in capsys.readouterr().err


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_what_a_terminal_cannot_show_is_escaped(encoding, tmp_path):
    """A name in Greek, and one that is not even UTF-8: the first is an output, the second a mistake."""
    for name in ("τρέξιμο", b"\xff".decode(errors="surrogateescape")):
        (tmp_path / name).mkdir()
    code = "from vae_fn.cli.main import main; raise SystemExit(main())"

    def run(name):
        command = [sys.executable, "-c", code, "runs", name]
        environment = os.environ | {"PYTHONIOENCODING": f"{encoding}:strict", "PYTHONUTF8": "1"}
        return subprocess.run(command, capture_output=True, cwd=tmp_path, env=environment)

    done = run(b"\xff")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"no runs in \\udcff: ")
    done, shown = run("τρέξιμο"), "τρέξιμο".encode(encoding, "backslashreplace")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"no runs in " + shown + b": ")
    done = run("τρέξιμ")
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.startswith(b"vae-fn runs: error: ")


def test_streams_of_other_kinds_are_left_alone(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    assert main(["--version"]) == 0
    assert stream.getvalue().startswith("vae-fn 0.")


def test_a_fault_of_the_program_keeps_its_traceback(monkeypatch):
    def fail(args):
        raise ValueError("a bug")

    monkeypatch.setattr(train, "main", fail)
    with pytest.raises(ValueError, match="a bug"):
        main(["train"])
