"""A step that was lost is kept whole: what is read is what was run, and what cannot be read is refused in one line."""

import errno
import json
import math

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.run.poison import CLOCK, config, exploding, harm
from tests.training.poison import check_equal, corner, no_number, steep
from vae_fn import tree
from vae_fn.run import cases, clinic, sitting
from vae_fn.run.assemble import assemble
from vae_fn.run.cases import find_case, read_case, save_case
from vae_fn.run.checks import ConfigError
from vae_fn.run.clinic import NonFiniteError, admit
from vae_fn.run.findings import examine
from vae_fn.run.folder import RunError
from vae_fn.run.train import initial_state, train
from vae_fn.training import step_by_shape
from vae_fn.training.diagnosis import first
from vae_fn.training.nonfinite import NonFiniteStep


def lose(settings):
    """The error that ends a run, and the run's folder."""
    with pytest.raises(NonFiniteError) as error:
        train(settings, quiet=True)
    return str(error.value), settings.runs_dir / settings.run_name


@pytest.fixture
def lost(tmp_path):
    """The folder of a run whose second step was lost."""
    return lose(exploding(tmp_path))[1]


@pytest.mark.parametrize("binarise", ["grey", "dynamic"])
def test_what_is_read_is_what_was_run(tmp_path, binarise):
    settings = exploding(tmp_path, binarise=binarise)
    _, run = lose(settings)
    case, parts = read_case(find_case(run)), assemble(settings)
    assert (case.step, case.found, case.config, case.shape) == (2, True, settings, (6, 6))
    step, state = step_by_shape(parts.algorithm), initial_state(parts)
    before, _ = step(state, parts.batches(0), parts.streams)
    check_equal(case.inputs.state, before)
    assert torch.equal(case.inputs.batch.pixels, parts.batches(1).pixels)
    after, _ = step(before, parts.batches(1), parts.streams)
    inputs = case.inputs
    _, algorithm = cases.rebuild(case.config, case.shape, inputs.learning_rate, inputs.beta)
    check_equal(algorithm.step(inputs.state, inputs.batch, inputs.noise)[0], after)


def test_schedules_are_kept_as_the_step_met_them(tmp_path, monkeypatch):
    harm(monkeypatch, corner, 7)
    settings = config(tmp_path, **CLOCK, schedule="warmup-cosine", warmup_steps=4)
    message, run = lose(settings)
    inputs, parts = read_case(find_case(run, 7)).inputs, assemble(settings)
    assert inputs.learning_rate == parts.learning_rate(torch.tensor(6))
    assert inputs.beta == 6
    assert "gradient/decoder/0.weight" in message
    assert first(examine(read_case(find_case(run)))).name == "gradient/decoder/0.weight"


@pytest.mark.parametrize(
    ("kind", "first_quantity", "remedy"),
    [
        (no_number, "log weights", "smaller --learning-rate"),
        (corner, "gradient/decoder/0.weight", "--skip-nonfinite"),
        (steep, "grad_norm", "--skip-nonfinite"),
    ],
)
def test_the_line_names_step_quantity_remedy_file_and_command(tmp_path, monkeypatch, kind, first_quantity, remedy):
    harm(monkeypatch, kind, 3)
    message, run = lose(config(tmp_path, **CLOCK))
    path = run / "nonfinite" / "step-000000003.safetensors"
    assert message.startswith(f"step 3 is not finite, first in {first_quantity} (")
    assert remedy in message
    assert message.endswith(f"saved in {path}; see it term by term with `vae-fn replay {run} --step 3`")
    assert "\n" not in message
    beside = json.loads(path.with_suffix(".json").read_text())
    assert (beside["step"], beside["found"], beside["first"]) == (3, True, first_quantity)
    found = {finding["name"]: finding for finding in beside["findings"]}
    assert found["params/encoder/0.bias"]["nan"] == 0


def test_pixels_that_are_lost_are_a_matter_of_the_data(tmp_path):
    parts = assemble(config(tmp_path))
    batch = parts.batches(0)
    pixels = batch.pixels.float() / 255
    pixels[3, 5] = math.nan
    message = admit(parts, tmp_path, NonFiniteStep(initial_state(parts), batch._replace(pixels=pixels), True))
    assert "first in pixels (1 NaN of 576): look at the data" in str(message)


def test_a_full_disk_does_not_hide_what_was_found(tmp_path, monkeypatch):
    def full(path, data):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(cases, "write_atomic", full)
    message, run = lose(exploding(tmp_path))
    assert "step 2 is not finite, first in posterior/layer 2 Linear" in message
    assert "could not be saved" in message
    assert "No space left on device" in message
    assert "replay" not in message
    assert not list(run.rglob("*.safetensors"))


@pytest.mark.parametrize("fault", [MemoryError(), RuntimeError("CUDA out of memory.\nTried to"), ValueError("a bug")])
def test_a_step_that_cannot_be_taken_apart_is_saved_all_the_same(tmp_path, monkeypatch, fault):
    def fail(*args):
        raise fault

    monkeypatch.setattr(clinic, "examine", fail)
    message, run = lose(exploding(tmp_path))
    path = run / "nonfinite" / "step-000000002.safetensors"
    why = " ".join(f"{type(fault).__name__} {fault}".split())
    assert message == (
        f"step 2 is not finite, and taking it apart failed ({why}); "
        f"saved in {path}; see it term by term with `vae-fn replay {run} --step 2`"
    )
    assert (read_case(path).step, read_case(path).found) == (2, True)


