import json
import math
import os

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.run.test_folder import fail
from vae_fn.run.folder import RunError
from vae_fn.run.metrics import METRICS, keep_rows, metrics_row, read_metrics, with_nonfinite

numbers = st.floats() | st.integers(-(2**53), 2**53)
kinds = {"split": st.text(), "protocol": st.text(), "kl_by_dimension": st.none() | st.lists(st.floats(), max_size=3)}
rows = st.fixed_dictionaries({}, optional={name: kinds.get(name, numbers) for name in METRICS})


def refuse(constant):
    raise AssertionError(f"{constant} is not JSON")


def is_lost(value):
    return isinstance(value, float) and not math.isfinite(value)


def expected(value):
    """What stands in the row for a value."""
    if isinstance(value, list):
        return [expected(entry) for entry in value]
    return None if is_lost(value) else value


def check_row(write, values):
    """A row is strict JSON with every key in order; what is not finite, also within a list, is null and named."""
    row = json.loads(write(**values), parse_constant=refuse)
    lost = [key for key in METRICS if any(map(is_lost, np.atleast_1d(values.get(key)).tolist()))]
    assert list(row) == [*METRICS, "nonfinite"]
    assert row["nonfinite"] == lost
    assert all(row[key] == expected(values.get(key)) for key in METRICS)


@given(rows)
def test_metrics_row(values):
    check_row(metrics_row, values)


@pytest.mark.parametrize(
    "mutant",
    [
        lambda **values: json.dumps({key: values.get(key) for key in METRICS} | {"nonfinite": []}),
        lambda **values: json.dumps(with_nonfinite(values)),
        lambda **values: metrics_row(**{key: v if v == v else 0.0 for key, v in values.items()}),
        lambda **values: metrics_row(**dict(reversed(values.items()), kl_by_dimension=[0.0, None])),
        lambda **values: json.dumps(dict(reversed(json.loads(metrics_row(**values)).items()))),
    ],
)
def test_check_row_rejects(mutant):
    with pytest.raises(AssertionError):
        check_row(mutant, {"step": 1, "elbo": math.nan, "kl_by_dimension": [0.0, math.inf]})


def test_what_is_not_finite_is_replaced_at_any_depth():
    values = {"a": [1.0, [math.nan, 2]], "b": (math.inf,), "c": "nan", "d": []}
    assert with_nonfinite(values) == {"a": [1.0, [None, 2]], "b": (None,), "c": "nan", "d": [], "nonfinite": ["a", "b"]}


def test_metrics_row_takes_any_number_and_no_other_key():
    row = json.loads(metrics_row(step=np.int64(3), elbo=torch.tensor(-1.5), kl=np.float32("inf"), split="train"))
    assert (row["step"], row["elbo"], row["kl"], row["nonfinite"]) == (3, -1.5, None, ["kl"])
    with pytest.raises(TypeError, match="not metrics: \\['elb'\\]"):
        metrics_row(elb=1.0)


def test_read_metrics(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(metrics_row(step=step, split="train") + "\n" for step in range(3)) + '{"step": 3, "ep')
    assert [row["step"] for row in read_metrics(path)] == [0, 1, 2]
    path.write_text('{"step": 3, "ep\n{}\n')
    with pytest.raises(RunError, match="line 1 is not a row of metrics"):
        read_metrics(path)
    path.write_text("")
    assert read_metrics(path) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda row: {},
        lambda row: [row],
        lambda row: {key: value for key, value in row.items() if key != "split"},
        lambda row: row | {"more": 1},
        *(lambda row, key=key: row | {key: "1"} for key in METRICS if key not in ("split", "protocol")),
        lambda row: row | {"split": 1},
        lambda row: row | {"step": None},
        lambda row: row | {"kl_by_dimension": ["1"]},
    ],
)
def test_what_is_no_row_is_refused(tmp_path, change):
    path, row = tmp_path / "metrics.jsonl", json.loads(metrics_row(step=1, split="train", kl_by_dimension=[1.0, None]))
    path.write_text(json.dumps(row) + "\n")
    assert read_metrics(path) == [row]
    path.write_text(json.dumps(row) + "\n" + json.dumps(change(row)) + "\n")
    with pytest.raises(RunError, match=r"metrics.jsonl, line 2 is not a row of metrics: delete that line"):
        read_metrics(path)


def check_cut(cut, path, monkeypatch):
    """Half a row goes, and so do rows beyond the count; a failure leaves the file as it was."""
    rows = [metrics_row(step=step, split="train") + "\n" for step in range(3)]
    whole = "".join(rows) + '{"step": 3, "ep'
    for count in (3, 2, 0):
        path.write_text(whole)
        cut(path, count)
        assert path.read_text() == "".join(rows[:count])
    path.write_text(whole)
    with pytest.raises(RunError, match=r"has 3 rows, but 4 were written: restore the file, or train again"):
        cut(path, 4)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="No space left"):
            cut(path, 1)
    assert path.read_text() == whole


def truncate(path, count):
    lines = path.read_text().splitlines(keepends=True)
    if len(lines) < count:
        raise RunError(f"{path} has {len(lines)} rows, but {count} were written: restore the file, or train again")
    with path.open("w") as file:
        file.writelines(lines[:count])
        os.fsync(file.fileno())


def uncut(path, count):
    keep_rows(path, min(count, 3))


def test_keep_rows(tmp_path, monkeypatch):
    check_cut(keep_rows, tmp_path / "metrics.jsonl", monkeypatch)


@pytest.mark.parametrize("mutant", [truncate, uncut])
def test_check_cut_rejects(mutant, tmp_path, monkeypatch):
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        check_cut(mutant, tmp_path / "metrics.jsonl", monkeypatch)


def test_no_rows_of_a_missing_file(tmp_path):
    keep_rows(tmp_path / "metrics.jsonl", 0)
    assert read_metrics(tmp_path / "metrics.jsonl") == []
    with pytest.raises(RunError, match="has 0 rows"):
        keep_rows(tmp_path / "nothing.jsonl", 1)
