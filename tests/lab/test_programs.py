"""The same draws and the same sums, whichever way they are run."""

import pytest
import torch

from vae_fn import models, random, tree
from vae_fn.gradients import elbo_sampled_problem
from vae_fn.gradients.posed import Posed
from vae_fn.lab import contender, programs
from vae_fn.lab.analysis import datum
from vae_fn.lab.subject import Subject
from vae_fn.models.networks import mlp

KEY = random.key(5)


def posed(dtype=torch.float32, count=2):
    """A VAE whose weights are large enough to have factors."""
    vae = models.build(mlp([60, 48, 4]), mlp([2, 48, 60]), data_dim=60, latent_dim=2)
    params = tree.map(lambda leaf: leaf.to(dtype), vae.init(random.key(0)))
    x = (random.uniform(random.key(1), (count, 60), dtype) > 0.5).to(dtype)
    return Posed("vae", lambda x: elbo_sampled_problem(vae, x), x, params, "the ELBO")


def subject_of(name, place):
    one = contender(name, 2)
    return Subject(one, one.posing(place.pose, place.data, place.params), place.params).warmed_up(place.data, KEY, 2)


@pytest.fixture
def worth(monkeypatch):
    """All draws are enough."""
    monkeypatch.setattr(programs, "WORTH", 0)


@pytest.mark.parametrize("name", ["pathwise", "dreg", "rloo", "nvil", "antithetic", "gdreg"])
def test_sums_from_factors_are_the_sums(name, worth):
    """About a reference that is not near zero, with float64 for judge."""
    place = posed()
    subject, x = subject_of(name, place), place.data[0]
    found = programs.program(subject, x, 64, 1, edge=unused)
    keys = random.split(KEY, found.size)
    reference = tree.map(lambda leaf: 0.1 + leaf, place.params)
    assert found.size == 64
    right = subject.chunk(x)(x, reference, keys)
    for one, other in zip(tree.leaves(found.chunk(x, reference, keys)), tree.leaves(right), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5 * float(other.abs().max()))


def unused(fn):
    raise AssertionError("what comes from factors is not compiled")


def test_float64_and_few_draws_are_run_as_before(worth, monkeypatch):
    taken = []
    place = posed(torch.float64)
    programs.program(subject_of("pathwise", place), place.data[0], 64, 1, edge=lambda fn: taken.append(fn) or fn)
    assert len(taken) == 1
    monkeypatch.setattr(programs, "WORTH", float("inf"))
    place = posed()
    plain = programs.program(subject_of("pathwise", place), place.data[0], 64, 1, edge=unused)
    assert not isinstance(plain.chunk, torch.fx.GraphModule)


def test_chunks_are_as_long_as_fits(worth, monkeypatch):
    place = posed()
    subject = subject_of("pathwise", place)
    whole = programs.program(subject, place.data[0], 64, 1, edge=unused)
    monkeypatch.setattr(programs, "BUDGET", 150_000)
    part = programs.program(subject, place.data[0], 64, 1, edge=unused)
    assert (whole.size, part.size < 64) == (64, True)
    assert -(-64 // part.size) * part.size - 64 < 64 // part.size


def nearly_still(place):
    """The problem at a posterior so narrow that the decoder's gradient hardly varies."""
    bias = place.params["encoder"]["2.bias"] + torch.tensor([0.0, 0.0, -9.0, -9.0])
    params = {**place.params, "encoder": {**place.params["encoder"], "2.bias": bias}}
    return place._replace(params=params)


@pytest.mark.parametrize("change", [lambda place: place, nearly_still])
@pytest.mark.parametrize("name", ["stl", "pathwise"])
def test_variances_are_those_of_the_plain_way(name, change, worth):
    """Also where that of the decoder is far below the square of its mean."""
    place = change(posed())
    subject, x = subject_of(name, place), place.data[0]
    plain, found = subject.chunk(x), programs.program(subject, x, 64, 1, edge=unused)
    keys = random.split(KEY, found.size)
    mean = tree.scale(plain(x, tree.zeros_like(place.params), keys).deviations, 1 / 64)
    reference = tree.map(torch.Tensor.float, mean)
    for group in ("encoder", "decoder"):
        variances = [
            sum(leaf.sum().item() for leaf in tree.leaves(datum(chunk(x, reference, keys), 64).within[group]))
            for chunk in (plain, found.chunk)
        ]
        assert variances[1] == pytest.approx(variances[0], rel=1e-3)
    square = sum(leaf.square().sum().item() for leaf in tree.leaves(mean["decoder"]))
    assert (variances[0] < 1e-5 * square) == (change is nearly_still)
