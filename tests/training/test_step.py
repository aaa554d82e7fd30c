"""The step: its arithmetic against autograd and torch.optim, its purity, and whose noise it draws."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.func import functional_call

from tests.models.toys import linear_gaussian
from tests.training.problems import PIXELS, algorithm, double, images, small_vae, streams
from vae_fn import data, gradients, models, random, tree
from vae_fn.gradients import estimators
from vae_fn.models import objectives
from vae_fn.optimization import schedules
from vae_fn.training import Batch, adamw, make_step, sgd, step_by_shape
from vae_fn.training.step import Algorithm, draw_noise, shared_steps

EPS = 1e-4
"""Adam divides by about this where a gradient is zero but for rounding: at 1e-8 it would show the rounding."""


def reference_steps(state, batches, noises, beta, clip, lr, decay):
    """The tutorial's step written with autograd, torch.distributions and torch.optim, in float64."""
    params = {name: leaf.clone().requires_grad_() for name, leaf in tree.flat_names(state.params).items()}
    optimizer = torch.optim.AdamW(params.values(), lr=lr, weight_decay=decay, eps=EPS)
    nets = {"encoder": models.mlp([PIXELS, 8, 4]), "decoder": models.mlp([2, 8, PIXELS])}
    norms = []
    for batch, noise in zip(batches, noises, strict=True):

        def run(net, x):
            own = {n.removeprefix(f"{net}/"): p for n, p in params.items() if n.startswith(net)}
            return functional_call(nets[net], own, (x,))

        x = (batch.pixels.float() / 255).double()
        loc, raw = run("encoder", x).chunk(2, -1)
        scale = torch.nn.functional.softplus(raw) + 1e-8
        logits = run("decoder", loc + scale * noise["noise"])
        reconstruction = (
            -torch.nn.functional.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none")
            .sum(-1)
            .mean(0)
        )
        q, p = torch.distributions.Normal(loc, scale), torch.distributions.Normal(0.0, 1.0)
        loss = -(reconstruction - beta * torch.distributions.kl_divergence(q, p).sum(-1)).mean()
        optimizer.zero_grad()
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(params.values(), clip).item())
        optimizer.step()
    return {name: leaf.detach() for name, leaf in params.items()}, norms


def run_steps(algorithm: Algorithm, state, batches, noises):
    norms = []
    for batch, noise in zip(batches, noises, strict=True):
        state, info = algorithm.step(state, batch, noise)
        norms.append(info.grad_norm.item())
    return state, norms


def check_equals_reference(algorithm, beta, clip, sizes, samples, seed):
    state = double(algorithm.init(streams(seed).init, Batch(images(sizes[0]))))
    batches = [Batch(images(size, seed + i)) for i, size in enumerate(sizes)]
    noises = [
        draw_noise(streams(seed), torch.tensor(i), algorithm.noise_like(Batch(images(size))), torch.float64)
        for i, size in enumerate(sizes)
    ]
    after, norms = run_steps(algorithm, state, batches, noises)
    expected, expected_norms = reference_steps(state, batches, noises, beta, clip, 1e-2, 1e-2)
    torch.testing.assert_close(torch.tensor(norms), torch.tensor(expected_norms), rtol=1e-10, atol=0)
    before = tree.flat_names(state.params)
    for name, leaf in tree.flat_names(after.params).items():
        torch.testing.assert_close(leaf - before[name], expected[name] - before[name], rtol=1e-8, atol=1e-12)
    assert after.step == len(sizes)


@given(
    st.sampled_from([0.5, 1.0, 4.0]),
    st.sampled_from([0.1, 1.0, 1e6]),
    st.lists(st.integers(1, 6), min_size=1, max_size=4),
    st.integers(1, 3),
    st.integers(0, 2**31),
)
def test_steps_are_those_of_autograd_and_torch_optim(beta, clip, sizes, samples, seed):
    optimizer = adamw(1e-2, eps=EPS)
    built = algorithm(optimizer=optimizer, beta=schedules.constant(beta), clip_norm=clip, samples=samples)
    check_equals_reference(built, beta, clip, sizes, samples, seed)


