"""`vae-fn sample`, `reconstruct` and `encode`: what they print and write."""

import json

import numpy as np
import pytest
from matplotlib.image import imread

from tests.run.trained import small_run, write_images
from vae_fn.cli.main import main
from vae_fn.run.evaluate import evaluate_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("codes")
    write_images(folder / "images.npy")
    for protocol in ("grey", "dynamic"):
        small_run(folder, name=protocol, binarise=protocol)
    return folder


@pytest.fixture
def run(folder, monkeypatch):
    monkeypatch.chdir(folder)
    return folder / "runs" / "grey"


def test_samples_as_picture_and_as_arrays(run, tmp_path, capsys):
    assert main(["sample", str(run)]) == 0
    picture = run / "figures" / "samples.png"
    assert capsys.readouterr().out == f"64 samples of {run} in {picture}: means of p(x | z) at draws of key 0\n"
    assert imread(picture).ndim == 3
    for name in ("a.npz", "b.npz", "a.npy", "a.svg"):
        assert main(["sample", str(run), "--count", "5", "--out", str(tmp_path / name)]) == 0
    assert (tmp_path / "a.svg").read_text().startswith("<?xml")
    arrays = np.load(tmp_path / "a.npz")
    assert {name: arrays[name].shape for name in arrays} == {"images": (5, 6, 6), "latents": (5, 2)}
    assert np.array_equal(np.load(tmp_path / "a.npy"), arrays["images"])
    assert 0 <= arrays["images"].min() < arrays["images"].max() <= 1
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


