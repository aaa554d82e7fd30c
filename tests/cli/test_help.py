"""`--help` at 80 columns."""

import re
from itertools import pairwise

import pytest

from vae_fn.cli.main import COMMANDS, main

BOXED = re.compile(r"[│ ] (.*?) *[│ ]")
"""A line of a box, which is drawn with spaces where there is no UTF-8."""


def help_text(args, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as stop:
        main([*args, "--help"])
    assert not stop.value.code
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("args", [[name] for name in COMMANDS] + [["gradients", "--problem", "rainforth"]])
def test_help_is_broken_where_lines_are_full_or_sentences_end(args, monkeypatch, capsys):
    usage, *lines = help_text(args, monkeypatch, capsys)
    assert usage.startswith("usage: ")
    assert max(map(len, (usage, *lines))) <= 80
    boxed = [found[1] for line in lines if (found := BOXED.fullmatch(line)) and found[1]]
    width = max(map(len, boxed))
    assert width > 60
    for line, below in pairwise(boxed):
        word = below.split()[0]
        continues = line.startswith(" ") and below.startswith("  ") and not line.endswith((".", ")"))
        assert not continues or len(line) + 1 + len(word) > width, (line, below)


def test_the_overview_fits_too(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert f"  {'race':13}Race estimators: the same training by each, every one at its own" in lines
