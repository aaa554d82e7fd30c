"""`vae-fn gradients`, from its arguments to its files, on small problems and a small run."""

import json
import math
import re
from dataclasses import fields

import pytest

from tests.run.trained import small_run, write_images
from vae_fn.cli.gradients import GradientsOptions
from vae_fn.cli.main import main
from vae_fn.cli.references import bibtex, cited
from vae_fn.gradients.estimators import CATALOGUE
from vae_fn.gradients.published import PROBLEMS

NAMES = [
    *("problem", "estimator", "samples", "group", "unbiased_for", "bias", "bias_se", "relative_bias", "variance"),
    *("variance_exact", "variance_noise", "variance_batch", "snr", "snr_floor", "cosine", "forward", "backward"),
    *("milliseconds", "draws", "batch_size", "draws_to_see", "step", "target"),
]

OWN = """
import torch
from vae_fn.gradients import Coefficients, from_coefficients
from vae_fn.gradients.estimators import stl_iwae

def rule(log_weights, beta):
    share = torch.full_like(log_weights, 1 / log_weights.shape[0])
    return Coefficients(log_weights.mean(0), joint=share, path=torch.ones_like(share), density=0 * share)

mine = from_coefficients("stl", rule, unbiased_for="the ELBO")
def late(log_weights, beta):
    if log_weights.ndim == 1:
        raise ValueError("not under vmap")
    return rule(log_weights, beta)

def never(log_weights, beta):
    raise ValueError("no")

refusing, lagging = (from_coefficients("lost", r, unbiased_for="the ELBO") for r in (never, late))
odd = from_coefficients("odd", rule, unbiased_for="the moon")

def claiming():
    return stl_iwae("the K-sample bound")

def nothing(log_weights, beta):
    log_weights.mean(0)

lost = from_coefficients("lost", nothing, unbiased_for="the ELBO")
"""


def measured(folder, *args):
    """The JSON of a command."""
    path = folder / "out.json"
    assert main(["gradients", *args, "--json", str(path), "--quiet"]) == 0
    return json.loads(path.read_text())


def test_numbers_are_those_of_one_bit(tmp_path):
    """f(b) = (b - t)^2, with p the probability of a one: the straight-through gradient has mean 2 p (1-p) (p - t)."""
    args = ("--problem", "one-bernoulli", "--t", "0.3", "--logit", "-0.5", "--draws", "4000", "--samples", "2")
    found = measured(tmp_path, *args, "--estimators", "disarm,straight-through,enumeration")
    p, t = 1 / (1 + math.exp(0.5)), 0.3
    exact = p * (1 - p) * (1 - 2 * t)
    assert found["oracle"]["method"] == "enumeration"
    assert found["oracle"]["value"] == pytest.approx(p * (1 - t) ** 2 + (1 - p) * t**2)
    assert found["oracle"]["gradient_norm"] == pytest.approx(abs(exact))
    assert found["oracle"]["error_bound"] < 1e-12
    assert found["oracles"] == [found["oracle"]]
    assert found["environment"]["torch"]
    rows = {row["estimator"]: row for row in found["rows"]}
    assert all(sorted(row) == sorted(NAMES) for row in found["rows"])
    biased = rows["straight-through"]
    assert biased["bias"] == pytest.approx(abs(2 * p * (1 - p) * (p - t) - exact), abs=6 * biased["bias_se"])
    assert biased["bias"] > 10 * biased["bias_se"]
    assert rows["disarm"]["variance_noise"] == pytest.approx(rows["disarm"]["variance_exact"], rel=0.2)
    assert (rows["enumeration"]["variance_noise"], rows["enumeration"]["step"]) == (0.0, None)


def test_all_leaves_out_with_a_reason_what_does_not_take_the_problem(tmp_path, capsys):
    args = ["gradients", "--problem", "gaussian-costs", "--draws", "40", "--samples", "1"]
    assert main(args) == 0
    out, err = capsys.readouterr()
    lines = [line for line in re.split(r"[\r\n]", err) if line.startswith("left out: ")]
    told = {line.removeprefix("left out: ").split(":")[0] for line in lines}
    assert {"rebar", "dreg", "rloo", "antithetic"} <= told
    assert not {"pathwise", "measure-valued"} & told
    shown = {line.split()[0] for line in out.splitlines() if line}
    assert {"pathwise", "measure-valued"} <= shown
    assert not {"rebar", "rloo"} & shown


