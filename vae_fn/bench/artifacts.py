"""What one attaches to a report of a fault: graphs, generated code, the log of compiling, a trace, counts of calls."""

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from vae_fn.bench.compiled import calls_of, whole
from vae_fn.bench.fresh import Say, call
from vae_fn.bench.measuring import cache_variables
from vae_fn.bench.subject import Source, clone
from vae_fn.bench.variants import VARIANTS
from vae_fn.bench.windows import synchronize
from vae_fn.errors import UserError

LOGS = "graph_code,aot_graphs,output_code,graph_breaks,recompiles,guards"
"""What is logged of compiling, as `TORCH_LOGS` takes it."""

TRACED = 3
"""Steps in the trace."""


def write_artifacts(
    sources: Sequence[Source],
    names: Sequence[str],
    folder: Path,
    progress: Callable[[str], None] = lambda what: None,
) -> None:
    """Compile each row in a process of its own that writes everything down; the folder appears when all is there.

    Args:
        sources: of the step, at each size.
        names: of rows.
        folder: to make, with a folder for each row and its sizes in it.
        progress: hears of each row that is done.

    Raises:
        UserError: the folder is there already or cannot be made, or as `measure`.
    """
    if folder.exists() or not folder.parent.is_dir():
        raise UserError(f"{folder} must be a new folder in one that exists: give another --artifacts")
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as making:
        whole_folder = Path(making) / folder.name
        for source in sources:
            for name in names:
                _write_row(source, name, whole_folder / _named(name, source))
                progress(f"{name}: artifacts")
        whole_folder.rename(folder)


def _named(name: str, source: Source) -> str:
    """The name of a row and its sizes, which tell it from the others."""
    members = source.members if source.members > 1 else None
    sizes = {"batch": source.batch, "samples": source.samples, "members": members}
    return "-".join([name, *(f"{what}-{size}" for what, size in sizes.items() if size is not None)])


def _write_row(source: Source, name: str, place: Path) -> None:
    place.mkdir(parents=True)
    request = {"source": source, "variant": name, "trace": str(place / "trace.json")}
    with tempfile.TemporaryDirectory(prefix="vae_fn-bench-") as scratch:
        variables = {"TORCH_COMPILE_DEBUG": "1", "TORCH_COMPILE_DEBUG_DIR": scratch, "TORCH_LOGS": LOGS}
        variables |= cache_variables(Path(scratch))
        call("vae_fn.bench.artifacts:record", request, variables, log=place / "compile.log")
        _keep_graphs(Path(scratch), place)


def _keep_graphs(debug: Path, place: Path) -> None:
    """Graphs and code from where the compiler left them, each graph's in a folder, and the counts of its calls."""
    counts = {}
    for number, found in enumerate(sorted(debug.glob("torch_compile_debug/*/torchinductor/*/"))):
        graph = place / f"graph-{number}"
        shutil.copytree(found, graph)
        code = graph / "output_code.py"
        counts[graph.name] = calls_of(code.read_text(encoding="utf-8"))._asdict() if code.exists() else None
    (place / "calls.json").write_text(json.dumps(counts, indent=2) + "\n", encoding="utf-8")


def record(request: Mapping[str, Any], say: Say) -> None:
    """In a new process: call a row's program once, and write a trace of the next calls in Chrome's format."""
    del say
    variant = VARIANTS[request["variant"]]
    subject = Source(*request["source"]).subject(variant.settings)
    advance = variant.make(subject)
    with whole(request["variant"]):
        state = advance(clone(subject.state), 1)
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if torch.cuda.is_available() else [])]
    with profile(activities=activities) as profiler:
        advance(state, TRACED)
        synchronize()
    profiler.export_chrome_trace(request["trace"])
