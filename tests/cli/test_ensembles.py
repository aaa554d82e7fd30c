"""`vae-fn train` with several keys, betas or learning rates: what it prints and writes, and mistakes with it."""

import json

import pytest

from tests.cli.workplace import check_mistake
from tests.run.runs import finish, options, write_images
from vae_fn.cli.main import main
from vae_fn.run.folder import members_of, read_config


def small(folder, **settings):
    """The arguments of small members, without a name of their own."""
    fixed = {"epochs": 1, "batch_size": 100, "checkpoint_every": 0, "evaluation_draws": 1} | settings
    return [arg for arg in options(folder, **fixed) if not arg.startswith("--name")] + ["--no-tensorboard"]


@pytest.fixture
def blobs(tmp_path):
    write_images(tmp_path)
    return tmp_path


def test_the_members_and_their_mean_are_printed_and_written(blobs, capsys):
    out, folder = blobs / "out.json", blobs / "runs" / "tutorial-keys-3-4"
    assert main(["train", *small(blobs), "--key", "3", "--keys", "2", "--json", str(out)]) == 0
    printed, said = capsys.readouterr()
    lines = printed.splitlines()
    assert said.startswith(f"training 2 members in {folder}\n")
    assert lines[0] == f"results in {folder}"
    assert lines[1].split() == ["member", "test", "ELBO", "reconstruction", "KL"]
    assert [line.split()[0] for line in lines[3:6]] == ["key-3", "key-4", "mean"]
    assert lines[5].count("±") == 3
    assert lines[6] == (
        f"in nats per image, protocol grey; mean ± standard deviation over keys; curves in {folder / 'curves.png'}"
    )
    written = json.loads(out.read_text())
    assert written == json.loads((folder / "summary.json").read_text()) | {"run": str(folder)}
    assert f"{written['members'][0]['test']['elbo']:.2f}" == lines[3].split()[1]
    assert main(["evaluate", str(folder / "key-4"), "--quiet"]) == 0