def test_findings_that_cannot_be_written_do_not_hide_the_case(tmp_path, monkeypatch):
    def full(path, data):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(clinic, "write_atomic", full)
    message, run = lose(exploding(tmp_path))
    assert "step 2 is not finite, first in posterior/layer 2 Linear" in message
    assert message.endswith(f"`vae-fn replay {run} --step 2`")
    assert read_case(find_case(run)).step == 2


def test_a_file_in_the_way_does_not_hide_what_was_found(tmp_path):
    settings = exploding(tmp_path)
    parts = assemble(settings)
    (tmp_path / "nonfinite").write_text("mine")
    fault = NonFiniteStep(initial_state(parts), parts.batches(0), True)
    assert "could not be saved" in str(admit(parts, tmp_path, fault))
    assert (tmp_path / "nonfinite").read_text() == "mine"


def test_numbers_that_are_finite_when_run_again_are_reported_and_saved(tmp_path, monkeypatch):
    original, calls = sitting.step_by_shape, []

    def erring(*args):
        step = original(*args)

        def run(state, batch, streams):
            calls.append(1)
            state, info = step(state, batch, streams)
            return state, info._replace(loss=info.loss * (math.nan if len(calls) == 2 else 1))

        return run

    monkeypatch.setattr(sitting, "step_by_shape", erring)
    message, run = lose(config(tmp_path, log_every=4))
    assert message.startswith("step 4 or one shortly before it was not finite, but running them again gave finite")
    assert (read_case(find_case(run)).step, read_case(find_case(run)).found) == (4, False)
    assert first(examine(read_case(find_case(run)))) is None


def test_a_step_that_is_finite_term_by_term_points_at_the_compiler(tmp_path):
    parts = assemble(config(tmp_path))
    message = str(admit(parts, tmp_path, NonFiniteStep(initial_state(parts), parts.batches(0), True)))
    assert message.startswith("step 1 is not finite as it was run, but is term by term: try --no-compile; saved in")


def test_float64_tells_an_overflow_from_a_nan(lost):
    case = read_case(find_case(lost))
    assert first(examine(case)).name == "posterior/layer 2 Linear"
    assert first(examine(case, torch.float64)) is None


def test_networks_in_bfloat16_are_taken_apart_as_they_were_trained(tmp_path):
    """What such a layer gives has eight significant bits; in float64 it has none of that."""
    message, run = lose(exploding(tmp_path, precision="bfloat16"))
    case = read_case(find_case(run))
    assert "first in posterior/layer 2 Linear" in message
    assert first(examine(case, torch.float64)) is None
    beside = {found["name"]: found for found in json.loads(find_case(run).with_suffix(".json").read_text())["findings"]}
    layer = "posterior/layer 0 Linear"
    trained, wide = ({each.name: each for each in examine(case, dtype)} for dtype in (torch.float32, torch.float64))
    rounded = [torch.tensor(each.high).bfloat16().item() == each.high for each in (trained[layer], wide[layer])]
    assert rounded == [True, False]
    assert beside[layer]["high"] == trained[layer].high


def test_the_latest_case_is_found_unless_another_is_asked_for(lost):
    case = read_case(find_case(lost))
    later = case.inputs.state._replace(step=case.inputs.state.step + 10)
    save_case(lost, case._replace(step=12, inputs=case.inputs._replace(state=later)))
    (lost / "nonfinite" / "step-99.safetensors").write_text("none of ours")
    assert find_case(lost).name == "step-000000012.safetensors"
    assert find_case(lost, 2).name == "step-000000002.safetensors"
    with pytest.raises(RunError, match="no case of step 3: use --step 2 or 12"):
        find_case(lost, 3)


def test_what_cannot_be_read_is_refused(lost):
    path = find_case(lost)
    whole, tensors = path.read_bytes(), load_file(path)

    def refused(words):
        with pytest.raises(RunError, match=words) as error:
            read_case(path)
        assert "\n" not in str(error.value)
        assert str(path) in str(error.value)

    for cut in (0, 7, 100, len(whole) - 1):
        path.write_bytes(whole[:cut])
        refused("truncated or cannot be read")
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    refused("checksum is wrong")
    save_file(tensors, path)
    refused("not a case of vae_fn")
    save_file(tensors, path, metadata={"vae_fn": "[]"})
    refused("not a case of vae_fn")
    path.write_bytes(whole.replace(rb"{\"format\": 1", rb"{\"format\": 9", 1))
    refused("newer version")


def test_a_case_of_another_model_is_refused(lost):
    path = find_case(lost)
    case = read_case(path)
    for inputs in (
        tree.map(lambda leaf: leaf, case.inputs)._replace(noise={}),
        case.inputs._replace(state=case.inputs.state._replace(params={"encoder": {}, "decoder": {}})),
    ):
        save_case(lost, case._replace(inputs=inputs))
        with pytest.raises(RunError, match="holds another model"):
            read_case(path)


def test_a_case_is_put_where_it_is_wanted(lost):
    with pytest.raises(ConfigError, match="another --device"):
        read_case(find_case(lost), "cuda:99")
    assert read_case(find_case(lost), "cpu").config.device == "cpu"


def test_every_remedy_is_for_a_kind_that_there_is(lost):
    kinds = {finding.kind for finding in examine(read_case(find_case(lost)))} | {"estimator", "context"}
    assert set(clinic.REMEDIES) <= kinds
