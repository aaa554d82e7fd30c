"""What a real TensorBoard server shows of a run, read back over HTTP."""

from contextlib import suppress
from dataclasses import replace

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.run.boards import (
    PAIRS,
    SAMPLES,
    SHAPES,
    CentredBoard,
    FreshBoard,
    FullBoard,
    Server,
    cells,
    check_originals,
    check_rounded,
    chosen,
    decoded,
    encoded,
    last_params,
    show,
    stop_and_go_on,
    write_images,
)
from vae_fn import random, tree
from vae_fn.run import tensorboard
from vae_fn.run.assemble import assemble
from vae_fn.run.folder import RunError
from vae_fn.run.metrics import read_metrics
from vae_fn.run.tensorboard import BINS, POSTERIOR, PRIOR, SCALARS, Board
from vae_fn.run.train import train


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    return assemble(write_images(tmp_path_factory.mktemp("data"), (8, 8)))


@pytest.fixture(scope="module")
def logs(tmp_path_factory, parts):
    """A folder of runs, one for each thing to be shown."""
    folder, data = tmp_path_factory.mktemp("logs"), tmp_path_factory.mktemp("data")
    train(replace(parts.config, runs_dir=folder, name="run"), quiet=True)
    show(folder / "run" / "tensorboard", parts, [], sitting=6)
    for name, shape in SHAPES.items():
        show(folder / name, assemble(write_images(data, shape)), [1])
    show(folder / "centred", parts, [1, 2], board_type=CentredBoard)
    show(folder / "fresh", parts, [1, 2], board_type=FreshBoard)
    show(folder / "dynamic", assemble(replace(parts.config, binarise="dynamic", latents=40)), [1, 2])
    stop_and_go_on(folder / "resumed", parts)
    return folder


@pytest.fixture(scope="module")
def server(logs, tmp_path_factory):
    server = Server(logs, tmp_path_factory.mktemp("server") / "output")
    try:
        server.wait_for({str(file.parent.relative_to(logs)) for file in logs.rglob("events.out.tfevents.0")})
        yield server
    finally:
        server.process.kill()
        server.process.wait()


def test_the_curves_are_the_rows_of_metrics(server, logs):
    rows = read_metrics(logs / "run" / "metrics.jsonl")
    expected = {}
    for row in rows:
        dimensions = {f"kl_by_dimension/{i}": value for i, value in enumerate(row["kl_by_dimension"] or ())}
        for name, value in ({name: row[name] for name in SCALARS} | dimensions).items():
            if value is not None and (name, value) != ("skipped", 0):
                expected.setdefault(f"{row['split']}/{name}", []).append((row["step"], float(np.float32(value))))
    assert {"train/learning_rate", "train/examples_per_second", "test/kl_by_dimension/1"} <= expected.keys()
    assert {*server.json("scalars/tags")["run/tensorboard"]} == {*expected, "end/elbo"}
    for tag, curve in expected.items():
        assert server.scalars("run/tensorboard", tag) == curve, tag


def test_originals_stand_beside_what_the_model_makes_of_them(server, logs, parts):
    shown = server.pictures("run/tensorboard", PAIRS)
    assert [*shown] == [3, 6]
    originals = chosen(parts.dataset.test.images.numpy().reshape(60, 8, 8))
    for picture in shown.values():
        check_originals(picture, originals)
    params = last_params(logs / "run")
    check_rounded(cells(shown[6], (8, 8), 10)[1::2], decoded(params, encoded(params, originals)[0]))


def fixed_noise(parts, purpose, count):
    key = random.fold_in(random.fold_in(parts.streams.figures, purpose), 0)
    return random.normal(key, (count, 2)).double()


