"""Too little memory and a step that cannot be compiled: each is one line that says what to do."""

import pytest
import torch

from tests.run.runs import options, write_images
from vae_fn.cli.main import main
from vae_fn.run.config import TrainConfig
from vae_fn.run.faults import in_a_line
from vae_fn.training import step

GO_ON = "go on from step 3 with --resume runs/a"
ALLOCATOR = RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried")


class InductorError(RuntimeError):
    """As torch names it."""


@pytest.mark.parametrize(
    "fault", [ALLOCATOR, MemoryError(), torch.OutOfMemoryError("CUDA out of memory"), InductorError(f"{ALLOCATOR}")]
)
def test_want_of_memory_is_known_in_every_form(fault):
    assert "does not fit into memory" in (in_a_line(fault, TrainConfig(), GO_ON) or "")


def test_other_faults_keep_their_traceback():
    for fault in (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), ValueError("out of memory"), KeyError()):
        assert in_a_line(fault, TrainConfig(), GO_ON) is None


@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        ({}, f"{GO_ON} --microbatch 32, or train anew with a smaller --batch-size or fewer --samples"),
        ({"microbatch": 8}, f"{GO_ON} --microbatch 2, or train anew with a smaller --batch-size or fewer --samples"),
        ({"microbatch": 3}, f"{GO_ON} --microbatch 1, or train anew with a smaller --batch-size or fewer --samples"),
        ({"microbatch": 1}, "train anew with a smaller --batch-size or fewer --samples"),
        ({"estimator": "nvil"}, "train anew with a smaller --batch-size or fewer --samples"),
        (
            {"device": "cuda", "cuda_graph": True},
            f"{GO_ON} --microbatch 32 --no-cuda-graph, or train anew with a smaller --batch-size or fewer --samples",
        ),
    ],
)
def test_the_advice_is_one_that_can_be_followed(changes, advice):
    line = in_a_line(ALLOCATOR, TrainConfig(**changes), GO_ON)
    assert line == f"the step does not fit into memory: {advice}"


def test_what_cannot_be_compiled_goes_on_without():
    line = in_a_line(InductorError("CppCompileError: no g++\nand more"), TrainConfig(), GO_ON)
    assert line == f"the step cannot be compiled (CppCompileError: no g++); {GO_ON} --no-compile"
    replayed = TrainConfig(device="cuda", cuda_graph=True)
    assert (in_a_line(InductorError("no"), replayed, GO_ON) or "").endswith(f"{GO_ON} --no-compile --no-cuda-graph")


@pytest.fixture
def little_memory(monkeypatch):
    """A machine that holds the networks' work on ten images, whatever is done with them."""
    total = step.totals_of

    def totals(vae, params, context, estimate):
        if len(estimate.value) > 10:
            raise ALLOCATOR
        return total(vae, params, context, estimate)

    monkeypatch.setattr(step, "totals_of", totals)


@pytest.mark.usefixtures("little_memory")
def test_a_run_that_does_not_fit_goes_on_with_the_option_that_it_is_offered(tmp_path, capsys):
    write_images(tmp_path)
    args = options(tmp_path, batch_size=32)
    assert main(["train", *map(str, args)]) == 2
    err = capsys.readouterr().err
    run = tmp_path / "runs" / "small"
    offered = f"go on from step 0 with --resume {run} --microbatch 8"
    assert f"the step does not fit into memory: {offered}, or train anew" in err
    assert "Traceback" not in err
    assert main(["train", "--resume", str(run), "--microbatch", "8", "--quiet"]) == 0
