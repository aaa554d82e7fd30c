"""Mistakes in what a training is made of are told before any step, in words that help."""

import numpy as np
import pytest
import torch

from tests.training.problems import PIXELS, algorithm, images, small_vae, streams
from vae_fn import data, gradients, models, random, tree
from vae_fn.compiling import compile_epoch, compile_pure, compile_step
from vae_fn.gradients import estimators
from vae_fn.models import heads
from vae_fn.models.vae import ShapeError
from vae_fn.optimization import schedules
from vae_fn.training import Batch, adamw, make_step, sgd, step_by_shape

pytestmark = pytest.mark.usefixtures("unchecked")

PARTS = {
    "vae": small_vae(),
    "pose": gradients.elbo_problem,
    "estimator": estimators.pathwise(),
    "optimizer": adamw(1e-3),
    "binarisation": data.GREY,
}


@pytest.mark.parametrize(
    ("part", "given", "words"),
    [
        ("vae", models.tutorial, r"a VAE, not the function tutorial: make one with models\.tutorial\(\)"),
        ("vae", torch.nn.Identity(), "a VAE, not an Identity"),
        ("pose", "elbo", r"a function \(vae, x, context, beta\) -> Problem, not 'elbo'"),
        (
            "pose",
            estimators.pathwise(),
            "a function .*, not an Estimator: pass one such as gradients.elbo_problem",
        ),
        (
            "estimator",
            estimators.pathwise,
            r"an Estimator, not the function pathwise: .* estimators\.pathwise\(\)",
        ),
        ("estimator", estimators.CATALOGUE["rloo"], "an Estimator, not an Entry"),
        ("estimator", "pathwise", "an Estimator, not 'pathwise'"),
        ("optimizer", adamw, r"an Optimizer, not the function adamw: call .* training\.adamw\(1e-3\)"),
        ("optimizer", torch.optim.SGD([torch.zeros(1)], 0.1), "an Optimizer, not a SGD"),
        ("binarisation", "grey", r"a Binarisation, not 'grey': give data\.GREY, .* data\.binarisation\(name\)"),
    ],
)
def test_parts_of_another_kind(part, given, words):
    with pytest.raises(TypeError, match=f"^{part} must be {words}"):
        make_step(**PARTS | {part: given})


@pytest.mark.parametrize("value", [0, -1, 2.0, "2"])
@pytest.mark.parametrize("name", ["samples", "microbatch"])
def test_counts(name, value):
    with pytest.raises(ValueError, match=rf"^{name}=.* is out of range: give a whole number, 1 or more$"):
        algorithm(**{name: value})


@pytest.mark.parametrize("value", [0, -1, float("nan"), None, "1"])
def test_clipping(value):
    with pytest.raises(ValueError, match=r"^clip_norm=.* is out of range: give a positive number \(infinity never"):
        algorithm(clip_norm=value)


@pytest.mark.parametrize("beta", [4.0, torch.tensor(4.0)])
def test_beta_is_a_function(beta):
    with pytest.raises(TypeError, match=r"^beta must be a function of the step, not .*schedules\.constant"):
        algorithm(beta=beta)


def test_schedules_give_tensors():
    batch = Batch(images(4))
    for built, name in (
        (algorithm(beta=lambda step: 1.0), "beta"),
        (algorithm(optimizer=adamw(lambda step: 1e-3)), "learning_rate"),
        (algorithm(optimizer=sgd(lambda step: torch.full((1,), 1e-3))), "learning_rate"),
    ):
        with pytest.raises(TypeError, match=f"^{name} as a function of the step must give a 0-d tensor, not"):
            built.init(streams().init, batch)


@pytest.mark.parametrize("value", [-1e-3, "1e-3", None, {"w": torch.zeros(2)}])
def test_learning_rates(value):
    with pytest.raises(ValueError, match=r"^learning_rate=.* is out of range: give a number with 0 <= learning_rate"):
        adamw(value)
    with pytest.raises(ValueError, match=r"^value=.* is out of range"):
        schedules.constant(value)


FLOATS = images(16).float()


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (FLOATS, "float pixels from 0 to 25., outside .*: divide by 255, or give uint8"),
        (2 * FLOATS / 255 - 1, "float pixels from -1 to .*: scale or clip"),
        (FLOATS.log(), "NaN or infinite"),
        (images(16) > 127, "torch.bool: make them float32"),
        ((images(16) > 127).to(torch.uint8), "1 of 255, so all would be black"),
        (images(16)[0], r"shape \(12,\): give rows"),
    ],
)
@pytest.mark.parametrize("protocol", [data.GREY, data.DYNAMIC], ids=lambda protocol: protocol.name)
def test_pixels_that_are_not_read_as_they_are_meant(pixels, words, protocol):
    with pytest.raises(data.DataError, match=f"^the batch: .*{words}"):
        algorithm(binarisation=protocol).init(streams().init, Batch(pixels))


def test_fixed_pixels_are_prepared():
    built = algorithm(binarisation=data.FIXED)
    with pytest.raises(data.DataError, match=r"prepare the data set first, with data\.FIXED\.prepare"):
        built.init(streams().init, Batch(images(4)))
    built.init(streams().init, Batch(255 * (images(4) > 127).to(torch.uint8)))


