"""Micro-batches: a batch taken a few examples at a time is the whole batch, to rounding."""

import pytest
import torch
from torch.fx import GraphModule

from tests.gradients.estimators.discrete import categorical_vae, layered_vae
from tests.models.toys import bernoulli_vae
from tests.training.problems import PIXELS, algorithm, double, images, small_vae, streams
from tests.training.test_conditional import conditional_vae
from vae_fn import compiling, data, gradients, models, tree
from vae_fn.bench.memory import peak_bytes
from vae_fn.gradients.estimators import CATALOGUE
from vae_fn.run.estimators import TRAITS
from vae_fn.training import Batch, microbatches, sgd
from vae_fn.training.step import draw_noise

STATELESS = [name for name, traits in TRAITS.items() if not traits.stateful]
EXAMPLES = 7


def vae_for(name):
    return bernoulli_vae(PIXELS, 2, True) if TRAITS[name].latents == "discrete" else small_vae()


def built(name="dreg", vae=None, samples=2, **settings):
    """Its step moves the parameters by the mean gradient, so that all of this can be compared."""
    entry = CATALOGUE[name]
    pose = gradients.elbo_problem if entry.closed_kl else gradients.elbo_sampled_problem
    settings = {"optimizer": sgd(1.0), "binarisation": data.DYNAMIC} | settings
    return algorithm(vae or vae_for(name), pose, entry.make(), samples=samples, **settings)


def a_step(algorithm, examples=EXAMPLES, dtype=torch.float64, context=None):
    batch = Batch(images(examples), context)
    state = algorithm.init(streams().init, batch)
    state = double(state) if dtype == torch.float64 else state
    noise = draw_noise(streams(), state.step, algorithm.noise_like(batch), dtype)
    return algorithm.step(state, batch, noise)


