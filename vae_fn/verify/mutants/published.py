"""Faults of other programs, on the problem where they were seen: one bit b with the cost (b - t)**2.

Its gradient in the logit is p (1 - p) (1 - 2 t).
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float64
from torch import Tensor
from torch.func import grad

from vae_fn import tree
from vae_fn.distributions import Bernoulli
from vae_fn.gradients import Estimator, Problem
from vae_fn.gradients.estimators import disarm, rebar, straight_through
from vae_fn.gradients.estimators.arm import scores as arm_scores
from vae_fn.gradients.estimators.pairs import from_pairs
from vae_fn.gradients.estimators.relax import gradients, second_moment
from vae_fn.gradients.oracles.moments import moments
from vae_fn.optimization.optimizers import sgd
from vae_fn.types import Params, Tree
from vae_fn.verify.integrals import exact, exact_variance
from vae_fn.verify.mutants.mutant import Mutant
from vae_fn.verify.verdict import Verdict

Vector = Float64[Tensor, "1"]
THETA, T, TAU = torch.tensor([-0.8], dtype=torch.float64), 0.45, 0.5
BREAKS = torch.sigmoid(torch.cat([-THETA, THETA])).reshape(1, 1, 2)
"""Where bits jump in their noise, drawn from either end of it."""


def quadratic(params: Params, bits: Tensor) -> Tensor:
    """The cost of Tucker et al. (2017), section 5.1."""
    return ((bits - T) ** 2).sum(-1)


def linear(params: Params, bits: Tensor) -> Tensor:
    """A cost for which a straight-through gradient is right."""
    return 0.55 * bits.sum(-1)


def of_bit(cost: Callable[[Params, Tensor], Tensor], family: Any = Bernoulli) -> Problem:
    """That cost of one bit, whose logit is the parameter."""
    return Problem(q=lambda params: family(params["q"]), f=cost)


def true_gradient(cost: Callable[[Params, Tensor], Tensor]) -> Vector:
    """Of E cost in the logit, by enumeration."""
    p = torch.sigmoid(THETA)
    return p * (1 - p) * (cost({}, torch.ones_like(p)) - cost({}, torch.zeros_like(p)))


def gradient_of(estimator: Estimator, problem: Problem) -> Callable[[Tree], Vector]:
    """One draw of the gradient in the logit."""
    params = {"q": THETA}
    state = estimator.init(problem, params)
    return lambda noise: estimator.estimate(problem, params, noise, state).grads["q"]


def noise_of(estimator: Estimator) -> tuple[Tree, Tree]:
    """Its noise for one sample of one bit, uniform, and where that jumps."""
    specs = estimator.noise_like(of_bit(quadratic), {"q": THETA}, 1)
    return specs, tree.map(lambda spec: BREAKS, specs)


def _mean(estimator: Estimator, problem: Problem | None = None, cost: Callable = quadratic) -> Verdict:
    specs, breaks = noise_of(estimator)
    fn = gradient_of(estimator, problem or of_bit(cost))
    return exact(fn, true_gradient(cost), specs, name=estimator.name, breaks=breaks)


# --- REBAR (Tucker et al. 2017, eq. 6), and with another control variate RELAX (Grathwohl et al. 2018)


class HeldNoise(Bernoulli):
    """Bits whose conditional noise is taken for a constant of the logits."""

    def perturb_given(self, value: Tensor, noise: Tensor) -> Tensor:
        """As it should be in value alone."""
        return Bernoulli(self.logits.detach()).perturb_given(value, noise)


def written_out(u: Float64[Tensor, "1 1"], other_end: bool) -> Vector:
    """REBAR's gradient at eta = 1 by its formula, with v the quantile of u within its piece.

    The bit is 1[u > 1 - p], or drawn from the other end of the noise than its relaxation, 1[u < p].
    """
    u, p = u.flatten(), torch.sigmoid(THETA)
    bit = (u < p if other_end else u > 1 - p).double()
    of_one, of_zero = (u / p, (u - p) / (1 - p)) if other_end else ((u - (1 - p)) / p, u / (1 - p))
    v = torch.where(bit > 0.5, of_one, of_zero)

    def relaxed(theta: Tensor, draw: Tensor) -> Tensor:
        return quadratic({}, torch.sigmoid((theta + torch.logit(draw)) / TAU))

    def conditional(theta: Tensor) -> Tensor:
        p = torch.sigmoid(theta)
        return relaxed(theta, torch.where(bit > 0.5, v * p + 1 - p, v * (1 - p)))

    paths = grad(lambda theta: relaxed(theta, u) - conditional(theta))(THETA)
    return (quadratic({}, bit) - conditional(THETA)) * (bit - p) + paths


def _variance(fn: Callable[[Tree], Vector]) -> Verdict:
    """Against that of the package's REBAR."""
    specs, breaks = noise_of(rebar())
    right = moments(gradient_of(rebar(), of_bit(quadratic)), specs, order=60, breaks=breaks).variance
    return exact_variance(fn, right, specs, name="rebar", breaks=breaks)