def test_options_of_the_problem_are_its_own_and_those_of_both_have_a_prefix(tmp_path):
    args = ("--problem", "rainforth", "--dim", "1", "--count", "9", "--problem-key", "3", "--key", "5", "--data", "2")
    found = measured(tmp_path, *args, "--estimators", "stl,dreg", "--samples", "2", "--draws", "40", "--by", "leaf")
    assert {row["problem"] for row in found["rows"]} == {
        "rainforth(dim=1, count=9, variance=0.666667, perturbation=0.01, key=3)"
    }
    assert {row["group"] for row in found["rows"]} == {"encoder/weight", "encoder/bias", "prior/loc"}
    assert {(each["target"], each["samples"]) for each in found["oracles"]} == {
        ("the ELBO", 1),
        ("the K-sample bound", 2),
    }
    assert found["oracle"]["target"] == "the K-sample bound"
    assert {(row["estimator"], row["target"]) for row in found["rows"]} == {
        ("stl", "the ELBO"),
        ("dreg", "the K-sample bound"),
    }
    other = measured(tmp_path, *args, "--estimators", "stl", "--samples", "2", "--draws", "40", "--batch-size", "4")
    whole = sum(row["variance"] for row in found["rows"] if row["estimator"] == "stl")
    assert sum(row["variance"] for row in other["rows"]) == pytest.approx(whole / 4)


def test_your_own_stands_beside_those_of_the_catalogue(user_code, capsys):
    (user_code / "mine.py").write_text(OWN)
    args = ("--problem", "rainforth", "--dim", "1", "--samples", "2", "--draws", "40", "--data", "2")
    found = measured(user_code, *args, "--estimators", "stl", "--estimator", "mine.py:mine")
    assert {row["estimator"] for row in found["rows"]} == {"stl", "mine.py:mine"}
    first, second = (
        [row["variance"] for row in found["rows"] if row["estimator"] == name] for name in ("stl", "mine.py:mine")
    )
    assert first == pytest.approx(second)


MISTAKES = {
    "": "give --problem NAME or --run RUN; --list-problems tells the problems.",
    "--problem rainfort": "there is no problem 'rainfort'. Did you mean rainforth?",
    "--problem trained-vae": "trained-vae is the model of a run: give it by --run RUN instead of --problem.",
    "--problem rainforth --dim 0": "there must be data: set dim and count to 1 or more, not 0 and 1024",
    "--problem rainforth --dimm 3": "unknown option '--dimm'. Did you mean --dim?",
    "--problem rainforth --estimators drag": "there is no estimator 'drag'. Did you mean dreg?",
    "--problem rainforth --estimators ,": "--estimators takes names with commas between, or all: --list tells the "
    "names.",
    "--problem rainforth --estimators rebar": "rebar: is made for discrete latents, and Normal is not: use pathwise "
    "or dreg",
    "--problem one-bernoulli --estimators vimco": "vimco: it raises a bound on log p(x), and a plain cost has none: "
    "use pathwise, rloo or another of E f",
    "--problem rainforth --dim 2 --estimators rloo --samples 1,2": "rloo with K = 1: it compares samples with each "
    "other: use --samples 2 or more",
    "--problem rainforth --samples 0": "--samples are numbers from 1 to 65536 with commas between, not '0'",
    "--problem rainforth --draws 3": "--draws must be two or more of each datum: use --draws 64 or more",
    "--problem rainforth --key -1": "--key must lie between 0 and 2^63 - 1, not -1",
    "--problem rainforth --problem-key -1": "--problem-key must lie between 0 and 2^63 - 1, not -1",
    "--problem rainforth --data 0": "--data must be positive, not 0",
    "--problem rainforth --run x": "a run and a published problem exclude each other: leave out --problem or --run.",
    "--problem rainforth --along": "--checkpoint and --along are of a run: give it by --run RUN",
    "--run nowhere": "nowhere does not exist. Give a run's folder.",
    "--problem rainforth --csv nowhere/x": "--csv must be a file in an existing folder that you may write to, not "
    "nowhere/x",
    "--problem rainforth --figures mine.py/x": "--figures must be a folder that can be made, not mine.py/x (Not a "
    "directory)",
    "--problem rainforth --estimators dreg --estimator mine.py:odd": "mine.py:odd says that it is unbiased for 'the "
    "moon', which nothing can be held against: say 'the ELBO' or 'the K-sample bound', or 'nothing: ' and the reason",
    "--problem rainforth --estimators dreg --estimator mine.py:claiming": "mine.py:claiming raised ValueError: "
    "stl-iwae is not unbiased for the K-sample bound: the part of the gradient that it leaves out has mean zero for "
    "one sample only; use dreg, which makes a path of that part (mine.py, line 23)",
    "--problem one-bernoulli --estimators rloo --estimator mine.py:mine": "mine.py:mine was refused: ValueError: stl "
    "differentiates samples, and discrete ones have no gradient: use rloo or vimco",
    "--problem rainforth --dim 2 --estimators dreg --estimator mine.py:refusing": "mine.py:refusing raised ValueError: "
    "no (mine.py, line 17)",
    "--problem rainforth --dim 2 --data 1 --estimators stl --estimator mine.py:lagging --quiet": "mine.py:lagging "
    "raised ValueError: not under vmap (mine.py, line 13)",
    "--problem rainforth --dim 2 --estimators dreg --estimator mine.py:lost": "mine.py:lost was refused: ValueError: "
    "the rule nothing must return Coefficients(value, joint, path, density) of shape (1,) for the value and (4, 1) for "
    "each of the others, not NoneType",
}


