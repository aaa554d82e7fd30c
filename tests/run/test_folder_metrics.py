import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vae_fn.run.folder import METRICS, RunError, metrics_row, read_metrics, with_nonfinite

numbers = st.floats() | st.integers(-(2**53), 2**53)
rows = st.fixed_dictionaries(
    {},
    optional={name: st.text() if name in ("split", "protocol") else numbers for name in METRICS},
)


def refuse(constant):
    raise AssertionError(f"{constant} is not JSON")


def check_row(write, values):
    """A row is strict JSON with every key in order; what is not finite is null and named."""
    row = json.loads(write(**values), parse_constant=refuse)
    lost = [key for key in METRICS if isinstance(values.get(key), float) and not math.isfinite(values[key])]
    assert list(row) == [*METRICS, "nonfinite"]
    assert row["nonfinite"] == lost
    assert all(row[key] == (None if key in lost else values.get(key)) for key in METRICS)


@given(rows)
def test_metrics_row(values):
    check_row(metrics_row, values)


@pytest.mark.parametrize(
    "mutant",
    [
        lambda **values: json.dumps({key: values.get(key) for key in METRICS} | {"nonfinite": []}),
        lambda **values: json.dumps(with_nonfinite(values)),
        lambda **values: metrics_row(**{key: v if v == v else 0.0 for key, v in values.items()}),
    ],
)
def test_check_row_rejects(mutant):
    with pytest.raises(AssertionError):
        check_row(mutant, {"step": 1, "elbo": math.nan})


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