def test_mean_and_spread_are_shown_again_by_the_list_of_runs(blobs, capsys):
    """Of members that are finished: one whose result is damaged is left out."""
    folder, out = blobs / "runs" / "mine", blobs / "out.json"
    assert main(["train", *small(blobs), "--betas", "0.5,2", "--keys", "2", "--name", "mine"]) == 0
    at_the_end = [line.split() for line in capsys.readouterr().out.splitlines()[7:9]]
    assert main(["runs", str(folder), "--json", str(out)]) == 0
    *_, first, second, note, shared = capsys.readouterr().out.splitlines()
    assert note == "mean ± standard deviation over keys"
    assert shared == "seconds of a member are those of its whole ensemble, whose members share the time"
    for line, (*name, elbo, _, spread, _, _, _, kl, _, kl_spread) in zip((first, second), at_the_end, strict=True):
        cells = [*name, *"----", elbo, "±", spread, kl, "±", kl_spread, *"--"]
        assert line.split() == cells
    expected = json.loads((folder / "summary.json").read_text())["settings"]
    for each in expected:
        del each["reconstruction"]
    assert json.loads(out.read_text())["settings"] == expected
    (folder / "beta-2-key-0" / "summary.json").write_text("damaged")
    assert main(["runs", str(folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[7].startswith("beta 2, mean of 1 ")
    assert "±" not in lines[7]
    assert lines[-1].startswith("beta-2-key-0 is damaged")
    for key in (0, 1):
        (folder / f"beta-2-key-{key}" / "summary.json").unlink()
    assert main(["runs", str(folder)]) == 0  # the settings keep their names where some are not finished
    *_, first, second, _, _ = capsys.readouterr().out.splitlines()
    assert first.startswith("beta 0.5, mean of 2 ")
    assert second.split()[:5] == ["beta", "2,", "mean", "of", "0"]


@pytest.mark.parametrize("betas", ["0.5,2", "0.5 2", "0.5, 2"])
def test_several_numbers_stand_with_commas_or_spaces(betas, blobs, capsys):
    arguments = ["train", *small(blobs), "--betas", *betas.split(), "--name", "mine"]
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines[3:7]] == [
        "beta-0.5-key-0",
        "beta-2-key-0",
        "beta 0.5, mean of 1",
        "beta 2, mean of 1",
    ]
    assert "±" not in lines[5]


TOO_FEW_KEPT = (
    "an ensemble goes on from a step that all members have kept, and one saves after the other: use --keep-last 2 or "
    "more"
)


def test_an_ensemble_goes_on_with_more_epochs(blobs, capsys):
    assert main(["train", *small(blobs), "--keys", "2", "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
    folder = blobs / "runs" / "tutorial-keys-0-1"
    more = ["train", "--resume", str(folder), "--epochs", "2"]
    assert main([*more, "--keep-last", "1"]) == 2
    assert capsys.readouterr().err == f"vae-fn train: error: {TOO_FEW_KEPT}\n"
    assert main(more) == 0
    printed, said = capsys.readouterr()
    assert said.startswith(f"going on in {folder} after step 4 of 8")
    assert printed.startswith(f"results in {folder}\n")
    assert main(["runs", str(blobs / "runs")]) == 0
    *listed, shared = capsys.readouterr().out.splitlines()[2:]
    assert [line.split()[0] for line in listed] == ["tutorial-keys-0-1/key-0", "tutorial-keys-0-1/key-1"]
    assert shared.startswith("seconds of a member are those of its whole ensemble")


@pytest.mark.parametrize("ahead", ["key-0", "key-1"])
def test_members_that_differ_in_epochs_go_on_only_where_a_number_is_given(ahead, blobs, capsys):
    assert main(["train", *small(blobs), "--keys", "2", "--quiet"]) == 0
    folder = blobs / "runs" / "tutorial-keys-0-1"
    assert main(["train", "--resume", str(folder / ahead), "--epochs", "2", "--quiet"]) == 0
    assert main(["train", "--resume", str(folder), "--quiet"]) == 2
    assert capsys.readouterr().err == (
        f"vae-fn train: error: the members of {folder} have 1, 2 epochs, as some were trained on by themselves: use "
        "--epochs 2 to bring all there, or more\n"
    )
    assert main(["train", "--resume", str(folder), "--epochs", "2", "--quiet"]) == 0
    assert {read_config(run).epochs for run in members_of(folder)} == {2}


def test_more_members_than_files_may_be_open_are_a_mistake_of_one_line(blobs):
    lower = "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (60, 60))"
    status, said = finish("train", *small(blobs), "--keys", "60", prelude=lower)
    assert (status, said.splitlines()[-1].split(": ", 3)[3]) == (
        2,
        "Too many open files: work on less at a time, or have the limit raised that `ulimit -Hn` shows",
    )


def test_members_have_all_the_files_that_may_be_open(blobs):
    lower = "import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, (60, 4000))"
    assert finish("train", *small(blobs), "--keys", "30", prelude=lower)[0] == 0


EXCLUDE = "exclude each other: leave out one of them."
MISTAKES = [
    ("train --keys 0", "--keys is how many members to train, 1 to 1000, not 0"),
    ("train --keys 9999999999", "--keys is how many members to train, 1 to 1000, not 9999999999"),
    ("train --keys 1.5", "--keys takes a whole number, not '1.5'."),
    ("train --betas 1,2,1", "--betas has 1 more than once: give each value once"),
    ("train --learning-rates fast", "--learning-rates are numbers with commas between, not 'fast'"),
    ("train --betas 1,-2", "--betas must be 0 or more and finite, not -2.0"),
    ("train --learning-rates 1e-3,0", "--learning-rates must be positive and finite, not 0.0"),
    ("train --learning-rates inf", "--learning-rates must be positive and finite, not inf"),
    ("train --key 9223372036854775807 --keys 2", "--key must lie between 0 and 2^63 - 1, not 9223372036854775808"),
    ("train --beta 2 --betas 1,2", f"--beta and --betas {EXCLUDE}"),
    ("train --learning-rate=1 --learning-rates 1,2", f"--learning-rate and --learning-rates {EXCLUDE}"),
    ("train --resume runs/done --keys 2", "--resume goes on with the members that there are: leave --keys out"),
    ("train --print-config --keys 2", "--print-config shows the settings of one run: leave --keys out"),
    ("train --keys 2 --keep-last 1", TOO_FEW_KEPT),
    *(
        (
            f"train --resume runs/done --json runs/done/{name}",
            f"--json must not be a file of the run itself, as runs/done/{name} is: give another path",
        )
        for name in ("ensemble.json", "curves.png", "curves.svg")
    ),
    (
        "train --keys 2 --name done",
        "runs/done exists: go on with it by --resume runs/done and more --epochs, choose another --name, or "
        "--overwrite to delete it first",
    ),
]


@pytest.mark.parametrize(("command", "line"), MISTAKES)
def test_mistakes_are_one_line(command, line, here, capsys):
    if "--name done" in command:
        command += " --data blobs.npy --batch-size 16 --hidden 8 --no-compile"
    check_mistake(main, command, f"vae-fn train: error: {line}", here, capsys)


def test_a_member_that_is_missing_is_named(blobs, capsys):
    assert main(["train", *small(blobs), "--keys", "2", "--quiet"]) == 0
    folder = blobs / "runs" / "tutorial-keys-0-1"
    (folder / "key-0").rename(blobs / "moved")
    assert main(["train", "--resume", str(folder)]) == 2
    assert capsys.readouterr().err == (
        f"vae-fn train: error: {folder / 'key-0'}, a member of {folder}, is missing: restore it, or go on with each "
        "other by itself\n"
    )


def test_an_ensemble_is_no_run(blobs, capsys):
    assert main(["train", *small(blobs), "--keys", "1", "--quiet", "--name", "mine"]) == 0
    folder = blobs / "runs" / "mine"
    assert main(["evaluate", str(folder)]) == 2
    assert capsys.readouterr().err == (
        f"vae-fn evaluate: error: {folder} is an ensemble: give a run of `vae-fn runs {folder}`, such as "
        f"{folder / 'key-0'}\n"
    )