@pytest.mark.parametrize("args", MISTAKES)
def test_a_mistake_is_one_line(args, user_code, capsys):
    (user_code / "mine.py").write_text(OWN)
    assert main(["gradients", *args.split()]) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"vae-fn gradients: error: {MISTAKES[args]}\n")


def test_list_tells_every_estimator_and_problem(capsys):
    assert main(["gradients", "--list"]) == 0
    listed = capsys.readouterr().out
    assert {*CATALOGUE} <= {line.split()[0] for line in listed.splitlines() if line.strip()}
    assert max(map(len, listed.splitlines())) <= 120
    assert main(["gradients", "--list-problems"]) == 0
    told = capsys.readouterr().out
    assert {*PROBLEMS} <= {*told.splitlines()}
    assert "--perturbation" in told


def test_bibtex_prints_the_papers_of_those_that_are_named(capsys):
    assert main(["gradients", "--bibtex", "--estimators", "dreg,stl-iwae", "--problem", "rainforth"]) == 0
    keys = re.findall(r"^@\w+\{(\w+),", capsys.readouterr().out, re.MULTILINE)
    assert keys == ["tucker2019", "roeder2017", "rainforth2018"]
    every = [key for entry in CATALOGUE.values() for key in entry.papers]
    assert re.findall(r"^@\w+\{(\w+),", bibtex(every), re.MULTILINE) == list(dict.fromkeys(every))
    assert bibtex(every).count("\n}") == len(set(every))
    assert [cited(key) for key in ("tucker2019", "kingma2014", "williams1992")] == [
        "Tucker et al. 2019",
        "Kingma & Welling 2014",
        "Williams 1992",
    ]


def test_help_of_a_problem_explains_its_options(capsys):
    with pytest.raises(SystemExit):
        main(["gradients", "--problem", "linear-vae", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    for option in ("--latents", "--problem-data", "--problem-key", "--data INT", "--estimators"):
        assert option in shown


def test_every_option_has_a_help_text(capsys):
    with pytest.raises(SystemExit):
        main(["gradients", "--help"])
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for field in fields(GradientsOptions):
        name = {"listing": "list"}.get(field.name, field.name).replace("_", "-")
        _, told = re.split(rf" --{name}(?:, --no-{name}| [A-Z{{]\S*) ", shown, maxsplit=1)
        assert told.split(" (")[0].count(" ") >= 3, name


@pytest.fixture(scope="module", params=["grey", "dynamic"])
def run(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    write_images(folder / "images.npy")
    return small_run(folder, name="a", binarise=request.param, epochs=3)


def test_a_run_is_measured_at_each_of_its_checkpoints(run, tmp_path, capsys):
    grey = run.parent.parent.name.startswith("grey")
    args = ["--run", str(run), "--along", "--samples", "2", "--draws", "20", "--data", "2"]
    figures = tmp_path / "figures"
    names = "stl" if grey else "pathwise,stl,dreg"
    out = tmp_path / "out.json"
    files = ["--json", str(out), "--csv", str(tmp_path / "o.csv"), "--latex", str(tmp_path / "o.tex")]
    assert main(["gradients", *args, "--estimators", names, *files, "--figures", str(figures)]) == 0
    found, said = json.loads(out.read_text()), capsys.readouterr().out
    steps = sorted({row["step"] for row in found["rows"]})
    assert len(steps) == 2
    assert [row["step"] for row in found["rows"]] == sorted(row["step"] for row in found["rows"])
    assert {row["problem"] for row in found["rows"]} == {f"a(step={step})" for step in steps}
    assert {row["group"] for row in found["rows"]} == {"encoder", "decoder"}
    assert {each["step"] for each in found["oracles"]} == set(steps)
    assert found["oracle"]["target"] == "the ELBO"
    assert found["oracle"]["step"] == steps[-1]
    assert said.splitlines()[-1].startswith("written: ")
    assert {path.stem for path in figures.glob("*.png")} == {
        *("work_normalised_variance", "bias_against_variance", "variance_along_training"),
    }
    assert len((tmp_path / "o.csv").read_text().splitlines()) == 1 + len(found["rows"])


def test_importance_weights_need_binary_pixels(run, capsys):
    grey = run.parent.parent.name.startswith("grey")
    args = ["gradients", "--run", str(run), "--samples", "2", "--draws", "4", "--data", "1", "--estimators", "iwae"]
    assert main(args) == (2 if grey else 0)
    said = capsys.readouterr().err
    assert ("iwae: it weighs samples by p(x | z), which grey pixels do not have" in said) == grey


def test_no_file_of_the_run_is_overwritten(run, capsys):
    for option in ("json", "csv", "latex"):
        assert main(["gradients", "--run", str(run), f"--{option}", str(run / "metrics.jsonl")]) == 2
        assert f"{option} must not be a file of the run itself" in capsys.readouterr().err