@pytest.mark.parametrize(
    ("command", "name"),
    [("sample", "figures/samples.png"), ("reconstruct", "figures/reconstructions.png"), ("encode", "latents.npz")],
)
def test_a_file_that_is_replaced_is_named(run, capsys, command, name):
    file, report = run / name, run / "report.html"
    file.unlink(missing_ok=True)  # of another test
    assert main([command, str(run)]) == 0
    assert "replaced" not in capsys.readouterr().out
    assert main([command, str(run)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"replaced the earlier {file.name}"
    report.touch()
    assert main([command, str(run)]) == 0
    for left in (report, file):
        left.unlink()
    line = capsys.readouterr().out.splitlines()[-1]
    shown = f"; {report} keeps one from before: `vae-fn figures {run}` draws all anew"
    assert line == f"replaced the earlier {file.name}{'' if command == 'encode' else shown}"


def test_reconstructions_as_picture_and_as_arrays(run, tmp_path, capsys):
    options = ["reconstruct", str(run), "--count", "7", "--json", str(tmp_path / "out.json")]
    assert main([*options, "--out", str(tmp_path / "out.npz")]) == 0
    result = json.loads((tmp_path / "out.json").read_text())
    assert (result["examples"], result["split"], result["protocol"], result["key"]) == (7, "test", "grey", 0)
    assert result["elbo"] == pytest.approx(result["reconstruction"] - result["kl"])
    assert capsys.readouterr().out.splitlines() == [
        f"7 test images of {run.parent.parent}/images.npy in {tmp_path}/out.npz",
        f"reconstruction {result['reconstruction']:.2f} nats per image, over these images and 2 draws of the latents "
        "for each (protocol grey)",
    ]
    arrays = np.load(tmp_path / "out.npz")
    shapes = {name: arrays[name].shape for name in arrays}
    assert shapes == {"images": (7, 6, 6), "decoded": (7, 6, 6), "latents": (7, 2), "index": (7,)}
    assert main(options) == 0
    assert imread(run / "figures" / "reconstructions.png").ndim == 3


@pytest.mark.parametrize(("asked", "named"), [([], "7 images"), (["--split", "test"], "1 test image")])
def test_all_of_ones_own_images_are_reconstructed_unless_a_part_is_asked_for(run, tmp_path, capsys, asked, named):
    """As they are encoded."""
    own, out, said = write_images(tmp_path / "own.npy", count=7, seed=1), tmp_path / "out.npz", tmp_path / "out.json"
    data = [str(run), "--data", str(tmp_path / "own.npy"), "--out", str(out), *asked]
    assert main(["reconstruct", *data, "--json", str(said)]) == 0
    assert capsys.readouterr().out.startswith(f"{named} of {tmp_path}/own.npy in {out}\n")
    shown = np.load(out)["images"]
    assert json.loads(said.read_text())["split"] == (asked[1] if asked else "all")
    assert np.allclose(shown, own / 255) if not asked else len(shown) == 1
    assert main(["encode", *data]) == 0
    assert capsys.readouterr().out.startswith(f"{named} of {tmp_path}/own.npy in {out}: ")
    assert len(np.load(out)["mean"]) == len(shown)


def test_one_of_a_thing_is_said_in_the_singular(run, capsys):
    assert main(["sample", str(run), "--count", "1"]) == 0
    assert capsys.readouterr().out.startswith(f"1 sample of {run} in ")
    assert main(["reconstruct", str(run), "--count", "1"]) == 0
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith("1 test image of ")
    assert ", over this image and 2 draws of the latents for each " in second


def test_of_all_test_images_it_is_what_evaluation_says(run, tmp_path):
    """With other noise: the standard errors of both say how near."""
    assert main(["reconstruct", str(run), "--count", "50", "--json", str(tmp_path / "out.json"), "--quiet"]) == 0
    found, expected = json.loads((tmp_path / "out.json").read_text()), evaluate_run(run, 50)
    assert found["examples"] == expected["examples"]
    assert found["kl"] == pytest.approx(expected["kl"], rel=1e-5)
    assert abs(found["elbo"] - expected["elbo"]) < 12 * (found["se_noise"] + expected["se_noise"])


def test_codes_of_ones_own_images(run, tmp_path, capsys):
    write_images(tmp_path / "own.npz", count=20, seed=1, labels=np.arange(20))
    out = tmp_path / "z.npz"
    assert main(["encode", str(run), "--data", str(tmp_path / "own.npz"), "--out", str(out)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"20 images of {tmp_path}/own.npz in {out}: mean (20, 2), scale (20, 2), labels (20,)",
        "grey intensities were encoded (protocol grey)",
    ]
    arrays = np.load(out, allow_pickle=False)
    assert arrays["labels"].tolist() == list(range(20))
    assert (arrays["scale"] > 0).all()
    assert main(["encode", str(run), "--data", str(tmp_path / "own.npz"), "--split", "test", "--out", str(out)]) == 0
    assert len(np.load(out)["mean"]) == 3


@pytest.mark.parametrize(("key", "equal"), [("0", True), ("1", False)])
def test_codes_of_binarised_images_name_the_key(run, tmp_path, capsys, key, equal):
    binarised, out = run.with_name("dynamic"), tmp_path / "z.npz"
    assert main(["encode", str(binarised), "--key", key, "--out", str(out)]) == 0
    assert f"drawn once from key {key} (protocol dynamic)" in capsys.readouterr().out
    assert main(["encode", str(binarised)]) == 0
    assert (out.read_bytes() == (binarised / "latents.npz").read_bytes()) == equal


def test_images_of_another_shape_are_one_line(run, tmp_path, capsys):
    write_images(tmp_path / "own.npy", count=20, shape=(3, 4))
    for command in ("encode", "reconstruct"):
        assert main([command, str(run), "--data", str(tmp_path / "own.npy")]) == 2
        assert "images of shape (3, 4), but the run was trained on images of (6, 6)" in capsys.readouterr().err


def test_quiet_is_quiet(run, tmp_path, capsys):
    for command in ("sample", "reconstruct", "encode"):
        assert main([command, str(run), "--out", str(tmp_path / "x.npz"), "--quiet"]) == 0
    assert main(["runs", str(run.parent), "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


def test_a_failed_writing_leaves_the_old_file(run, tmp_path, monkeypatch, capsys):
    def fail(*args):
        raise OSError(28, "No space left on device", str(tmp_path / "x.npz"))

    (tmp_path / "x.npz").write_bytes(b"old")
    monkeypatch.setattr("os.replace", fail)
    assert main(["encode", str(run), "--out", str(tmp_path / "x.npz")]) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


@pytest.mark.parametrize("command", ["sample", "reconstruct", "encode", "runs"])
def test_help_names_every_option(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert not stop.value.code
    out, _ = capsys.readouterr()
    shared = ("--quiet",) if command == "runs" else ("--quiet", "--checkpoint", "--key", "--device", "--out")
    for option in shared:
        assert option in out
