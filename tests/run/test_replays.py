"""Runs whose steps are replayed as CUDA graphs, with stand-ins for the graphs: they are the compiled runs."""

from dataclasses import replace

import pytest
import torch

from tests.run import poison
from tests.run.runs import check_equal, settings, write_images
from tests.training.poison import no_number
from vae_fn.cli.main import main
from vae_fn.compiling import CaptureError, replaying
from vae_fn.run import assemble
from vae_fn.run.clinic import NonFiniteError
from vae_fn.run.config import to_toml
from vae_fn.run.evaluate import evaluate_run
from vae_fn.run.folder import read_config, write_atomic
from vae_fn.run.train import beginning, train

pytestmark = pytest.mark.usefixtures("replays", "fresh_compiler", "same_checkout", "a_cuda_device")

REPLAYED = {"compile": True, "cuda_graph": True}


@pytest.fixture
def a_cuda_device(monkeypatch):
    """Settings that say cpu are taken for those of a CUDA device."""
    monkeypatch.setattr(assemble, "check_cuda_graph", lambda config: None)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return write_images(tmp_path_factory.mktemp("images"))


def test_a_replayed_run_is_the_compiled_one_to_the_bit(images, tmp_path, replays):
    run = train(settings(images, tmp_path / "replayed", **REPLAYED), quiet=True)
    assert len(replays) == 1
    torch.compiler.reset()
    check_equal(run, train(settings(images, tmp_path / "compiled", compile=True), quiet=True))
    assert len(replays) == 1


def test_a_step_that_is_not_finite_is_found(tmp_path, monkeypatch, replays):
    poison.harm(monkeypatch, no_number, 8)
    with pytest.raises(NonFiniteError, match="step 8 is not finite, first in log weights"):
        train(poison.config(tmp_path, **poison.CLOCK, **REPLAYED), quiet=True)
    assert len(replays) == 1


@pytest.fixture
def uncapturable(monkeypatch, replays):
    def refuse(work, rehearse, device):
        raise CaptureError("the step is no CUDA graph (it waits)", "leave cuda_graph out, or mend that")

    monkeypatch.setattr(replaying, "cuda_graph", refuse)


@pytest.mark.usefixtures("uncapturable")
def test_a_step_that_cannot_be_captured_is_one_line_and_its_run_goes_on_without(images, tmp_path, capsys):
    (tmp_path / "settings.toml").write_text(to_toml(settings(images, tmp_path, **REPLAYED)))
    assert main(["train", "--config", str(tmp_path / "settings.toml"), "--name", "small", "--quiet"]) == 2
    out, err = capsys.readouterr()
    run = tmp_path / "small"
    assert out == ""
    assert err == (
        "vae-fn train: error: the step is no CUDA graph (it waits); "
        f"go on from step 0 with --resume {run} --no-cuda-graph\n"
    )
    assert main(["train", "--resume", str(run), "--no-cuda-graph", "--no-compile", "--quiet"]) == 0
    assert not read_config(run).cuda_graph
    check_equal(run, train(settings(images, tmp_path / "eager"), quiet=True))


def test_the_environment_tells_replays_from_calls(images, tmp_path):
    """They are other programs."""
    ways = [{"compile": False}, {"compile": True}, REPLAYED]
    begun = [beginning(assemble.assemble(settings(images, tmp_path, **way))) for way in ways]
    assert [record.environment["compile"] for record in begun] == [False, True, "cuda_graph"]


def test_a_model_is_evaluated_without_the_device_whose_graphs_it_was_trained_by(images, tmp_path):
    run = train(settings(images, tmp_path), quiet=True)
    expected = evaluate_run(run, draws=2)
    write_atomic(run / "config.toml", to_toml(replace(read_config(run), device="cuda", **REPLAYED)))
    assert evaluate_run(run, draws=2, device="cpu") == expected
