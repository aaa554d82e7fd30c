"""All rows in one process, here in this one, and eager."""

import pytest

from vae_fn.bench.steady import steady
from vae_fn.bench.variants import VARIANTS


@pytest.fixture
def measured(monkeypatch):
    """A function of a subject's name: what is told of two eager rows, and said on the way."""

    def measure(name, steps=2):
        monkeypatch.setitem(VARIANTS, "again", VARIANTS["eager"])
        said = []
        request = {"source": (f"tests.bench.toys:{name}", {}), "caches": {"eager": None, "again": None}}
        return steady(request | {"windows": 5, "steps": steps}, said.append), said

    return measure


def test_every_row_is_measured(measured):
    told, said = measured("subject")
    assert said[:2] == ["eager: ready", "again: ready"]
    assert said.count("eager: window") == said.count("again: window") == 5
    for row in told.values():
        assert len(row["windows_ms"]) == 5
        assert min(row["windows_ms"]) > 0
        assert 0 < row["parity"] < 1e-6
        assert (row["steps"], row["precision"], row["device"], row["overhead_us"]) == (2, "float32", "cpu", None)
        assert (row["flops"], row["bytes"]) == (2 * (2 * 16 * 8 * 8), 2 * (8 * 8 * 4 + 8))
    assert told["eager"]["limit"] == told["again"]["limit"]


def test_rows_share_a_subject_that_is_never_made_the_same_again(measured):
    told, _ = measured("another")
    assert all(row["parity"] < 1e-6 for row in told.values())


def test_without_float64_there_is_no_parity(measured):
    assert measured("narrow")[0]["eager"]["parity"] is None


def test_a_window_without_a_number_of_steps_is_long_enough(measured):
    told, _ = measured("subject", steps=None)
    assert told["eager"]["steps"] > 2
