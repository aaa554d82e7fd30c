"""Each quantity of a step, once lost, is the first that the diagnosis names, and what it says of tensors is counted."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tests.training.poison import CASES, RATE
from tests.training.problems import algorithm, images, small_vae, streams
from vae_fn import data, gradients, models, training, tree
from vae_fn.gradients import estimators
from vae_fn.training import Batch, sgd
from vae_fn.training.diagnosis import _look, diagnose, first
from vae_fn.training.skipping import skip_nonfinite
from vae_fn.training.step import draw_noise

ORDER = [
    *("params", "optimizer", "estimator", "pixels", "context", "noise", "targets"),
    *("posterior", "z", "prior", "likelihood", "log p(x|z)", "log q(z|x)", "kl by example", "log weights", "objective"),
    *("loss", "elbo", "reconstruction", "kl", "gradient", "grad_norm", "new params", "new optimizer", "new estimator"),
]


def inputs(built, examples=5):
    batch = Batch(images(examples))
    state = built.init(streams().init, batch)
    return state, batch, draw_noise(streams(), state.step, built.noise_like(batch), torch.float32)


def found(built=None, vae=None, change=lambda state, batch, noise: None):
    """The findings of a step whose inputs are changed in place."""
    built = built or algorithm(vae=vae, samples=3, binarisation=data.DYNAMIC)
    given_inputs = inputs(built)
    change(*given_inputs)
    return diagnose(built, vae or small_vae(), *given_inputs)


def test_the_quantities_stand_in_the_order_of_the_computation():
    findings = found()
    assert all(finding.finite and finding.examples == () for finding in findings)
    assert first(findings) is None
    kinds = list(dict.fromkeys(finding.kind for finding in findings))
    assert kinds == [kind for kind in ORDER if kind in kinds]
    assert set(ORDER) - set(kinds) == {"estimator", "context", "new estimator"}
    names = [finding.name for finding in findings]
    assert len(names) == len(set(names))
    assert [name for name in names if name.startswith("gradient/")] == [
        f"gradient/{part}/{layer}.{leaf}"
        for part in ("decoder", "encoder")
        for layer in (2, 0)
        for leaf in ("bias", "weight")
    ]
    assert [name for name in names if "/layer" in name] == [
        f"{part}/layer {layer}" for part in ("posterior", "likelihood") for layer in ("0 Linear", "1 SiLU", "2 Linear")
    ]


def test_shapes_have_the_samples_in_front():
    shapes = {finding.name: finding.shape for finding in found()}
    assert shapes["z"] == shapes["noise/noise"] == (3, 5, 2)
    assert shapes["likelihood/logits"] == (3, 5, 12)
    assert shapes["log p(x|z)"] == shapes["log weights"] == (3, 5)
    assert shapes["objective"] == shapes["kl by example"] == (5,)
    assert shapes["loss"] == ()


PLACES = {
    "params/decoder/0.bias": lambda state, batch, noise: state.params["decoder"]["0.bias"],
    "optimizer/variance/encoder/2.weight": lambda state, batch, noise: state.optimizer.variance["encoder"]["2.weight"],
    "noise/noise": lambda state, batch, noise: noise["noise"],
}


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("name", PLACES)
def test_a_lost_input_comes_first(name, bad):
    def change(*given_inputs):
        PLACES[name](*given_inputs).view(-1)[3] = bad

    lost = first(found(change=change))
    assert (lost.name, lost.nan + lost.inf, lost.minus_inf) == (name, 1, 0)


def test_float_pixels_that_are_lost_come_first_with_their_examples():
    built = algorithm()
    state, batch, noise = inputs(built)
    pixels = batch.pixels.float() / 255
    pixels[1, 2] = pixels[4, 0] = math.nan
    lost = first(diagnose(built, small_vae(), state, Batch(pixels), noise))
    assert (lost.name, lost.nan, lost.examples) == ("pixels", 2, (1, 4))


def test_a_head_that_loses_one_example_is_named_with_it():
    vae = small_vae()

    def likelihood(params, z, context):
        logits = vae.likelihood(params, z, context).logits.clone()
        logits[..., 2, 7] = math.inf
        return vae.likelihood(params, z, context)._replace(logits=logits)

    lost = first(found(vae=vae._replace(likelihood=likelihood)))
    assert (lost.name, lost.inf, lost.examples) == ("likelihood/logits", 3, (2,))


def test_a_field_without_a_batch_belongs_to_no_example():
    """A scale by latent dimension has as many entries as there are examples here, by coincidence."""
    vae = small_vae()

    def posterior(params, x, context):
        return vae.posterior(params, x, context)._replace(scale=torch.tensor([1.0, math.inf]))

    built = algorithm(vae=vae._replace(posterior=posterior))
    lost = first(diagnose(built, vae._replace(posterior=posterior), *inputs(built, examples=2)))
    assert (lost.name, lost.inf, lost.examples) == ("posterior/scale", 1, ())


def test_a_layer_that_overflows_is_named():
    def change(state, batch, noise):
        state.params["encoder"]["0.weight"].fill_(1e30)
        state.params["encoder"]["2.weight"].fill_(1e30)

    findings = found(change=change)
    assert first(findings).name == "posterior/layer 2 Linear"
    named = {finding.name: finding for finding in findings}
    assert named["posterior/layer 1 SiLU"].high > 1e29


@pytest.mark.parametrize("wrapped", [0, 1, 2])
@pytest.mark.parametrize("name", CASES)
def test_what_was_injected_comes_first(name, wrapped):
    """Also in a step that is skipped, however often it is wrapped for that."""
    make, expected = CASES[name]
    built = make(1)
    for _ in range(wrapped):
        built = skip_nonfinite(built)
    lost = first(found(built))
    assert lost.name.startswith(expected)


def test_the_first_parameter_that_overflows_is_named():
    built = CASES["parameters"][0](1)
    state, batch, noise = inputs(built)
    ascent = tree.flat_names(built.estimate(state, batch, noise).grads)
    ends = {name: tree.flat_names(state.params)[name] + RATE * ascent[name].double() / 5 for name in ascent}
    over = [name for name, end in ends.items() if end.abs().max() > torch.finfo(torch.float32).max]
    assert first(found(built)).name == f"new params/{over[0]}"


def test_gradients_are_named_in_backward_order():
    """Both of two leaves are lost: the decoder's comes first on the way back, the encoder's in the parameters."""

    def pose(vae, x, context, beta):
        problem = gradients.elbo_problem(vae, x, context)

        def f(params, z):
            corners = [torch.sqrt(0 * params[part]["0.bias"].sum()) for part in ("encoder", "decoder")]
            return problem.f(params, z) + 0 * sum(corners)

        return problem._replace(f=f)

    findings = found(algorithm(pose=pose))
    lost = [finding.name for finding in findings if finding.kind == "gradient" and not finding.finite]
    assert lost == ["gradient/decoder/0.bias", "gradient/encoder/0.bias"]
    assert first(findings).name == lost[0]


def test_importance_weighted_estimators_and_functions_without_modules_can_be_taken_apart():
    vae = small_vae()
    plain = vae._replace(posterior=lambda params, x, context: vae.posterior(params, x, context))
    built = algorithm(
        pose=gradients.elbo_sampled_problem,
        estimator=estimators.vimco(),
        binarisation=data.DYNAMIC,
        samples=3,
        optimizer=sgd(0.1, momentum=0.9),
    )
    assert first(found(built, plain)) is None


def test_the_numbers_are_those_of_the_step_itself():
    built = algorithm(binarisation=data.DYNAMIC, samples=3)
    new, info = built.step(*inputs(built))
    named = {finding.name: finding for finding in found(built)}
    for name, value in info._asdict().items():
        assert named[name].low == named[name].high == value.item()
    for name, leaf in tree.flat_names({"new params": new.params, "new optimizer": new.optimizer}).items():
        assert (named[name].low, named[name].high) == (leaf.min().item(), leaf.max().item())
    assert named["objective"].low <= -info.loss.item() <= named["objective"].high


@given(arrays.arrays(np.float32, arrays.array_shapes(min_dims=1, max_dims=3, max_side=6), elements=st.floats(width=32)))
def test_a_look_counts_what_numpy_counts(values):
    look = _look("x", torch.from_numpy(values.copy()), values.shape[:1])
    finite = np.isfinite(values)
    assert (look.nan, look.inf, look.minus_inf) == (
        np.isnan(values).sum(),
        np.isposinf(values).sum(),
        np.isneginf(values).sum(),
    )
    bounds = (values[finite].min(), values[finite].max()) if finite.any() else (None, None)
    assert (look.low, look.high) == bounds
    bad = [i for i in range(len(values)) if not finite[i].all()]
    assert look.examples == tuple(bad[:5])
    assert look.finite == finite.all()


def test_layers_are_looked_at_one_by_one():
    vae = models.layered_bernoulli_latents((4, 2), (), images(1).shape[1])
    parts = (vae, gradients.elbo_sampled_problem, estimators.rloo(), sgd(1e-3))
    built = training.make_step(*parts, binarisation=data.DYNAMIC, samples=3)

    def lose(state, batch, noise):
        state.params["encoder"]["z2"]["0.bias"][0] = math.nan

    findings = {finding.name: finding for finding in found(built, vae, lose)}
    assert findings["posterior/0/logits"].finite
    assert findings["posterior/1/logits"].examples == (0, 1, 2, 3, 4)
    assert findings["posterior/1/logits"].shape == (3, 5, 2)
    assert findings["z/0"].shape == (3, 5, 4)
    assert findings["prior/1/logits"].examples == ()