def test_samples_come_from_the_same_noise_all_through_a_run(server, logs, parts):
    z = fixed_noise(parts, PRIOR, 64)
    initial = tree.map(torch.Tensor.double, parts.vae.init(parts.streams.init))
    of_run, of_resumed = (server.pictures(run, SAMPLES) for run in ("run/tensorboard", "resumed"))
    check_rounded(cells(of_run[6], (8, 8), 8), decoded(last_params(logs / "run"), z))
    check_rounded(cells(of_resumed[4], (8, 8), 8), decoded(initial, z))
    assert [*of_resumed] == [2, 4]
    assert np.array_equal(of_resumed[2], of_resumed[4])


@pytest.mark.parametrize("name", SHAPES)
def test_images_of_every_shape_are_pictures(server, name, tmp_path):
    images = assemble(write_images(tmp_path, SHAPES[name])).dataset.test.images.numpy()
    originals = chosen(images).reshape(50, *SHAPES[name])
    if name == "colour first":
        originals = np.moveaxis(originals, 1, -1)
    check_originals(server.pictures(name, PAIRS)[1], originals.reshape(50, 7, 7) if name == "flat" else originals)


def test_a_board_with_a_fault_is_seen(server, parts):
    originals = chosen(parts.dataset.test.images.numpy().reshape(60, 8, 8))
    with pytest.raises(AssertionError):
        check_originals(server.pictures("centred", PAIRS)[1], originals)
    check_originals(server.pictures("fresh", PAIRS)[1], originals)
    fresh = server.pictures("fresh", SAMPLES)
    assert not np.array_equal(fresh[1], fresh[2])


def test_binarised_images_are_drawn_once_and_shown_black_and_white(server, parts):
    shown = server.pictures("dynamic", PAIRS)
    assert np.array_equal(shown[1], shown[2])
    binary = cells(shown[1], (8, 8), 10)[::2, ..., 0]
    pixels = chosen(parts.dataset.test.images.numpy().reshape(60, 8, 8))
    assert {*np.unique(binary)} == {0, 255}
    assert (binary[pixels == 0] == 0).all()
    assert (binary[pixels == 255] == 255).all()


