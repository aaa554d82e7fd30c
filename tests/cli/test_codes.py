import json
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.image import imread

from tests.run.trained import small_run, write_images
from vae_fn.cli.main import main
from vae_fn.run.config import TrainConfig, to_toml
from vae_fn.run.evaluate import evaluate_run

NO_PLACE = "must be a file in an existing folder that you may write to, not"
MISTAKES = [
    ("sample", "vae-fn sample: error: missing argument: RUN, see --help."),
    ("sample runs/b", "vae-fn sample: error: runs/b does not exist."),
    ("sample runs", "vae-fn sample: error: runs has no config.toml, so it is not a run."),
    ("sample runs/a", "vae-fn sample: error: runs/a has no checkpoint yet: train it first, with --resume runs/a"),
    ("sample runs/a --cuont 3", "vae-fn sample: error: unknown option '--cuont'. Did you mean --count?"),
    ("sample runs/a 3", "vae-fn sample: error: unexpected argument '3'"),
    ("sample runs/a --count 0", "vae-fn sample: error: --count must be positive and at most 1000000, not 0"),
    ("sample runs/a --count 10000000 --out x.npy", "vae-fn sample: error: --count must be positive and at most"),
    (
        "sample runs/a --count 2000",
        "vae-fn sample: error: --count must be at most 1024 in a picture, not 2000: use --out",
    ),
    ("sample runs/a --key -1", "vae-fn sample: error: --key must lie between 0 and 2^63 - 1, not -1"),
    ("sample runs/a --device tpu", "vae-fn sample: error: --device 'tpu' is unknown: use cpu, cuda"),
    (
        "sample runs/a --out x.jpg",
        "vae-fn sample: error: --out must end in .png or .svg or .npz or .npy, which says what",
    ),
    ("sample runs/a --out .", "vae-fn sample: error: --out must end in .png or .svg or .npz or .npy, which says what"),
    ("sample runs/a --out folder.png", f"vae-fn sample: error: --out {NO_PLACE} folder.png"),
    ("sample runs/a --out no/x.png", f"vae-fn sample: error: --out {NO_PLACE} no/x.png"),
    ("sample runs/a --out circle.png", f"vae-fn sample: error: --out {NO_PLACE} circle.png"),
    ("sample runs/a --out astray.png", f"vae-fn sample: error: --out {NO_PLACE} astray.png"),
    ("sample runs/a --out pipe.npz", f"vae-fn sample: error: --out {NO_PLACE} pipe.npz"),
    (f"sample runs/a --out {'x' * 300}.png", f"vae-fn sample: error: --out {NO_PLACE} xxx"),
    (
        "sample runs/a --out images.npy",
        "vae-fn sample: error: --out must not be the file of the images, as images.npy is",
    ),
    ("sample runs/a --checkpoint ../x", "vae-fn sample: error: ../x is not in runs/a/checkpoints: give newest, best,"),
    ("sample runs/a --checkpoint best", "vae-fn sample: error: runs/a has no best checkpoint, which takes a run with"),
    ("reconstruct runs/a --split tset", "vae-fn reconstruct: error: --split takes one of test, train, all, not 'tset'"),
    ("reconstruct runs/a --out x.npy", "vae-fn reconstruct: error: --out must end in .png or .svg or .npz, which says"),
    ("reconstruct runs/a --json no/x.json", f"vae-fn reconstruct: error: --json {NO_PLACE} no/x.json"),
    ("reconstruct runs/a --json runs/a/config.toml", "vae-fn reconstruct: error: --json must not be a file of the run"),
    ("encode runs/a --out x.csv", "vae-fn encode: error: --out must end in .npz, which says what is written, not x"),
    (
        "encode runs/a --data x.npz --out x.npz",
        "vae-fn encode: error: --out must not be the file of the images, as x.npz",
    ),
    ("encode runs/a --binary", "vae-fn encode: error: unknown option '--binary'."),
    ("runs nowhere", "vae-fn runs: error: nowhere does not exist: train a model first, or give the folder that your"),
    ("runs images.npy", "vae-fn runs: error: images.npy is a file: give the folder that your runs are in"),
    ("runs runs/a", "vae-fn runs: error: runs/a is a run itself: give the folder that it is in, "),
    ("runs --json runs/a/config.toml", "vae-fn runs: error: --json must not be in the folder of a run"),
]


