"""What is kept for a report of a fault: all of it or nothing."""

import json

import pytest

from tests.bench.test_compiled import CODE
from vae_fn.bench import Source, artifacts
from vae_fn.bench.artifacts import write_artifacts
from vae_fn.errors import UserError

SOURCE = Source("tests.bench.toys:subject", {}, batch=16)


@pytest.fixture
def recorder(monkeypatch):
    """A process that leaves what the compiler leaves."""

    def call(function, request, environment, log):
        graph = artifacts.Path(environment["TORCH_COMPILE_DEBUG_DIR"]) / "torch_compile_debug/run/torchinductor/model_0"
        graph.mkdir(parents=True)
        (graph / "output_code.py").write_text(CODE)
        (graph / "fx_graph_readable.py").write_text("graph")
        (graph.parent / "debug.log").write_text("no graph")
        log.write_text("compiled")
        artifacts.Path(request["trace"]).write_text("{}")

    monkeypatch.setattr(artifacts, "call", call)


def test_each_row_and_size_has_a_folder(recorder, tmp_path):
    heard = []
    write_artifacts([SOURCE, SOURCE._replace(batch=None)], ["donated"], tmp_path / "kept", heard.append)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == ["donated", "donated-batch-16"]
    row = tmp_path / "kept" / "donated"
    assert sorted(path.name for path in row.iterdir()) == ["calls.json", "compile.log", "graph-0", "trace.json"]
    assert sorted(path.name for path in (row / "graph-0").iterdir()) == ["fx_graph_readable.py", "output_code.py"]
    assert json.loads((row / "calls.json").read_text()) == {"graph-0": {"kernels": 4, "extern": 2}}
    assert len(heard) == 2


def test_sizes_of_any_kind_tell_folders_apart(recorder, tmp_path):
    sources = [SOURCE, SOURCE._replace(samples=2), SOURCE._replace(samples=8), SOURCE._replace(samples=8, members=3)]
    write_artifacts(sources, ["epoch"], tmp_path / "kept")
    names = {path.name.removeprefix("epoch-batch-16") for path in (tmp_path / "kept").iterdir()}
    assert names == {"", "-samples-2", "-samples-8", "-samples-8-members-3"}


def test_nothing_is_left_where_a_row_fails(tmp_path):
    source = SOURCE._replace(function="tests.bench.toys:breaking")
    with pytest.raises(UserError, match="cannot be compiled whole"):
        write_artifacts([source], ["donated"], tmp_path / "kept")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["there", "nowhere/new"])
def test_only_a_new_folder_is_written(place, tmp_path):
    (tmp_path / "there").mkdir()
    with pytest.raises(UserError, match="must be a new folder in one that exists"):
        write_artifacts([SOURCE], ["eager"], tmp_path / place)


def test_a_real_trace(tmp_path):
    write_artifacts([SOURCE], ["eager"], tmp_path / "kept")
    trace = json.loads((tmp_path / "kept" / "eager-batch-16" / "trace.json").read_text())
    assert sum(event.get("name") == "aten::mm" for event in trace["traceEvents"]) == 2 * artifacts.TRACED
