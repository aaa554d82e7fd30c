"""`vae-fn bench`: a real run of a step of one's own, what is said of made-up times."""

import json
import re

import pytest

import vae_fn.bench
from tests.bench.canned import row
from tests.cli.benches import bench
from vae_fn.cli import timed
from vae_fn.cli.benched import of_user
from vae_fn.cli.main import main
from vae_fn.errors import UserError

COLUMNS = {
    *("name", "precision", "device", "batch", "samples", "members", "compile_cold_s", "compile_warm_s"),
    *("break_even_steps", "ms_per_step", "speedup", "examples_per_second", "flops_per_step", "gflop_per_second"),
    *("bytes_per_step", "gb_per_second", "limit_ms", "limit_products_ms", "limit_state_ms", "limit_ways"),
    *("ratio_to_limit", "peak_mb", "process_peak_mb", "graph_breaks", "recompiles", "graphs", "kernels"),
    *("extern_calls", "overhead_us", "parity", "instructions", "notes", "steps_per_window", "windows_ms"),
}


def test_a_real_run(mine, capsys):
    own = ["mine.py:step", "--args", "mine.py:make_args", "--rows", "eager,donated", "--batch-sizes", "32"]
    assert main(["bench", *own, "--windows", "5", "--steps", "3", "--json", "out.json", "--figure", "out.svg"]) == 0
    told = capsys.readouterr()
    assert "100%" in told.err
    assert "results in out.json, out.svg" in told.out
    content = json.loads((mine / "out.json").read_text())
    eager, donated = content["rows"]
    for each in (eager, donated):
        assert each.keys() == COLUMNS
        assert len(each["windows_ms"]) == 5
        assert 0 < each["ms_per_step"]["min"] <= each["ms_per_step"]["median"]
        assert (each["batch"], each["samples"], each["steps_per_window"]) == (32, None, 3)
        assert (each["graph_breaks"], each["recompiles"]) == (0, 0)
        assert each["flops_per_step"] == 2 * 2 * 32 * 8 * 8
        assert each["parity"] < 1e-5
        assert each["limit_ms"] > 0
    assert (eager["compile_cold_s"], eager["graphs"], eager["kernels"]) == (None, 0, None)
    assert donated["compile_cold_s"] > donated["compile_warm_s"] > 0
    assert (donated["graphs"], donated["kernels"] > 0, donated["overhead_us"] > 0) == (1, True, True)
    here = content["environment"]
    assert {"processor", "torch", "threads", "variables", "load_before", "load_after"} <= here.keys()


def test_a_batch_size_is_handed_to_the_users_function(mine):
    assert [len(of_user("mine.py:step", "mine.py:make_args", size, {}).inputs[0]) for size in (None, 5)] == [16, 5]


@pytest.mark.parametrize(
    ("step", "args", "message"),
    [
        ("mine.py:stepp", "mine.py:make_args", "mine.py has no 'stepp'. Did you mean step?"),
        ("nowhere:step", "mine.py:make_args", "there is no module 'nowhere'"),
        ("mine.py:step", "other.py:make_args", "there is no file other.py"),
        ("mine.py:number", "mine.py:make_args", "mine.py:number is of type int: give a function"),
        ("mine.py:step", "mine.py:list_of_args", r"must return a tuple \(state, \*inputs\), not list"),
        ("mine.py:step", "mine.py:step", "mine.py:step must take a batch size, given by --batch-sizes, or nothing"),
        ("mine.py:step", "mine.py:sized", "mine.py:sized takes a batch size: give it one by --batch-sizes"),
        ("mine.py:writes", "mine.py:make_args", "mine.py:writes is not pure: it writes to its arguments"),
        ("mine.py:alone", "mine.py:make_args", r"mine.py:alone must return \(state, info\), not dict"),
        ("mine.py:fails", "mine.py:make_args", r"mine.py:fails raised ValueError: no \(mine.py, line 21\)"),
    ],
)
def test_a_step_that_cannot_be_timed_is_refused_in_one_line(step, args, message, mine):
    with pytest.raises(UserError, match=message):
        of_user(step, args, None, {})


def test_a_batch_size_for_a_function_that_takes_none_is_refused(mine):
    with pytest.raises(UserError, match=r"mine\.py:list_of_args takes no batch size: leave out --batch-sizes, or have"):
        of_user("mine.py:step", "mine.py:list_of_args", 32, {})