def gaussian() -> models.VAE:
    encoder, decoder = models.mlp([PIXELS, 4]), models.mlp([2, PIXELS])
    return models.build(encoder, decoder, data_dim=PIXELS, latent_dim=2, likelihood=heads.fixed_normal(0.1))


def test_a_normal_likelihood_takes_any_floats():
    pixels = FLOATS / 128 - 1
    algorithm(gaussian()).init(streams().init, Batch(pixels))
    with pytest.raises(data.DataError, match="outside"):
        algorithm(gaussian(), binarisation=data.DYNAMIC).init(streams().init, Batch(pixels))


def test_on_shapes_alone_no_value_is_asked_for():
    built = algorithm()
    like = tree.shapes_of(built.init, streams().init, Batch(FLOATS))
    assert tree.map(lambda leaf: leaf.shape, like) == tree.map(
        lambda leaf: leaf.shape, built.init(streams().init, Batch(FLOATS / 255))
    )


@pytest.mark.parametrize("estimator", [estimators.pathwise(), estimators.nvil()], ids=lambda each: each.name)
def test_a_compiled_init_asks_for_no_value_and_gives_the_same_state(estimator, fresh_compiler):
    built = algorithm(pose=gradients.elbo_sampled_problem, estimator=estimator)
    found = torch.compile(built.init, fullgraph=True, backend="aot_eager")(streams().init, Batch(FLOATS))
    expected = built.init(streams().init, Batch(FLOATS / 255))
    assert all(map(torch.equal, tree.leaves(found), tree.leaves(expected)))


@pytest.mark.parametrize(
    ("key", "batch", "words"),
    [
        (0, Batch(images(4)), "a key must be .* not 0: make one with random.key"),
        (streams(), Batch(images(4)), "not a Streams: .* such as streams.init"),
        (Batch(images(4)), streams().init, "a key must be .* not a Batch"),
        (streams().init, images(4), r"batch must be a Batch, not a Tensor .* as in training\.Batch\(pixels\)"),
        (streams().init, data.Split(images(4), None), "batch must be a Batch, not a Split"),
        (streams().init, Batch(images(4).numpy()), r"not an ndarray of uint8 .* torch\.from_numpy"),
    ],
)
def test_arguments_of_init(key, batch, words):
    with pytest.raises(TypeError, match=words):
        algorithm().init(key, batch)


@pytest.mark.parametrize(("vae", "width"), [(small_vae(), PIXELS), (models.tutorial(hidden_dim=8), 784)])
def test_data_of_another_width_than_the_model(vae, width):
    built, batch = algorithm(vae), Batch(images(4)[:, :10])
    with pytest.raises(ShapeError, match=rf"the data have shape \(4, 10\), and the model reads \(\*batch, {width}\)"):
        built.init(streams().init, batch)
    with pytest.raises(ShapeError, match="the data have shape"):
        built.noise_like(batch)


def test_arguments_of_a_step_that_draws_its_noise():
    built, batch = algorithm(), Batch(images(4))
    state = built.init(streams().init, batch)
    for args, words in (
        ((state.params, batch, streams()), "state must be a State, not a dict: pass what algorithm.init"),
        ((batch, state, streams()), "state must be a State, not a Batch"),
        ((state, images(4), streams()), "batch must be a Batch, not a Tensor"),
        ((state, batch, random.key(0)), r"streams must be a Streams, not a Tensor .* random\.streams\(key\)"),
    ):
        with pytest.raises(TypeError, match=words):
            step_by_shape(built)(*args)


def test_arguments_of_the_step_itself():
    built, batch = algorithm(), Batch(images(4))
    state = built.init(streams().init, batch)
    for noise in (streams(), random.normal(streams().noise, (1, 4, 2))):
        with pytest.raises(TypeError, match=r"noise must be a dict, not a .*: step_by_shape\(algorithm\) draws it"):
            built.step(state, batch, noise)


def test_what_is_stepped_and_compiled():
    with pytest.raises(TypeError, match="algorithm must be an Algorithm, not the function step"):
        step_by_shape(algorithm().step)
    with pytest.raises(TypeError, match=r"edge must be a function of a step, not 'inductor': pass compiling\."):
        step_by_shape(algorithm(), "inductor")
    for edge in (compile_pure, compile_step, compile_epoch):
        with pytest.raises(TypeError, match="must be a function, not an Algorithm: of an algorithm it is its step"):
            edge(algorithm())
    with pytest.raises(ValueError, match="count=a Batch is out of range: give a whole number, 1 or more"):
        compile_epoch(algorithm().step, backend="eager")(None, Batch(images(4)))


def test_images_with_more_dimensions_are_refused_by_a_model_that_reads_rows():
    with pytest.raises(ValueError, match=r"the data have shape \(16, 3, 4\), and the model reads \(\*batch, 12\)"):
        algorithm().init(streams().init, Batch(images(16).reshape(16, 3, 4)))


def test_numbers_may_be_tensors_and_arrays_without_dimensions():
    adamw(1e-3, weight_decay=torch.tensor(0.1))
    adamw(np.array(1e-3))
    algorithm(clip_norm=np.array(1.0))
    algorithm(clip_norm=torch.tensor(1.0))
    with pytest.raises(ValueError, match=r"clip_norm=a Tensor of torch\.float32 and shape \(3,\) is out of range"):
        algorithm(clip_norm=torch.ones(3))
