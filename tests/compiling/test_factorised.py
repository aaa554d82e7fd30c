"""Per-example gradients, compiled and traced: the same numbers, none of the size of batch times a layer's weights."""

from pathlib import Path

import pytest
import torch
from torch._dynamo.utils import counters

from tests.compiling.low_rank.graphs import formed
from tests.gaps import largest
from vae_fn import models, random, tree
from vae_fn.compiling.factorised import compile_factorised, factorising, trace_factorised
from vae_fn.gradients import elbo_problem, elbo_sampled_problem, per_example
from vae_fn.gradients.estimators import CATALOGUE
from vae_fn.models.networks import mlp

BATCH = 17


def gradient_of(vae, name="pathwise", pose=elbo_problem):
    return per_example.estimated(CATALOGUE[name].make(), lambda x: pose(vae, x))


def arrays(vae, samples, dim, latents=2):
    x = (random.uniform(random.key(1), (BATCH, dim)) > 0.5).float()
    return vae.init(random.key(0)), x, random.normal(random.key(2), (samples, BATCH, latents))


def reductions(params):
    return {
        "norm": per_example.norm,
        "clipped mean": per_example.clipped_mean(1.0),
        "second moment": per_example.second_moment,
        "variance": per_example.variance,
        "dot": per_example.dot(tree.map(torch.sin, params)),
        "cosine": per_example.cosine(tree.map(torch.sin, params)),
    }


def gap(one, other):
    """The largest difference of a leaf, relative to its largest entry."""
    pairs = zip(tree.leaves(one), tree.leaves(other), strict=True)
    return largest((a.double() - b).abs().max() / b.abs().max() for a, b in pairs)


def close(found, fn, *args):
    """Held against float64, no further off than float32 gradients that are formed."""
    exact = fn(*tree.map(torch.Tensor.double, args))
    assert gap(found, exact) <= 3 * gap(fn(*args), exact) + 1e-6


@pytest.mark.parametrize("samples", [1, 2])
@pytest.mark.parametrize("estimator", ["pathwise", "dreg", "rloo"])
def test_nothing_of_batch_times_parameters_is_formed_for_the_tutorial(samples, estimator):
    """Of the first weight of the decoder, 64 x 2, factors are no smaller; it is far below all others."""
    vae = models.tutorial()
    params, x, noise = arrays(vae, max(samples, 2) if estimator == "rloo" else samples, 784)
    gradient = gradient_of(vae, estimator, elbo_sampled_problem)
    for name, reduce in reductions(params).items():
        fn = per_example.per_example(gradient, reduce, (0, 1))
        traced = trace_factorised(fn, params, x, noise)
        assert formed(traced.run, BATCH, 64 * 128) == [], name
        assert traced.rewritten >= 9
        close(traced.run(params, x, noise), fn, params, x, noise)


def test_many_evaluations_of_f_are_rows_too():
    """Measure-valued gradients run f at fourteen points."""
    vae, estimator = models.tutorial(), CATALOGUE["measure-valued"].make()
    params, x, _ = arrays(vae, 2, 784)
    noise = random.draw(random.key(3), estimator.noise_like(elbo_sampled_problem(vae, x), params, 2))
    dims = tree.map(lambda leaf: 1, noise)
    gradient = gradient_of(vae, "measure-valued", elbo_sampled_problem)
    fn = per_example.per_example(gradient, per_example.norm, (0, dims))
    traced = trace_factorised(fn, params, x, noise)
    assert formed(traced.run, BATCH, 64 * 128) == []
    close(traced.run(params, x, noise), fn, params, x, noise)


CONFIGURATIONS = {"pathwise": (1, ["norm", "clipped mean"]), "dreg": (2, ["variance", "cosine"])}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_compiled_is_eager(name, fresh_compiler):
    samples, chosen = CONFIGURATIONS[name]
    vae = models.build(mlp([40, 48, 4]), mlp([2, 48, 40]), data_dim=40, latent_dim=2)
    params, x, noise = arrays(vae, samples, 40)

    def reduce(grads):
        return [reductions(params)[each](grads) for each in chosen]

    fn = per_example.per_example(gradient_of(vae, name, elbo_sampled_problem), reduce, (0, 1))
    counters.clear()
    compiled = compile_factorised(fn)
    with torch._inductor.config.patch(fx_graph_cache=False), torch._functorch.config.patch(enable_autograd_cache=False):
        found = compiled(params, x, noise)
    close(found, fn, params, x, noise)
    assert counters["vae_fn"]["factorised"] >= 6
    assert counters["stats"]["unique_graphs"] == 1
    assert not counters["graph_break"]


def test_the_pass_is_told_apart_by_its_source():
    first, second = (factorising()["post_grad_custom_pre_pass"].uuid() for _ in "12")
    assert first == second
    assert isinstance(first, bytes)


def test_its_source_is_all_that_it_is_made_of(monkeypatch):
    seen = []
    monkeypatch.setattr("torch._inductor.custom_graph_pass.get_hash_for_files", lambda paths: seen.extend(paths) or b"")
    factorising()["post_grad_custom_pre_pass"].uuid()
    assert {Path(path).stem for path in seen} >= {"factorised", "rewriting", "following", "reducing", "factors"}


def test_the_library_of_products_can_be_chosen(fresh_compiler):
    with pytest.raises(ValueError, match="unknown"):
        compile_factorised(torch.sin, gemm="unknown")


def test_without_the_parts_of_torch_that_it_needs_it_is_plain(monkeypatch, fresh_compiler):
    monkeypatch.setitem(__import__("sys").modules, "torch._inductor.custom_graph_pass", None)
    monkeypatch.setitem(__import__("sys").modules, "torch.fx.experimental.proxy_tensor", None)
    assert factorising() is None
    assert trace_factorised(torch.sin, torch.ones(2)) is None