def assert_whole(name, microbatch, **settings):
    whole, sliced = a_step(built(name, **settings)), a_step(built(name, microbatch=microbatch, **settings))
    for one, other in zip(tree.leaves(sliced), tree.leaves(whole), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", STATELESS)
def test_every_estimator_without_a_state_gives_the_numbers_of_the_whole_batch(name):
    assert_whole(name, 3)


@pytest.mark.parametrize("microbatch", [1, 2, 4, 6, 7, 8])
@pytest.mark.parametrize("samples", [1, 5])
def test_slices_of_any_size_do(microbatch, samples):
    assert_whole("iwae", microbatch, samples=samples, clip_norm=0.1)


@pytest.mark.parametrize("vae", [layered_vae((3, 2)), categorical_vae(2, 3), bernoulli_vae(3, 2, False)])
def test_every_kind_of_discrete_latents_does(vae):
    pixels = images(EXAMPLES)[:, :3]
    ends = []
    for microbatch in (None, 3):
        step = built("vimco", vae, microbatch=microbatch)
        state = double(step.init(streams().init, Batch(pixels)))
        noise = draw_noise(streams(), state.step, step.noise_like(Batch(pixels)), torch.float64)
        ends.append(tree.leaves(step.step(state, Batch(pixels), noise)))
    for one, other in zip(*ends, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("kind", ["the last slice is left out", "each slice has the noise of the first"])
def test_a_wrong_sum_is_seen(kind, monkeypatch):
    right, taken = microbatches._looped, microbatches._taken
    if kind == "the last slice is left out":
        monkeypatch.setattr(microbatches, "_looped", lambda term, count, zeros: right(term, count - 1, zeros))
    else:
        first = torch.tensor(0)
        monkeypatch.setattr(
            microbatches,
            "_taken",
            lambda inputs, i, count: (taken(inputs, i, count)[0], taken(inputs, first, count)[1]),
        )
    with pytest.raises(AssertionError):
        assert_whole("iwae", 2)


def test_the_context_is_sliced_along():
    context = torch.eye(2)[[0, 1, 1, 0, 1, 0, 0]].double()
    whole, sliced = (a_step(built(vae=conditional_vae(), microbatch=m), context=context) for m in (None, 3))
    for one, other in zip(tree.leaves(sliced), tree.leaves(whole), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-13)


def test_a_trunk_in_bfloat16_is_sliced_to_its_own_rounding():
    vae = models.bfloat16_trunk(small_vae())
    whole, sliced = (a_step(built(vae=vae, microbatch=m), dtype=torch.float32) for m in (None, 2))
    for one, other in zip(tree.leaves(sliced), tree.leaves(whole), strict=True):
        assert one.dtype == other.dtype
        torch.testing.assert_close(one, other, rtol=2e-2, atol=2e-2)


def test_the_noise_is_that_of_the_whole_batch():
    batch = Batch(images(5))
    assert built(microbatch=2).noise_like(batch) == built().noise_like(batch)


@pytest.mark.parametrize("name", sorted(set(TRAITS) - set(STATELESS)))
def test_estimators_that_learn_from_a_batch_are_refused(name):
    with pytest.raises(ValueError, match="learns from whole batches"):
        built(name, microbatch=2).init(streams().init, Batch(images(4)))


def test_noise_that_has_no_examples_behind_its_samples_is_refused():
    right = CATALOGUE["iwae"].make()

    def turned(problem, params, samples):
        spec = right.noise_like(problem, params, samples)
        return type(spec)(spec.law, (spec.shape[1], spec.shape[0], *spec.shape[2:]))

    wrong = algorithm(
        pose=gradients.elbo_sampled_problem,
        estimator=right._replace(noise_like=turned),
        binarisation=data.DYNAMIC,
        samples=4,
        microbatch=2,
    )
    with pytest.raises(ValueError, match="its noise must be"):
        wrong.noise_like(Batch(images(5)))


@pytest.mark.parametrize("microbatch", [0, -3])
def test_a_microbatch_of_none_is_refused(microbatch):
    with pytest.raises(ValueError, match="1 or more"):
        built(microbatch=microbatch)


def peak(microbatch):
    """The memory of a step on 2,000 examples with 64 samples each."""
    step, batch = built(samples=64, microbatch=microbatch), Batch(images(2_000))
    state = step.init(streams().init, batch)
    noise = draw_noise(streams(), state.step, step.noise_like(batch), torch.float32)
    step.step(state, batch, noise)
    found = peak_bytes(lambda: step.step(state, batch, noise), 0, torch.device("cpu"))
    if found is None:
        pytest.skip("this system does not tell a process's peak memory")
    return found


def test_memory_follows_the_option():
    whole, half, little = (peak(microbatch) for microbatch in (None, 1_000, 50))
    assert whole > 20e6
    assert half < 0.7 * whole
    assert little < 0.25 * whole


def test_shapes_are_known_without_computing():
    _, info = tree.shapes_of(a_step, built(microbatch=2))
    assert info.loss.shape == ()


def nodes(graph: GraphModule) -> int:
    """In a graph and in the loops inside it."""
    return sum(len(part.graph.nodes) for part in graph.modules() if isinstance(part, GraphModule))


def test_the_program_does_not_grow_with_the_number_of_slices(fresh_compiler):
    sizes = []

    def keep(graph, inputs):
        sizes.append(nodes(graph))
        return graph

    for examples in (4, 64):
        step, batch = built(microbatch=2), Batch(images(examples))
        state = step.init(streams().init, batch)
        noise = draw_noise(streams(), state.step, step.noise_like(batch), torch.float32)
        compiling.compile_step(step.step, donate=False, backend=keep)(state, batch, noise)
    assert len(sizes) == 2
    assert sizes[0] == sizes[1]


def test_a_compiled_epoch_takes_slices_in_every_step(fresh_compiler):
    """Beside eager steps of whole batches."""
    whole, sliced = (built(microbatch=microbatch, optimizer=sgd(0.1)) for microbatch in (None, 2))
    batch, keys = Batch(images(5)), tree.clone(streams())
    specs, state = whole.noise_like(batch), whole.init(streams().init, batch)

    def step(state, batch, keys, take=sliced.step):
        return take(state, batch, draw_noise(keys, state.step, specs, torch.float32))

    expected, infos = state, []
    for _ in range(3):
        expected, info = step(expected, batch, keys, whole.step)
        infos.append(torch.stack(info))
    state, found = compiling.compile_epoch(step)(state, 3, batch, keys)
    torch.testing.assert_close(torch.stack(found, -1), torch.stack(infos), rtol=1e-4, atol=1e-5)
    for one, other in zip(tree.leaves(state), tree.leaves(expected), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