def test_a_doubled_beta_and_another_optimizer_are_rejected():
    def doubled(vae, x, context, beta):
        return gradients.elbo_problem(vae, x, context, 2 * beta)

    for mutant in (
        algorithm(pose=doubled, optimizer=adamw(1e-2, eps=EPS), clip_norm=1e6),
        algorithm(optimizer=sgd(1e-2), clip_norm=1e6),
    ):
        with pytest.raises(AssertionError):
            check_equals_reference(mutant, 1.0, 1e6, [4, 3], 1, 0)


def test_inputs_are_unchanged_bit_for_bit_and_outputs_are_new():
    built = algorithm(binarisation=data.DYNAMIC, clip_norm=1.0, samples=2)
    state, batch = built.init(streams().init, Batch(images(5))), Batch(images(5))
    noise = draw_noise(streams(), state.step, built.noise_like(Batch(images(5))), torch.float32)
    inputs = (state, batch.pixels, noise)
    kept = tree.clone(inputs)
    new, _ = built.step(state, batch, noise)
    for before, after in zip(tree.leaves(kept), tree.leaves(inputs), strict=True):
        assert torch.equal(before, after)
    old = {leaf.untyped_storage().data_ptr() for leaf in tree.leaves(inputs)}
    assert not old & {leaf.untyped_storage().data_ptr() for leaf in tree.leaves(new)}


def test_terms_add_up_and_loss_is_minus_the_objective():
    beta = 3.0
    built = algorithm(beta=schedules.constant(beta))
    state = double(built.init(streams().init, Batch(images(6))))
    noise = draw_noise(streams(), state.step, built.noise_like(Batch(images(6))), torch.float64)
    _, info = built.step(state, Batch(images(6)), noise)
    torch.testing.assert_close(info.elbo, info.reconstruction - info.kl)
    torch.testing.assert_close(info.loss, -(info.reconstruction - beta * info.kl))


def test_the_warm_up_of_beta_follows_the_step():
    built = algorithm(beta=schedules.linear_warmup(2.0, 4), optimizer=sgd(0.0))
    state = double(built.init(streams().init, Batch(images(6))))
    specs = built.noise_like(Batch(images(6)))
    for step in range(6):
        noise = draw_noise(streams(), state.step, specs, torch.float64)
        state, info = built.step(state, Batch(images(6)), noise)
        torch.testing.assert_close(info.loss, -(info.reconstruction - min(2.0, step / 2) * info.kl))


@pytest.mark.parametrize(
    ("name", "pose", "estimator"),
    [
        ("sampled", gradients.elbo_sampled_problem, estimators.pathwise()),
        ("stl", gradients.elbo_sampled_problem, estimators.sticking_the_landing()),
        ("rloo", gradients.elbo_problem, estimators.rloo()),
        ("iwae", gradients.elbo_sampled_problem, estimators.iwae()),
        ("dreg", gradients.elbo_sampled_problem, estimators.dreg()),
        ("vimco", gradients.elbo_sampled_problem, estimators.vimco()),
        ("wake", gradients.elbo_sampled_problem, estimators.wake()),
    ],
)
def test_every_estimator_trains(name, pose, estimator):
    built = algorithm(pose=pose, estimator=estimator, samples=4, binarisation=data.DYNAMIC)
    run, state = step_by_shape(built), built.init(streams().init, Batch(images(32)))
    pixels = (images(1) > 128).to(torch.uint8).expand(32, PIXELS) * 255
    losses = []
    for _ in range(60):
        state, info = run(state, Batch(pixels), streams())
        losses.append(info.loss.item())
    assert losses[-1] < 0.5 * losses[0], (name, losses[0], losses[-1])


def test_impossible_pairs_are_refused_before_any_step():
    with pytest.raises(ValueError, match="cannot be exact"):
        algorithm(estimator=estimators.iwae(), samples=4, binarisation=data.DYNAMIC).init(
            streams().init, Batch(images(4))
        )
    with pytest.raises(ValueError, match="at least 2"):
        algorithm(estimator=estimators.rloo()).noise_like(Batch(images(4)))