def test_such_a_refusal_comes_through_the_other_process(mine, capsys):
    assert main(["bench", "mine.py:writes", "--args", "mine.py:make_args", "--rows", "eager", "--quiet"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == (
        "vae-fn bench: error: mine.py:writes is not pure: it writes to its arguments: return a new state instead\n"
    )


def test_what_is_said_of_a_gain(measured, tmp_path, capsys):
    assert bench("--batch-sizes", "64,32", "--figure", tmp_path / "f.png", "--windows", "5", "--quiet") == 0
    assert capsys.readouterr().out == ""
    assert (tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")
    assert bench("--batch-sizes", "64,32") == 0
    out = capsys.readouterr().out
    assert out.index(" 32 ") < out.index(" 64 ")
    assert re.search(r"2\.8[78] \(2\.82 \.\. 2\.9[34]\)", out)
    assert "no gain" not in out
    measured["donated"] = [10.0] * 5
    assert bench() == 0
    assert "no gain" in capsys.readouterr().out


@pytest.mark.parametrize(("before", "after", "busy"), [(0.1, 2.5, False), (1.5, 2.0, True), (0.1, 9.0, True)])
def test_a_busy_machine_is_told(before, after, busy):
    environment = {"threads": 2, "load_before": [before], "load_after": [after]}
    rows = [row([3.0] * 5, [9.0] * 5)]
    said = timed.report({"rows": rows, "environment": environment})
    assert ("the machine was busy" in said) == busy
    load = f"(load average {before:.2f} before; {after:.2f} after, where up to 3 are this measurement's own)"
    assert (load in said) == busy


def test_a_legend_is_of_the_columns_that_are_shown():
    quiet = {"threads": 2, "load_before": [0.0], "load_after": [0.0]}
    eager, donated = row([9.0] * 5, [9.0] * 5, "eager"), row([3.0] * 5, [9.0] * 5)
    alone = row([3.0] * 5) | {"parity": None, "notes": {"parity": "the step does not run in float64"}}
    told = {
        name: timed.report({"rows": rows, "environment": quiet})
        for name, rows in (("both", [eager, donated]), ("alone", [alone]), ("eager", [cleared(eager)]))
    }
    meant = ("cold, warm: ", "even after: ", "limit: ", "parity: ")
    assert [text in told["both"] for text in meant] == [True] * 4
    assert [text in told["alone"] for text in meant] == [True, False, True, False]
    assert [text in told["eager"] for text in meant] == [False, False, True, True]
    assert all("(more: docs/bench.md)" in said for said in told.values())
    assert told["alone"].endswith("no parity of donated: the step does not run in float64")


def cleared(eager):
    """A row of a step that is not compiled."""
    return eager | dict.fromkeys(("compile_cold_s", "compile_warm_s"))


def test_recompiles_and_an_impossible_limit_are_told():
    environment = {"threads": 2, "load_before": [0.0], "load_after": [0.0]}
    rows = [row([3.0] * 5, [9.0] * 5) | {"recompiles": 2, "ratio_to_limit": 0.5}]
    said = timed.report({"rows": rows, "environment": environment})
    assert "donated was compiled again 2 times" in said
    assert "donated is below the limit" in said


def test_another_program_is_told_by_its_parity():
    environment = {"threads": 2, "load_before": [0.0], "load_after": [0.0]}
    rows = [row([9.0] * 5, [9.0] * 5, "eager"), row([3.0] * 5, [9.0] * 5, parity=2e-5), row([3.0] * 5, [9.0] * 5)]
    said = timed.report({"rows": rows, "environment": environment})
    assert said.count("does not compute the same") == 1
    assert "donated does not compute the same: its parameters are 2.0e-05 off, of 1.0e-05 allowed" in said


@pytest.mark.parametrize(
    ("precision", "reference", "allowed"),
    [
        ("float32", None, 1e-2),
        ("float32", 1e-6, 1e-4),
        ("float32", 3e-4, 1e-2),
        ("bfloat16", None, 0.5),
        ("bfloat16", 1e-3, 0.1),
    ],
)
def test_the_parity_of_every_row_has_a_bound(precision, reference, allowed):
    environment = {"threads": 2, "load_before": [0.0], "load_after": [0.0]}
    for factor, told in ((0.9, 0), (1.1, 1)):
        rows = [row([3.0] * 5, parity=factor * allowed) | {"precision": precision}]
        if reference is not None:
            rows.append(row([9.0] * 5, name="eager", parity=reference) | {"precision": precision})
        said = timed.report({"rows": rows, "environment": environment})
        expected = f"donated does not compute the same: its parameters are {factor * allowed:.1e} off, of {allowed:.1e}"
        assert said.count(expected) == told


def test_what_was_measured_before_a_fault_is_told_and_kept(monkeypatch, tmp_path, capsys):
    def measure(sources, names, settings, progress):
        yield row([9.0] * 5, [9.0] * 5, "eager")
        raise UserError("--batch-size 64 is too large")

    monkeypatch.setattr(vae_fn.bench, "measure", measure)
    assert bench("--batch-sizes", "32,64", "--json", tmp_path / "out.json", rows="eager") == 2
    told = capsys.readouterr()
    assert told.err.endswith("vae-fn bench: error: --batch-sizes 64 is too large\n")
    assert "eager" in told.out
    assert len(json.loads((tmp_path / "out.json").read_text())["rows"]) == 1


def test_times_are_held_against_a_baseline(measured, tmp_path, capsys):
    baseline = tmp_path / "base.json"
    assert bench("--json", baseline, "--quiet") == 0
    assert bench("--against", baseline) == 0
    out = capsys.readouterr().out
    assert "1.000 (0.882 .. 1.133)" in out
    assert "0.875 at least" in out
    measured["donated"] = [value * 1.2 for value in measured["donated"]]
    assert bench("--against", baseline, "--at-most", "1.3") == 0
    capsys.readouterr()
    assert bench("--against", baseline, "--quiet") == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == (
        "vae-fn bench: slower: donated (float32, cpu, batch 128, K 1) takes 3.84 ms a step, 1.200 times the 3.2 of the "
        "baseline, more than 1.1\n"
    )


def test_a_baseline_without_a_row_of_the_plan_is_refused_before_anything_is_measured(measured, tmp_path, capsys):
    baseline = tmp_path / "base.json"
    assert bench("--json", baseline, "--quiet") == 0
    unmeasured = tmp_path / "out.json"
    there = "eager, batch 128, samples 1, members 1; donated, batch 128, samples 1, members 1"
    for option, size, named in (
        ("--batch-sizes", 64, "batch"),
        ("--sample-counts", 2, "samples"),
        ("--members", 8, "members"),
    ):
        planned = re.sub(rf"{named} \d+", f"{named} {size}", there)
        assert bench("--against", baseline, "--json", unmeasured, option, str(size)) == 2
        reason = f"has none of the rows to be measured, which are {planned}; it has {there}: choose of these, or"
        assert capsys.readouterr() == ("", f"vae-fn bench: error: {baseline} {reason} measure it anew\n")
    assert bench("--against", baseline, rows="epoch") == 2
    assert not unmeasured.exists()


def test_what_compare_takes_stands_in_the_usage(capsys):
    with pytest.raises(SystemExit):
        main(["bench", "--help"])
    assert "--compare BEFORE AFTER " in capsys.readouterr().out


def test_a_baseline_of_another_machine_is_refused_unless_told(measured, tmp_path, capsys):
    baseline = tmp_path / "base.json"
    assert bench("--json", baseline, "--quiet") == 0
    content = json.loads(baseline.read_text())
    content["environment"] |= {"threads": 64}
    baseline.write_text(json.dumps(content))
    assert bench("--against", baseline) == 2
    assert "was measured elsewhere (threads 64 and " in capsys.readouterr().err
    assert bench("--against", baseline, "--anyway") == 0
    assert "the environments differ: threads 64 and " in capsys.readouterr().out


def test_two_files_are_compared(measured, tmp_path, capsys):
    first, second = tmp_path / "a.json", tmp_path / "b.json"
    assert bench("--json", first, "--quiet") == 0
    measured["donated"] = [6.4] * 5
    assert bench("--json", second, "--quiet") == 0
    assert main(["bench", "--compare", str(first), str(second)]) == 0
    assert "2.000 (1.882 .. 2.133)" in capsys.readouterr().out


def test_rows_are_listed(capsys):
    assert main(["bench", "--list-rows"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [*vae_fn.bench.VARIANTS]
