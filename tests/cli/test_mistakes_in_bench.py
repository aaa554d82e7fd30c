"""Every mistake at `vae-fn bench` is one line that says what to do."""

import pytest

import vae_fn.bench
from tests.bench.canned import SOURCE
from tests.cli.benches import bench
from vae_fn.cli import benched
from vae_fn.cli.main import main
from vae_fn.compiling import processor


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("--rows eagre", "there is no row 'eagre'. Did you mean eager?"),
        ("--rows ,", "--rows takes names with commas between"),
        ("--windows 4", "--windows must be 5 or more, and at most 10,000, not 4"),
        ("--steps 0", "--steps must be positive"),
        ("--batch-sizes 1,x", "--batch-sizes are positive numbers with commas between, not '1,x'"),
        ("--no-compile", "--no-compile is no option of a bench: use --rows, which names the ways to run the step"),
        ("--cuda-graph", "--cuda-graph is no option of a bench: use --rows, which names the ways to run the step"),
        ("--batch-size 3", "--batch-size is no option of a bench: use --batch-sizes"),
        ("--samples 3", "--samples is no option of a bench: use --sample-counts"),
        ("--sample-counts 0", "--sample-counts are positive numbers with commas between, not '0'"),
        ("--members 1,2 --microbatch 8", "members side by side take no micro-batches: leave --members or --microbatch"),
        ("--members 2,-1", "--members are positive numbers with commas between, not '2,-1'"),
        ("mine.py:step --args mine.py:make_args --members 2", "--sample-counts and --members are sizes of a preset's"),
        (
            "quick --args mine.py:make_args",
            "--args belongs to a step of your own, which comes first, as in `vae-fn bench my_file.py:step --args ",
        ),
        ("--runs-dir x", "--runs-dir is no option of a bench: use nothing: there is no run"),
        ("--figure out.pdf", "--figure must end in .png or .svg"),
        ("--json nowhere/out.json", "--json must be a file in an existing folder"),
        ("--artifacts .", "--artifacts must be a new folder in one that exists, not ."),
        ("--at-most 2", "give it by --against FILE"),
        ("--against none.json", "none.json: No such file or directory: give a file that --json wrote"),
        ("--against mine.py", "mine.py is no JSON: give a file that --json wrote"),
        ("--against no_table.json", "no_table.json is no table of a bench"),
        ("--compare mine.py", "--compare takes a path and a path, not 'mine.py'"),
        (
            "mine.py",
            "name the step in mine.py, and what makes its arguments, as in `vae-fn bench my_file.py:step --args",
        ),
        ("tutoral", "unknown preset 'tutoral'. Did you mean tutorial?"),
        ("--data nothing.npy --rows eager", "nothing.npy"),
        ("steps.py:step", "steps.py:step needs a state and inputs: name a function that returns them by --args"),
        ("mine.py:step", "mine.py:step needs a state and inputs: name a function that returns them by --args"),
        ("mine.py:step --args mine.py:make_args --rows bfloat16", "the row 'bfloat16' changes precision of a preset"),
        (
            "mine.py:step --args mine.py:make_args --rows cuda-graph",
            "'cuda-graph' is for cuda, which is not here",
        ),
        ("mine.py:step --args mine.py:make_args --latents 3", "unknown option '--latents'"),
    ],
)
def test_a_mistake_is_one_line(args, message, mine, capsys):
    (mine / "no_table.json").write_text("{}")
    assert main(["bench", *args.split(), "--quiet"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("vae-fn bench: error: ")
    assert message in told.err
    assert told.err.count("\n") == 1


def test_without_a_compiler_only_eager_steps_are_timed(measured, monkeypatch, capsys):
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert bench() == 2
    assert "there is no C++ compiler: install g++, or use --rows eager" in capsys.readouterr().err
    assert bench(rows="eager") == 0


def test_a_row_for_another_device_is_refused(measured, monkeypatch, capsys):
    monkeypatch.setitem(vae_fn.bench.VARIANTS, "gpu", vae_fn.bench.VARIANTS["eager"]._replace(only="cuda"))
    assert bench(rows="gpu") == 2
    assert "the row 'gpu' is for cuda, not for cpu: leave it out" in capsys.readouterr().err


def test_a_row_without_micro_batches_is_refused_and_left_out_of_all(measured, monkeypatch, capsys):
    variants = {name: vae_fn.bench.VARIANTS[name]._replace(only="cpu") for name in ("epoch", "cuda-graph")}
    monkeypatch.setattr(vae_fn.bench, "VARIANTS", variants)
    assert bench("--microbatch", "8", rows="cuda-graph") == 2
    assert "the row 'cuda-graph' takes no micro-batches: leave it out" in capsys.readouterr().err
    assert bench("--microbatch", "8", rows="all") == 0
    assert "cuda-graph" not in capsys.readouterr().out


def test_a_row_that_the_processor_cannot_run_is_refused_and_left_out_of_all(measured, monkeypatch, capsys):
    older = processor.Processor("AuthenticAMD", "23", frozenset({"fpu", "avx2", "fma"}))
    monkeypatch.setattr(processor, "of_this_machine", lambda: older)
    assert bench(rows="tiled") == 2
    told = "the row 'tiled' needs AVX-512, which this processor lacks or ATEN_CPU_CAPABILITY forbids: leave it out"
    assert told in capsys.readouterr().err
    assert bench(rows="all") == 0
    assert "tiled" not in capsys.readouterr().out


def test_want_of_memory_in_another_process_is_one_line(monkeypatch, capsys):
    monkeypatch.setattr(benched, "settings_source", lambda config, members: SOURCE)
    monkeypatch.setattr(vae_fn.bench.measuring, "call", _no_memory)
    assert bench("--quiet", rows="eager") == 2
    assert capsys.readouterr().err == (
        "vae-fn bench: error: it does not fit into memory: use smaller --batch-sizes, or with a preset --microbatch 16 "
        "or less\n"
    )


def _no_memory(*args):
    raise RuntimeError("Traceback ...\nRuntimeError: DefaultCPUAllocator: can't allocate memory")
