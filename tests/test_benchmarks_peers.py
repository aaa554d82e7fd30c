"""The comparison with other programs: its protocol, its refusals, its table and its figure."""

import importlib.util
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parent.parent / "benchmarks" / "peers"
EAGER = {"form": "eager"}

MUTANT = """
import sys
sys.path.insert(0, {folder!r})
import program

def build(sizes, given, options):
    return program.Program(lambda steps: None, lambda rows, noise: [500.0] * len(rows))

program.serve(build)
"""

ABSENT = """
import sys
sys.path.insert(0, {folder!r})
import program

def build(sizes, given, options):
    import a_package_that_is_not_there

program.serve(build)
"""


@pytest.fixture(scope="module")
def peers():
    """The modules of the comparison, imported as its scripts import them."""
    timing = ("task", "others", "process", "reference", "rows", "report")
    names = (*timing, "compare", "scaling", "scaling_figure", "readme")
    sys.path.insert(0, str(FOLDER))
    try:
        yield {name: importlib.import_module(name) for name in names}
    finally:
        sys.path.remove(str(FOLDER))
        for name in names:
            sys.modules.pop(name, None)


@pytest.fixture
def row(peers, tmp_path):
    """A row of a program whose source is given; a row of this package's step without one."""

    def make(name, source=None):
        path = FOLDER / "ours.py"
        if source:
            path = tmp_path / f"program_{len(name)}.py"
            path.write_text(source.format(folder=str(FOLDER)))
        return peers["process"].Row(name, "vae_fn", "float32", str(path), EAGER)

    return make


@pytest.fixture
def measure(peers):
    sizes = peers["task"].Task(batch=4, hidden=16, chunk=2)
    images = np.random.default_rng(0).integers(0, 256, (40, 784), dtype=np.uint8)

    def measured(*rows):
        surroundings = dict(peers["process"].os.environ) | {"OMP_NUM_THREADS": "1"}
        return peers["compare"].measure(rows, sizes, images, 2, 2, rows[0].name, surroundings)

    return measured


def test_programs_of_one_step_are_timed_and_shown(peers, row, measure):
    record = measure(row("one"), row("another"), row("absent", ABSENT))
    one, another = record["rows"]
    assert (one["name"], another["name"]) == ("one", "another")
    assert one["ratio"] == {"min": 1, "q1": 1, "median": 1, "q3": 1}
    assert one["parity"]["loss"] == another["parity"]["loss"] == pytest.approx(record["right_losses"][0], rel=1e-6)
    assert one["parity"]["later_loss"] == pytest.approx(record["right_losses"][1], rel=1e-5)
    assert 0 < another["ms_per_step"]["min"] <= another["ms_per_step"]["median"]
    assert another["peak_mb"] >= another["windows_mb"] > 10
    assert record["left_out"] == [{"name": "absent", "missing": "a_package_that_is_not_there"}]
    record = json.loads(json.dumps(record)) | {"threads": 1, "environment": {"processor": "a processor"}}
    shown = peers["report"].table(record)
    assert "another" in shown
    assert "a_package_that_is_not_there is not installed: pip install 'vae-fn[peers]'" in shown
    assert peers["report"].figure(record).startswith(b"\x89PNG")


def test_a_program_of_another_loss_is_refused(peers, row, measure):
    with pytest.raises(peers["reference"].ParityError, match=r"mutant does not do the same step: .* Nothing was timed"):
        measure(row("mutant", MUTANT))


@pytest.mark.parametrize("losses", [[543.2, 400.0, 300.0], [543.0, 400.0, 300.1], [543.0, 400.0, float("nan")]])
def test_a_loss_beyond_its_bound_is_refused(peers, losses):
    right, check = [543.0, 400.0, 300.0], peers["reference"].check
    assert check("right", "float32", [543.001, 400.0, 300.01], right)["later_error"] == pytest.approx(0.01 / 300)
    with pytest.raises(peers["reference"].ParityError):
        check("wrong", "float32", losses, right)
    if losses[-1] == losses[-1]:
        assert check("coarse", "bfloat16", losses, right)["error"] == abs(losses[0] - 543) / 543


IN_JAX = {
    "a call a step": ({}, lambda peers: peers["rows"].JAX[0]),
    "the K-sample bound in slices": (
        {"samples": 3, "objective": "iwae", "microbatch": 2},
        lambda peers: peers["scaling"].JAX,
    ),
    "members side by side": ({"members": 2}, lambda peers: peers["scaling"].SIDE_BY_SIDE),
}


@pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("jax", "optax"))),
    reason="JAX or Optax is not installed: pip install 'vae-fn[peers]'",
)
@pytest.mark.parametrize("name", IN_JAX)
def test_programs_in_jax_have_our_losses_on_the_same_weights(name, peers, tmp_path):
    changes, row = IN_JAX[name]
    images = np.random.default_rng(0).integers(0, 256, (40, 784), dtype=np.uint8)
    right = peers["reference"].prepare(tmp_path, peers["task"].Task(batch=4, hidden=16, chunk=2, **changes), images, 2)
    surroundings = dict(os.environ) | {"OMP_NUM_THREADS": "1", "JAX_PLATFORMS": "cpu"}
    with peers["process"].started([row(peers)], tmp_path, surroundings) as ([program], _):
        peers["reference"].check(program.row.name, program.row.precision, program.ready["losses"], right)


def test_a_program_that_breaks_says_why(peers, row, measure):
    with pytest.raises(peers["process"].Failed, match=r"broken: it ended without a word\n(?s:.*)SyntaxError"):
        measure(row("broken", "import {folder!r}"))


def test_rows_have_names_of_their_own_and_programs_that_exist(peers):
    rows = peers["rows"].ROWS
    assert len({row.name for row in rows}) == len(rows)
    assert peers["rows"].REFERENCE in {row.name for row in rows}
    assert all((FOLDER / row.file).is_file() for row in rows)
    assert all(row.precision in peers["reference"].FIRST for row in rows)
    assert peers["report"].select(rows, ["scan"]) == [row for row in rows if "scan" in row.name]


def test_scaling_tells_exponents_and_is_drawn(peers):
    def row(name, ms):
        times = {"min": ms, "q1": ms, "median": ms, "q3": ms}
        return {"name": name, "framework": name, "ms_per_step": times, "windows_mb": 500.0}

    points = {str(n): [row("this package", 3.0 * n), row("JAX", 2.0 * max(n, 2) ** 2)] for n in (1, 2, 4)}
    found = peers["scaling"].exponents(points)
    assert found["this package"] == pytest.approx({"all": 1, "last": 1})
    assert found["JAX"] == pytest.approx({"all": 1, "last": 2})
    record = {"axes": {"width": points}, "exponents": {"width": found}, "windows": 3, "threads": 1}
    record |= {"environment": {"processor": "a processor"}}
    assert "time grows with width to the power 1.00 (2.00 at the end): JAX" in peers["scaling"].table(record)
    assert peers["scaling_figure"].draw(record).startswith(b"\x89PNG")


def test_others_are_those_that_are_not_timed(peers, tmp_path, monkeypatch):
    """On processors 0 and 2 of three: 160 ticks of work in a second, of which 40 + 20 + 10 are of what is timed."""
    others = peers["others"]

    def write(stat, own, timed):
        (tmp_path / "stat").write_text(stat)
        for pid, times in ((os.getpid(), own), (7, timed)):
            (tmp_path / str(pid)).mkdir(exist_ok=True)
            (tmp_path / str(pid) / "stat").write_text(f"{pid} (a name) R) {'0 ' * 11}{times} 20 0")

    monkeypatch.setattr(others, "PROC", tmp_path)
    monkeypatch.setattr(others.os, "sched_getaffinity", lambda pid: {0, 2})
    monkeypatch.setattr(others.os, "sysconf", lambda name: 100)
    monkeypatch.setattr(others.time, "monotonic", lambda: 5.0)
    write("cpu 9 9\ncpu0 5 0 5 50 0 0 0 0 0 0\ncpu1 0 0 0 0 0 0 0 0\ncpu2 0 0 0 60 3 0 0 0", "5 0 0 0", "0 0 0 0")
    clock = others.Others([7])
    monkeypatch.setattr(others.time, "monotonic", lambda: 6.0)
    write("cpu 9 9\ncpu0 55 0 15 90 0 0 0 9 7 7\ncpu1 99 9 9 9 9 9 9 9\ncpu2 90 0 0 70 9 1 0 0", "45 0 0 0", "12 3 8 7")
    assert clock.share() == pytest.approx((160 - 70) / 100 / 2)


def test_axes_of_the_scaling_are_fields_of_a_task(peers):
    for axis, sizes in peers["scaling"].AXES.items():
        assert [getattr(task, axis) if axis != "width" else task.hidden // 512 for task in sizes.values()] == [*sizes]
        assert all(task.chunk >= 1 for task in sizes.values())
        assert axis in peers["scaling_figure"].LABELS
        assert {row.name for row in peers["scaling"].programs(axis)} <= peers["scaling_figure"].LOOKS.keys()


def test_the_tables_in_the_readme_are_those_of_the_records(peers):
    text = peers["readme"].README.read_text()
    assert peers["readme"].filled(text) == text, "run benchmarks/peers/readme.py"
    unrecorded = peers["readme"].filled(text, Path("nowhere"))
    assert unrecorded.count("Not yet recorded.") == 2
