"""REBAR and RELAX: score gradients with a relaxed control variate, tuned on their own variance.

With z the perturbed logits, b = b(z) their sample, and z~ perturbed logits drawn anew given b,

    g = (F(b) - c(z~)) dlog q(b) + dc(z) - dc(z~)

has the gradient of E F as its mean for any c, its derivatives taken in q's logits through z and through z~. The two are
drawn from common random numbers, so that they are equal in value (Tucker et al. 2017, section 3.1).
REBAR takes c(z) = eta F(relaxed z) (Tucker et al. 2017, eq. 6), RELAX adds a network of z (Grathwohl et al. 2018,
eq. 8). What c is made of descends the variance of one draw: as the mean of g is fixed, its gradient is that of E g**2.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, func

from vae_fn import tree
from vae_fn.distributions import Bernoulli, Categorical, Distribution
from vae_fn.gradients.estimator import Estimate, Estimator, Evaluations, check_latents, check_samples
from vae_fn.gradients.estimators import perceptron
from vae_fn.gradients.estimators.concrete import check_temperature
from vae_fn.gradients.estimators.layering import zeros
from vae_fn.gradients.problem import Problem
from vae_fn.gradients.surrogate import assemble, weigh
from vae_fn.gradients.wires import vjp
from vae_fn.models.objectives import PerSample
from vae_fn.optimization.optimizers import Optimizer, adam
from vae_fn.optimization.schedules import fixed
from vae_fn.types import Params, Tree


class ControlState(NamedTuple):
    """A control variate and the state of its optimizer.

    Attributes:
        control: `scale` (eta) and `log_temperature`, shape (); RELAX's `network` too.
        optimizer: of these.
    """

    control: Params
    optimizer: Tree


def rebar(scale: float = 1.0, temperature: float = 0.5, *, optimizer: Optimizer | None = None) -> Estimator:
    """REBAR for bits and one-hot classes in one layer (Tucker et al. 2017), with eta and the temperature tuned.

    Args:
        scale: the first eta.
        temperature: the first temperature.
        optimizer: of both; Adam at 1e-3 unless another is given.

    Raises:
        ValueError: the temperature is not positive.
    """
    check_temperature(temperature)
    return _tuned("rebar", lambda q: _weights(scale, temperature), optimizer or adam(fixed(1e-3)))


def relax(
    scale: float = 1.0, temperature: float = 0.5, *, optimizer: Optimizer | None = None, seed: int = 0
) -> Estimator:
    """RELAX for bits and one-hot classes in one layer (Grathwohl et al. 2018): REBAR's control variate and a network.

    The network has one hidden layer, reads z relaxed at temperature 1, and begins at zero: as REBAR.

    Args:
        scale: as in `rebar`, and so are `temperature` and `optimizer`.
        temperature: of the relaxation.
        optimizer: of the control variate.
        seed: of the network's first weights.

    Raises:
        ValueError: the temperature is not positive.
    """
    check_temperature(temperature)

    def first(q: Any) -> Params:
        inputs = math.prod(q.logits.shape[-q.event_ndim :])
        return _weights(scale, temperature) | {"network": perceptron.perceptron(seed, inputs)}

    return _tuned("relax", first, optimizer or adam(fixed(1e-3)))


def _tuned(name: str, first: Callable[[Distribution], Params], optimizer: Optimizer) -> Estimator:
    def init(problem: Problem, params: Params) -> ControlState:
        q = _one_layer(name, tree.shapes_of(problem.q, params))
        control = tree.map(lambda leaf: leaf.to(tree.leaves(params)[0]), first(q))
        return ControlState(control, optimizer.init(control))

    def noise_like(problem: Problem, params: Params, samples: int) -> Tree:
        check_samples(name, samples, 1)
        q = _one_layer(name, tree.shapes_of(problem.q, params))
        return q.noise_like((samples,))

    def estimate(problem: Problem, params: Params, noise: Tree, state: ControlState) -> Estimate:
        q, pull_q = vjp(problem.q, params)
        z = _one_layer(name, q).sample(noise)
        joint, pull_joint, seen = vjp(lambda params: weigh(problem, params, z, q.log_prob(z)), params, has_aux=True)
        (grads,) = pull_joint(torch.full_like(joint, 1 / len(joint)))

        def variance(control: Params) -> tuple[Tensor, Tensor]:
            draws = gradients(problem, params, _copies(q, len(joint)), z, noise, seen.log_weights, control)
            return second_moment(draws, q.event_ndim), draws

        slope, draws = func.grad(variance, has_aux=True)(state.control)
        pulled = assemble(problem, params, q, pull_q, seen, grads, q._replace(logits=draws.mean(0)))
        return Estimate(pulled.value, pulled.grads, _descend(optimizer, slope, state), pulled.info)

    def breaks(problem: Problem, params: Params, samples: int) -> Tree:
        q = problem.q(params)
        return zeros(q).T.expand(samples, -1, -1) if isinstance(q, Bernoulli) else None

    return Estimator(name, "the ELBO", "discrete", 1, False, _evaluations, init, noise_like, estimate, breaks=breaks)


def gradients(
    problem: Problem, params: Params, q: Any, z: Tensor, noise: Tree, value: PerSample, control: Params
) -> Float[Tensor, " k *s"]:
    """The gradient in q's logits of each draw by itself.

    Args:
        problem: whose F is f + beta (log p - log q), q held.
        params: where.
        q: a copy of the distribution for each draw, in which z is differentiated.
        z: the samples.
        noise: that z was sampled with.
        value: F at the samples.
        control: what the control variate is made of.
    """
    perturbed, pull_free = vjp(lambda q: q.perturb(noise), q)
    same = q.noise_given(z, perturbed)
    _, pull_given = vjp(lambda q: q.perturb_given(z, same), q)
    at, pull_control = vjp(lambda perturbed: _control(problem, params, q, perturbed, control), perturbed)
    (slope,) = pull_control(torch.ones_like(at))
    (by_free,), (by_given,) = pull_free(slope), pull_given(slope)
    score = func.grad(lambda q: q.log_prob(z).sum())(q)
    signal = (value - at).reshape(*value.shape, *(1,) * q.event_ndim)
    return signal * score.logits + by_free.logits - by_given.logits


def second_moment(draws: Float[Tensor, " k *s"], event_ndim: int) -> Float[Tensor, ""]:
    """The mean over draws and examples of the squared norm: the variance, up to what no control variate changes."""
    return (draws**2).sum(tuple(range(-event_ndim, 0))).mean()


def _control(problem: Problem, params: Params, q: Any, perturbed: Tensor, control: Params) -> PerSample:
    relaxed = q.relax(perturbed, control["log_temperature"].exp())
    _, seen = weigh(problem, params, relaxed, q.log_prob(relaxed))
    value = control["scale"] * seen.log_weights
    if "network" not in control:
        return value
    return value + perceptron.apply(control["network"], q.relax(perturbed, 1.0).flatten(-q.event_ndim))


def _weights(scale: float, temperature: float) -> Params:
    scalar = {"scale": scale, "log_temperature": math.log(temperature)}
    return {name: torch.tensor(value, dtype=torch.float64) for name, value in scalar.items()}


def _copies(q: Any, samples: int) -> Any:
    return q._replace(logits=q.logits.expand(samples, *q.logits.shape))


def _descend(optimizer: Optimizer, slope: Params, state: ControlState) -> ControlState:
    return ControlState(*optimizer.update(slope, state.optimizer, state.control))


def _one_layer(name: str, q: Distribution) -> Any:
    check_latents(name, "discrete", q)
    if not isinstance(q, Bernoulli | Categorical):
        raise ValueError(f"{name} takes one layer of latents, and {type(q).__name__} has several: use disarm or rloo")
    return q


def _evaluations(q: Distribution, samples: int) -> Evaluations:
    """F at the samples and relaxed, both differentiated; tuning goes back through the relaxed ones once more."""
    return Evaluations(2 * samples, 3 * samples)
