"""`vae-fn runs`: what it prints and writes."""

import json

import pytest

from vae_fn.cli.main import main
from vae_fn.run.config import TrainConfig, to_toml


@pytest.mark.usefixtures("here")
def test_the_list_of_runs(tmp_path, capsys):
    assert main(["runs", "--json", str(tmp_path / "runs.json")]) == 0
    header, rule, *rows = capsys.readouterr().out.splitlines()
    assert header.split() == ["run", "state", "preset", "data", "epochs", "test", "ELBO", "KL", "protocol", "seconds"]
    assert set(rule) == {"-", " "}
    assert [row.split()[:2] for row in rows] == [["done", "finished"], ["stopped", "stopped"]]
    assert "2/2" in rows[0]
    written = json.loads((tmp_path / "runs.json").read_text())
    test = json.loads((tmp_path / "here" / "runs" / "done" / "summary.json").read_text())["test"]
    assert written["runs_dir"] == "runs"
    assert (written["runs"][0]["name"], written["runs"][0]["elbo"]) == ("done", test["elbo"])
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
