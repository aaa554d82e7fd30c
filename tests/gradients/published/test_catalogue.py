"""The seven problems by name: each is made, finite, told and read from a command line."""

import dataclasses
import re
from importlib import resources

import pytest
import torch
import tyro

from vae_fn import random, tree
from vae_fn.gradients.estimators import pathwise, rloo
from vae_fn.gradients.posed import titled
from vae_fn.gradients.published import PROBLEMS, LinearVAE, Rainforth

NAMES = (
    "gaussian-costs",
    "one-bernoulli",
    "three-bernoullis",
    "categorical-costs",
    "rainforth",
    "linear-vae",
    "trained-vae",
)
MADE = [name for name in NAMES if PROBLEMS[name].options]
DISCRETE = ("one-bernoulli", "three-bernoullis", "categorical-costs")


def test_there_are_seven_and_a_trained_model_needs_no_options():
    assert tuple(PROBLEMS) == NAMES
    assert [name for name in NAMES if PROBLEMS[name].options is None] == ["trained-vae"]
    assert all("\n" not in each.about and len(each.about) < 120 for each in PROBLEMS.values())


def test_every_paper_has_its_reference():
    references = (resources.files("vae_fn.gradients") / "references.bib").read_text()
    known = set(re.findall(r"^@\w+{(\w+),", references, re.MULTILINE))
    for name, each in PROBLEMS.items():
        assert set(each.papers) <= known
        assert each.papers or name == "trained-vae"


def estimate(posed, dtype=torch.float64):
    """Two samples at the first data, by an estimator that the latents allow."""
    estimator = rloo() if posed.name.startswith(DISCRETE) else pathwise()
    x = None if posed.data is None else posed.data[:3].to(dtype)
    params = tree.map(lambda leaf: leaf.to(dtype), posed.params)
    problem = posed.pose(x)
    noise = random.draw(random.key(0), estimator.noise_like(problem, params, 2), dtype)
    return lambda params: estimator.estimate(problem, params, noise, ())[:2], params


@pytest.mark.parametrize("name", MADE)
def test_a_problem_is_named_and_finite(name):
    posed = PROBLEMS[name].options().make()
    assert posed.name == titled(name, PROBLEMS[name].options())
    assert posed.target in ("the ELBO", "the K-sample bound")
    for dtype in (torch.float64, torch.float32):
        run, params = estimate(posed, dtype)
        value, grads = run(params)
        assert value.shape == (() if posed.data is None else (3,))
        assert all(leaf.isfinite().all() for leaf in [value, *tree.leaves(grads)])
        assert {leaf.dtype for leaf in tree.leaves(grads)} == {dtype}
    assert {leaf.dtype for leaf in tree.leaves(posed.params)} == {torch.float64}


@pytest.mark.parametrize("name", MADE)
def test_options_make_the_same_problem_again(name):
    options = PROBLEMS[name].options
    assert hash(options()) == hash(options())
    with pytest.raises(dataclasses.FrozenInstanceError):
        options().key = 1
    first, second = (tree.leaves([options().make().params, options().make().data]) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("name", MADE)
def test_a_compiled_estimate_is_the_eager_one(name, fresh_compiler):
    run, params = estimate(PROBLEMS[name].options().make())
    compiled = torch.compile(run, fullgraph=True, dynamic=False, backend="eager")
    for found, expected in zip(*(tree.leaves(fn(params)) for fn in (compiled, run)), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_names_tell_options():
    assert titled("rainforth", Rainforth(dim=3, perturbation=0.5)).startswith("rainforth(dim=3, count=1024, ")
    assert "perturbation=0.5" in titled("rainforth", Rainforth(perturbation=0.5))
    assert Rainforth(key=1).make().name != Rainforth(key=2).make().name


def test_options_are_read_from_a_command_line():
    assert tyro.cli(Rainforth, args=["--dim", "3", "--variance", "0.5"]) == Rainforth(dim=3, variance=0.5)
    assert tyro.cli(LinearVAE, args=["--at", "initial"]) == LinearVAE(at="initial")


@pytest.mark.parametrize("name", MADE)
def test_every_option_has_its_help(name, capsys):
    with pytest.raises(SystemExit):
        tyro.cli(PROBLEMS[name].options, args=["--help"])
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for field in dataclasses.fields(PROBLEMS[name].options):
        option = shown.split(f"--{field.name.replace('_', '-')} ")[1]
        assert option.split("(default")[0].count(" ") > 3, field.name