@pytest.mark.parametrize(("command", "line"), MISTAKES)
def test_a_mistake_is_one_line_and_nothing_is_written(command, line, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "a").mkdir(parents=True)
    (tmp_path / "runs" / "a" / "config.toml").write_text(to_toml(TrainConfig(data="images.npy", hidden=8)))
    write_images(tmp_path / "images.npy", count=10)
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "circle.png").symlink_to("circle.png")
    (tmp_path / "astray.png").symlink_to("no/x.png")
    (tmp_path / "pipe.npz").symlink_to("/dev/null")
    before = {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}
    assert main(command.split(" ")) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(line)
    assert err.count("\n") == 1
    assert "Traceback" not in err
    after = {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}
    after.pop(tmp_path / "runs" / "a" / "figures", None)
    assert after == before


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


def test_an_unwritable_folder_is_refused_before_the_work(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert main(["encode", str(run), "--out", str(tmp_path / "x.npz")]) == 2
    assert f"--out {NO_PLACE} {tmp_path}/x.npz" in capsys.readouterr().err


def test_the_list_of_runs(run, tmp_path, capsys):
    assert main(["runs", "--json", str(tmp_path / "runs.json")]) == 0
    header, rule, *rows = capsys.readouterr().out.splitlines()
    assert header.split() == ["run", "state", "preset", "data", "epochs", "test", "ELBO", "KL", "protocol", "seconds"]
    assert set(rule) == {"-", " "}
    assert [row.split()[:2] for row in rows] == [["grey", "finished"], ["dynamic", "finished"]]
    assert "2/2" in rows[0]
    written = json.loads((tmp_path / "runs.json").read_text())
    test = json.loads((run / "summary.json").read_text())["test"]
    assert written["runs_dir"] == "runs"
    assert (written["runs"][0]["name"], written["runs"][0]["elbo"]) == ("grey", test["elbo"])
    assert f"{test['elbo']:.2f}" in rows[0]


def test_names_cannot_garble_the_terminal(tmp_path, capsys):
    for name in ("\x1b[2J", "a\nb", "\u202eabc", "\udcff", "1e5"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.toml").write_text(to_toml(TrainConfig()) if name == "1e5" else "")
    assert main(["runs", str(tmp_path), "--json", str(tmp_path / "runs.json")]) == 0
    printed = capsys.readouterr().out
    assert all(line.isprintable() for line in printed.splitlines())
    assert len(printed.splitlines()) == 2 + 5 + 4
    for name in (r"\x1b[2J", r"a\nb", r"\u202eabc", r"\udcff", "1e5"):
        assert name in printed
    assert len(json.loads((tmp_path / "runs.json").read_text())["runs"]) == 5


def test_an_empty_folder_has_no_runs(tmp_path, capsys):
    assert main(["runs", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"no runs in {tmp_path}: `vae-fn train --runs-dir {tmp_path}` makes one\n"


@pytest.mark.parametrize("args", [["sample", "--help"], ["encode", "nowhere"], ["reconstruct", "x", "--count", "0"]])
def test_no_torch_before_the_arguments_are_checked(args):
    code = f"""
import sys, vae_fn.cli.main as m
try: m.main({args!r})
except SystemExit: pass
assert 'torch' not in sys.modules and 'matplotlib' not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.parametrize("command", ["sample", "reconstruct", "encode", "runs"])
def test_help_names_every_option(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert not stop.value.code
    out, _ = capsys.readouterr()
    shared = ("--quiet",) if command == "runs" else ("--quiet", "--checkpoint", "--key", "--device", "--out")
    for option in shared:
        assert option in out