def test_the_noise_of_a_step_depends_on_its_number_alone():
    specs = algorithm(binarisation=data.DYNAMIC).noise_like(Batch(images(3)))
    first, again, other = (draw_noise(streams(), torch.tensor(i), specs, torch.float32) for i in (7, 7, 8))
    for a, b, c in zip(tree.leaves(first), tree.leaves(again), tree.leaves(other), strict=True):
        assert torch.equal(a, b)
        assert not torch.equal(a, c)


def test_the_posterior_noise_has_the_samples_in_front():
    specs = algorithm(samples=3, binarisation=data.DYNAMIC).noise_like(Batch(images(5)))
    assert specs["noise"] == random.Noise(random.normal, (3, 5, 2))
    assert specs["binarise"] == random.Noise(random.uniform, (5, PIXELS))


def test_algorithms_of_other_noise_that_share_their_steps_step_as_they_do_alone():
    """Programs are shared by those of one noise alone, whichever is called first."""
    made = []

    def edge(step):
        made.append(step)
        return step

    built = [algorithm(samples=samples, binarisation=protocol) for samples, protocol in SHARED]
    share, batch = shared_steps(edge), Batch(images(5))
    for each in built:
        state = each.init(streams().init, batch)
        found, expected = share(each)(state, batch, streams()), step_by_shape(each)(state, batch, streams())
        assert all(map(torch.equal, tree.leaves(found), tree.leaves(expected)))
    assert len(made) == 3


SHARED = [(1, data.DYNAMIC), (8, data.DYNAMIC), (1, data.GREY), (8, data.DYNAMIC)]


@pytest.mark.usefixtures("unchecked")
def test_every_algorithm_that_shares_its_steps_looks_at_its_arguments():
    share, batch = shared_steps(), Batch(images(4))
    for built in (algorithm(), algorithm()):
        state, run = built.init(streams().init, batch), share(built)
        with pytest.raises(TypeError, match="state must be a State, not a dict"):
            run(state.params, batch, streams())
        run(state, batch, streams())


def test_without_clipping_the_norm_is_still_reported():
    built = make_step(small_vae(), gradients.elbo_problem, estimators.pathwise(), adamw(1e-3), binarisation=data.GREY)
    state = built.init(streams().init, Batch(images(4)))
    _, info = step_by_shape(built)(state, Batch(images(4)), streams())
    assert math.isfinite(info.grad_norm)
    assert info.grad_norm > 0


def test_several_samples_are_averaged_in_what_is_reported():
    built = algorithm(samples=3)
    state, batch = double(built.init(streams().init, Batch(images(5)))), Batch(images(5))
    noise = draw_noise(streams(), state.step, built.noise_like(batch), torch.float64)
    _, info = built.step(state, batch, noise)
    terms = objectives.elbo(small_vae(), state.params, (batch.pixels.float() / 255).double(), noise["noise"])
    torch.testing.assert_close(info.reconstruction, terms.reconstruction.mean())
    torch.testing.assert_close(info.kl, terms.kl.mean())


def test_importance_weights_of_grey_pixels_are_refused():
    for estimator in (estimators.iwae(), estimators.dreg(), estimators.vimco(), estimators.wake()):
        grey = algorithm(pose=gradients.elbo_sampled_problem, estimator=estimator, samples=2)
        with pytest.raises(ValueError, match=rf"{estimator.name} weighs samples .* grey pixels under a Bernoulli"):
            grey.init(streams().init, Batch(images(5)))


def test_importance_weights_of_continuous_data_are_those_of_their_density():
    """At the exact posterior every weight is the evidence, whatever the noise."""
    vae, params, x, log_evidence = linear_gaussian(0, data=4, latents=2, batch=5)
    built, batch = algorithm(vae, gradients.elbo_sampled_problem, estimators.iwae(), samples=3), Batch(x.float())
    state = double(built.init(streams().init, batch))._replace(params=params)
    noise = draw_noise(streams(), state.step, built.noise_like(batch), torch.float64)
    _, info = built.step(state, batch, noise)
    torch.testing.assert_close(-info.loss, log_evidence.mean(), rtol=1e-6, atol=0)  # the pixels alone are float32
