"""The training step: a pure function from state, batch and noise to state.

The data's way: uint8 pixels -> targets in [0, 1] -> a `Problem` -> an estimator's values and gradient, summed over the
batch -> the loss's mean gradient, clipped -> the optimizer.
"""

from collections.abc import Callable, Hashable
from typing import NamedTuple, TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils import _pytree as pytree

from vae_fn import random, tree
from vae_fn.data import Binarisation
from vae_fn.data.pixels import check_rows
from vae_fn.errors import check_kind, described
from vae_fn.gradients import Estimate, Estimator, Problem
from vae_fn.models import VAE
from vae_fn.models.fit import check_data, check_density
from vae_fn.models.precision import wide
from vae_fn.optimization.optimizers import Optimizer
from vae_fn.optimization.schedules import Schedule, check_schedule
from vae_fn.random import Streams
from vae_fn.training.checks import check_parts, check_settings
from vae_fn.training.clipping import clip_by_global_norm
from vae_fn.training.microbatches import Sliceable, check_sliceable, sum_over_slices
from vae_fn.training.totals import Totals, no_totals, totals_of
from vae_fn.types import Context, Key, Params, Pixels, Shape, Tree

Pose = Callable[[VAE, Tensor, Context, float | Tensor], Problem]
"""`pose(vae, x, context, beta)`: the problem that a batch of data poses, such as `elbo_problem`."""


class Batch(NamedTuple):
    """A batch as it lies in memory: pixel intensities, and what the model is conditioned on."""

    pixels: Pixels
    context: Context = None


class State(NamedTuple):
    """What the next step needs: tensors alone. `step` counts the steps done."""

    params: Params
    optimizer: Tree
    estimator: Tree
    step: Int[Tensor, ""]


class Info(NamedTuple):
    """What a human reads of a step, means over its batch in nats per example; `grad_norm` is taken before clipping.

    `loss` is minus the objective, whatever that is; `elbo = reconstruction - kl` is the bound at beta = 1.
    """

    loss: Float[Tensor, ""]
    elbo: Float[Tensor, ""]
    reconstruction: Float[Tensor, ""]
    kl: Float[Tensor, ""]
    grad_norm: Float[Tensor, ""]


Run: TypeAlias = Callable[[State, Batch, Streams], tuple[State, Info]]
"""A step that draws its own noise, as from `step_by_shape`."""


class Algorithm(NamedTuple):
    """A way of training, as pure functions.

    Attributes:
        init: `init(key, batch) -> state`; the values of the batch's context set up the estimator, and those of its
            pixels are checked.
        noise_like: `noise_like(batch)` gives the noise specifications of a step on a batch of these shapes, under the
            names of the streams that they are drawn from.
        targets: `targets(batch, noise)`: what the batch's pixels become, `(b, d)` in [0, 1].
        estimate: `estimate(state, batch, noise)`: the objective and its gradient, of the whole batch at once.
        step: `step(state, batch, noise) -> (state, info)`.
        attempt: the step before it is decided whether to keep what it gave, None where that is `step` itself.
    """

    init: Callable[[Key, Batch], State]
    noise_like: Callable[[Batch], dict[str, Tree]]
    targets: Callable[[Batch, dict[str, Tree]], Float[Tensor, "b d"]]
    estimate: Callable[[State, Batch, dict[str, Tree]], Estimate]
    step: Callable[[State, Batch, dict[str, Tree]], tuple[State, Info]]
    attempt: Callable[[State, Batch, dict[str, Tree]], tuple[State, Info]] | None = None