def test_histograms_count_every_latent_and_every_parameter(server, logs, parts):
    tags = {*server.json("histograms/tags")["run/tensorboard"]}
    leaves = tree.flat_names(last_params(logs / "run"))
    assert tags == {"latents/z0", "latents/z1", *(f"parameters/{name}" for name in leaves)}
    for name, leaf in leaves.items():
        (_, _, first), (_, step, bins) = server.json(
            "histograms/histograms", run="run/tensorboard", tag=f"parameters/{name}"
        )
        lefts, rights, counts = np.array(bins).T
        assert step == 6
        assert first != bins
        assert counts.sum() == leaf.numel()
        if leaf.numel() > 1:
            assert (lefts[0], rights[-1], len(bins)) == (leaf.min(), leaf.max(), BINS)
            assert counts[BINS // 2 :].sum() == pytest.approx(int((leaf >= lefts[BINS // 2]).sum()), abs=1)
    assert sum(tag.startswith("latents/") for tag in server.json("histograms/tags")["dynamic"]) == 16


def test_the_latents_are_draws_from_the_posterior_of_each_image(server, logs, parts):
    images = parts.dataset.test.images.numpy().reshape(10, 6, 64)
    loc, scale = encoded(last_params(logs / "run"), images.swapaxes(0, 1).reshape(60, 64))
    z = (loc + scale * fixed_noise(parts, POSTERIOR, 60)).numpy()
    for i in (0, 1):
        shown = server.json("histograms/histograms", run="run/tensorboard", tag=f"latents/z{i}")
        assert [step for _, step, _ in shown] == [3, 6]
        lefts, rights, counts = np.array(shown[1][2]).T
        assert (lefts[0], rights[-1], counts.sum()) == pytest.approx((z[:, i].min(), z[:, i].max(), 60), rel=1e-5)


def test_a_resumed_run_has_every_step_once(server):
    tags = server.json("scalars/tags")["resumed"]
    assert server.scalars("resumed", "train/elbo") == [(1, -1.0), (2, -1.0), (3, -2.0), (4, -2.0)]
    assert server.scalars("resumed", "train/skipped") == []
    assert "train/kl" not in tags
    assert server.scalars("resumed", "train/kl_by_dimension/31") == [(3, 31.0), (4, 31.0)]
    assert "train/kl_by_dimension/32" not in tags
    for tag in ("latents/z0", "parameters/decoder/0.weight"):
        assert [step for _, step, _ in server.json("histograms/histograms", run="resumed", tag=tag)] == [2, 4]


def test_the_settings_stand_there_once(server):
    for run, epochs in (("run/tensorboard", 2), ("resumed", 77)):
        (entry,) = server.json("text/text", run=run, tag="config/text_summary")
        assert entry["step"] == 0
        assert "<pre><code" in entry["text"]
        assert f"epochs = {epochs}\n" in entry["text"]


def test_what_is_not_finite_is_left_out(parts, tmp_path):
    params = tree.map(lambda leaf: torch.full_like(leaf, float("nan")), parts.vae.init(parts.streams.init))
    with Board(tmp_path / "board", parts, 0) as board:
        before = max((tmp_path / "board").iterdir()).stat().st_size
        board.pictures(params, 1)
        assert max((tmp_path / "board").iterdir()).stat().st_size == before


def read_in_order(folder):
    """The steps of the rows in a folder, read by TensorBoard as it reads files: those after a START replace others."""
    found = EventAccumulator(str(folder)).Reload()
    return [(event.step, event.value) for event in found.Scalars("train/elbo")]


def write_sittings(folder, parts, sittings, board_type=Board):
    """Sittings of one step each."""
    for step in range(1, sittings + 1):
        with board_type(folder, parts, step - 1) as board:
            board.scalars({"split": "train", "step": step, "elbo": float(step)})


class ClockBoard(Board):
    """Files are named by a clock that runs backwards."""

    hours = 99

    def __init__(self, folder, parts, step):
        ClockBoard.hours -= 1
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tensorboard, "_next", lambda folder: folder / f"{tensorboard.EVENTS}{ClockBoard.hours:019d}")
            super().__init__(folder, parts, step)


def test_sittings_are_read_in_their_order_whatever_the_clock(parts, tmp_path):
    expected = [(float(step), float(step)) for step in range(1, 13)]
    write_sittings(tmp_path / "board", parts, 12)
    assert read_in_order(tmp_path / "board") == expected
    write_sittings(tmp_path / "clock", parts, 12, ClockBoard)
    assert read_in_order(tmp_path / "clock") != expected


def test_a_sitting_follows_files_of_any_number(parts, tmp_path):
    names = (f"1{18 * '7'}", "0", "mine", "5.host.12")
    for name in names:
        (tmp_path / f"{tensorboard.EVENTS}{name}").touch()
    write_sittings(tmp_path, parts, 1)
    (new,) = {path.name.removeprefix(tensorboard.EVENTS) for path in tmp_path.iterdir()} - {*names}
    assert new == f"1{17 * '7'}8"


@pytest.mark.parametrize("write", ["scalars", "pictures"])
def test_a_full_disk_is_an_error_at_once(parts, tmp_path, write):
    params, row = parts.vae.init(parts.streams.init), {"split": "train", "step": 1, "elbo": 0.0}
    board = FullBoard(tmp_path / "board", parts, 0)
    with pytest.raises(OSError, match="No space left"):
        board.scalars(row) if write == "scalars" else board.pictures(params, 1)
    with suppress(OSError), board:
        pass


def test_a_run_on_a_full_disk_says_so_in_one_line(parts, tmp_path, monkeypatch):
    monkeypatch.setattr("vae_fn.run.sitting.Board", FullBoard)
    with pytest.raises(RunError, match="No space left on device: mend that, then go on from step 0 with --resume"):
        train(replace(parts.config, runs_dir=tmp_path), quiet=True)
