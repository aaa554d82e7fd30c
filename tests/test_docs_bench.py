"""docs/bench.md names what the command prints and writes, and shows a table as it is printed."""

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest

from tests.bench.canned import row
from vae_fn.cli import timed
from vae_fn.cli.timing import OwnOptions, Timing
from vae_fn.run.config import TrainConfig

ROOT = Path(__file__).parent.parent

PAGE = (ROOT / "docs" / "bench.md").read_text()


@pytest.mark.parametrize("name", row([3.0] * 5, [9.0] * 5))
def test_every_column_of_the_json_is_explained(name):
    assert f"`{name}`" in PAGE


def test_every_column_of_the_tables_is_explained():
    explained = {name.strip() for line in re.findall(r"^\| ([^|]+) \|", PAGE, re.MULTILINE) for name in line.split(",")}
    said = {name.removesuffix(" (quartiles)") for name in (timed.TIMES | timed.SHARES)} - {"row"}
    assert said <= explained


def test_the_table_shown_is_one_that_is_printed():
    shown = re.search(r"```console\n\$ [^\n]*\n(.*?)```", PAGE, re.DOTALL)[1].splitlines()
    environment = {"threads": 1, "load_before": [0.0], "load_after": [0.0]}
    rows = [row([3.0] * 5, [9.0] * 5, name) | {"samples": None} for name in ("eager", "compiled")]
    printed = timed.report({"rows": rows, "environment": environment}).splitlines()
    heads = [re.split(r" {2,}", line) for line in (shown[0], printed[0])]
    assert heads[0] == heads[1]
    assert printed[-3:] == [line for line in shown if line in printed[-3:]]
    assert [line.split()[0] for line in shown[2:5]] == ["eager", "compiled", "donated"]


def test_the_tables_of_the_tutorial_are_what_was_measured():
    assert timed.report(json.loads((ROOT / "benchmarks" / "results" / "bench.json").read_text())) in PAGE


def test_every_option_that_it_names_is_there():
    own = {f"--{field.name.replace('_', '-')}" for kind in (Timing, OwnOptions, TrainConfig) for field in fields(kind)}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGE)) <= own