def _written_mean(other_end: bool) -> Verdict:
    specs, breaks = noise_of(rebar())
    return exact(lambda u: written_out(u, other_end), true_gradient(quadratic), specs, name="rebar", breaks=breaks)


def _tuning(slope: Callable[[Tree], Tensor]) -> Verdict:
    """The mean gradient in eta, against the difference quotient of the exact second moment, a parabola in eta."""
    specs, breaks = noise_of(rebar())

    def second(eta: float) -> Tensor:
        found = moments(gradient_of(rebar(scale=eta), of_bit(quadratic)), specs, breaks=breaks)
        return (found.variance + found.mean**2).sum()

    return exact(slope, second(1.5) - second(0.5), specs, name="rebar's tuning", breaks=breaks)


def slope(noise: Float64[Tensor, "1 1"]) -> Tensor:
    """What one plain step takes off eta."""
    estimator, problem, params = rebar(optimizer=sgd(1.0)), of_bit(quadratic), {"q": THETA}
    state = estimator.init(problem, params)
    return state.control["scale"] - estimator.estimate(problem, params, noise, state).state.control["scale"]


def cut_slope(noise: Float64[Tensor, "1 1"]) -> Tensor:
    """The same with the control variate detached where it multiplies the score."""
    problem, params, q = of_bit(quadratic), {"q": THETA}, Bernoulli(THETA.unsqueeze(0))
    control = rebar().init(problem, params).control
    bit, relaxed = q.sample(noise), quadratic({}, torch.sigmoid(q.perturb(noise) / TAU))

    def variance(eta: Tensor) -> Tensor:
        value = quadratic({}, bit) + (eta - eta.detach()) * relaxed
        draws = gradients(problem, params, q, bit, noise, value, control | {"scale": eta})
        return second_moment(draws, q.event_ndim)

    return grad(variance)(control["scale"])


REBAR = (
    Mutant(
        "rebar: conditional noise held",
        "published",
        "a toy script of RELAX, where a reader of the paper found it after months",
        wrong=lambda: _mean(rebar(), of_bit(quadratic, HeldNoise)),
        right=lambda: _mean(rebar()),
    ),
    Mutant(
        "rebar: z and its relaxation coupled the other way",
        "published",
        "a script of RELAX: unbiased, with another variance",
        wrong=lambda: _variance(lambda u: written_out(u, other_end=True)),
        right=lambda: _variance(lambda u: written_out(u, other_end=False)),
        blind=lambda: _written_mean(other_end=True),
    ),
    Mutant(
        "rebar: tuned through a cut",
        "published",
        "what .detach() makes of the nested gradient that tunes the control variate",
        wrong=lambda: _tuning(cut_slope),
        right=lambda: _tuning(slope),
        blind=lambda: _mean(rebar()),
    ),
)


# --- straight-through and antithetic gradients


def _disarm_variance(estimator: Estimator) -> Verdict:
    """Against its closed form: with m = min(p, 1 - p), the square is (gap (1 - m) / 2)**2 with probability 2 m."""
    specs, breaks = noise_of(disarm())
    m, gap = torch.sigmoid(-THETA.abs()), quadratic({}, torch.ones(1)) - quadratic({}, torch.zeros(1))
    right = 2 * m * (gap * (1 - m) / 2) ** 2 - true_gradient(quadratic) ** 2
    fn = gradient_of(estimator, of_bit(quadratic))
    return exact_variance(fn, right, specs, name=estimator.name, breaks=breaks)


without_scale = from_pairs("disarm", lambda logits, uniform, apart: 0.5 * apart)
not_averaged = from_pairs("disarm", arm_scores)

BITS = (
    Mutant(
        "straight-through: taken for unbiased",
        "published",
        "tests with a linear cost cannot see it",
        wrong=lambda: _mean(straight_through()),
        right=lambda: _mean(straight_through(), cost=linear),
        blind=lambda: _mean(straight_through(), cost=linear),
    ),
    Mutant(
        "disarm: its scale missing",
        "published",
        "",
        wrong=lambda: _mean(without_scale),
        right=lambda: _mean(disarm()),
    ),
    Mutant(
        "disarm: noise not averaged given the pair",
        "published",
        "as in ARM: unbiased, with another variance",
        wrong=lambda: _disarm_variance(not_averaged),
        right=lambda: _disarm_variance(disarm()),
        blind=lambda: _mean(not_averaged),
    ),
)


MUTANTS = (*REBAR, *BITS)