def make_step(
    vae: VAE,
    pose: Pose,
    estimator: Estimator,
    optimizer: Optimizer,
    *,
    binarisation: Binarisation,
    samples: int = 1,
    beta: Schedule | None = None,
    clip_norm: float = float("inf"),
    microbatch: int | None = None,
) -> Algorithm:
    """The training algorithm of a model, a problem, an estimator and an optimizer.

    Args:
        vae: the model.
        pose: the problem that a batch poses; it must suit the estimator.
        estimator: of the problem's gradient.
        optimizer: descends the loss.
        binarisation: how pixels become targets.
        samples: K, posterior samples per example.
        beta: weight of the KL as a function of the step; None is the number 1.
        clip_norm: largest norm of the batch's mean gradient; infinity never clips.
        microbatch: examples that pass through the networks at a time, None for the whole batch. Memory grows with them
            and not with the batch; the numbers stay, to rounding.

    Raises:
        TypeError: a part is not what it must be, such as a function that was not called.
        ValueError: a number is out of its range; or, from `init` and `noise_like`, the estimator does not suit the
            problem, the number of samples or micro-batches; or, from `init`, pixels are not what the model reads, or
            are grey under a Bernoulli where the estimator weighs samples by importance.
    """
    check_parts(vae, pose, estimator, optimizer, binarisation)
    check_settings(samples, beta, clip_norm, microbatch)

    def blank(key: Key, batch: Batch) -> Problem:
        return pose(vae, torch.zeros(batch.pixels.shape, device=key.device), batch.context, 1.0)

    def init(key: Key, batch: Batch) -> State:
        params, step = vae.init(key), torch.zeros((), dtype=torch.int64, device=key.device)
        _check_batch(batch)
        check_data("the batch", vae, params, batch.pixels, batch.context, binarisation)
        if estimator.importance_weighted:
            check_density(estimator.name, vae, params, batch.pixels, batch.context, binarisation)
        if beta is not None:
            check_schedule("beta", beta, step)
        own = estimator.init(blank(key, batch), params)
        if microbatch is not None and tree.leaves(own):
            raise ValueError(f"{estimator.name} has a state that it learns from whole batches: leave microbatch out")
        return State(params, optimizer.init(params), own, step)

    def noise_like(batch: Batch) -> dict[str, Tree]:
        _check_batch(batch)

        def posterior_noise(key: Key) -> Tree:
            return estimator.noise_like(blank(key, batch), vae.init(key), samples)

        posterior = tree.shapes_of(posterior_noise, random.key(0, batch.pixels.device))
        if microbatch is not None:
            check_sliceable(estimator.name, posterior, len(batch.pixels))
        return {"noise": posterior, "binarise": binarisation.noise_like(tuple(batch.pixels.shape))}

    def targets(batch: Batch, noise: dict[str, Tree]) -> Tensor:
        return binarisation.apply(batch.pixels, noise["binarise"])

    def estimate(state: State, batch: Batch, noise: dict[str, Tree]) -> Estimate:
        dtype = wide(state.params)
        weight = 1.0 if beta is None else beta(state.step).to(dtype)
        problem = pose(vae, targets(batch, noise).to(dtype), batch.context, weight)
        return estimator.estimate(problem, state.params, noise["noise"], state.estimator)

    def total(state: State, batch: Batch, noise: dict[str, Tree]) -> tuple[Totals, Tree]:
        estimated = estimate(state, batch, noise)
        return totals_of(vae, state.params, batch.context, estimated), estimated.state

    def total_by_slices(state: State, batch: Batch, noise: dict[str, Tree]) -> tuple[Totals, Tree]:
        def of_slice(inputs: Sliceable) -> Totals:
            (batch, binarise), posterior = inputs
            return total(state, batch, {"noise": posterior, "binarise": binarise})[0]

        assert microbatch is not None
        inputs = ((batch, noise["binarise"]), noise["noise"])
        return sum_over_slices(of_slice, inputs, microbatch, no_totals(state.params)), state.estimator

    summed = total if microbatch is None else total_by_slices

    def step(state: State, batch: Batch, noise: dict[str, Tree]) -> tuple[State, Info]:
        check_kind("noise", noise, dict, "step_by_shape(algorithm) draws it, as algorithm.noise_like(batch) says")
        totals, estimator_state = summed(state, batch, noise)
        mean = tree.scale(totals, 1 / len(batch.pixels))
        clipped, norm = clip_by_global_norm(tree.scale(mean.grads, -1.0), clip_norm)
        params, optimizer_state = optimizer.update(clipped, state.optimizer, state.params)
        info = Info(-mean.objective, mean.reconstruction - mean.kl, mean.reconstruction, mean.kl, norm)
        return State(params, optimizer_state, estimator_state, state.step + 1), info

    return Algorithm(init, noise_like, targets, estimate, step)


def draw_noise(streams: Streams, step: Int[Tensor, ""], specs: dict[str, Tree], dtype: torch.dtype) -> dict[str, Tree]:
    """The noise of a step: each array from its own stream, folded with the number of the step."""
    keys = {name: random.fold_in(getattr(streams, name), step) for name in specs}
    return {name: random.draw(keys[name], spec, dtype) for name, spec in specs.items()}


def step_by_shape(algorithm: Algorithm, edge: Callable = lambda step: step) -> Run:
    """The step that draws its own noise, one function for each shape of a batch, each passed through `edge`.

    `edge` is where compiling happens (`compile_step`): a full batch and the short last one are two programs of fixed
    shapes, and neither is ever compiled again.
    """
    check_kind("algorithm", algorithm, Algorithm, "pass what training.make_step gave, not its step alone")
    if not callable(edge):
        raise TypeError(
            f"edge must be a function of a step, not {described(edge)}: pass compiling.compile_step as it is"
        )
    return shared_steps(edge)(algorithm)


def shared_steps(edge: Callable = lambda step: step) -> Callable[[Algorithm], Run]:
    """`step_by_shape` of algorithms that differ in the values of tensors alone, such as their learning rates.

    Those of one noise run one program for each shape. An algorithm's own step is an argument of it: `torch.compile`
    looks at the code of that and the shapes of the tensors in it, and takes their values as inputs.
    """
    programs: dict[Hashable, Callable] = {}

    def of(algorithm: Algorithm) -> Run:
        own: dict[tuple[Shape, ...], Callable] = {}

        def run(state: State, batch: Batch, streams: Streams) -> tuple[State, Info]:
            if not own:
                _check_call(state, batch, streams)
            shapes = tuple(tuple(leaf.shape) for leaf in tree.leaves(batch))
            if shapes not in own:
                noise, structure = pytree.tree_flatten(specs := algorithm.noise_like(batch))
                form = (shapes, structure, *noise)
                own[shapes] = programs[form] = programs.get(form) or edge(_keyed(specs))
            return own[shapes](state, batch, streams, algorithm.step)

        return run

    return of


def _check_call(state: State, batch: Batch, streams: Streams) -> None:
    check_kind("state", state, State, "pass what algorithm.init or the step before gave")
    _check_batch(batch)
    check_kind("streams", streams, Streams, "split the key of a run once, with random.streams(key)")


def _check_batch(batch: Batch) -> None:
    check_kind("batch", batch, Batch, "wrap its pixels, as in training.Batch(pixels)")
    check_rows("the batch", batch.pixels)


def _keyed(specs: dict[str, Tree]) -> Callable[..., tuple[State, Info]]:
    def keyed(state: State, batch: Batch, streams: Streams, step: Callable) -> tuple[State, Info]:
        return step(state, batch, draw_noise(streams, state.step, specs, torch.float32))

    return keyed
