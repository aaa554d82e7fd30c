"""What holds for an estimator draw by draw, and no test of a mean can see."""

import time
from dataclasses import replace

import torch
from torch import Tensor, func

from vae_fn import random, tree
from vae_fn.gradients import Estimator, Problem
from vae_fn.types import Params, Tree
from vae_fn.verify.coordinates import coordinates_of, vector
from vae_fn.verify.estimators.settings import Setting, estimated, specification_of
from vae_fn.verify.problems import at_posterior
from vae_fn.verify.properties.pure import pure
from vae_fn.verify.seeds import key_of
from vae_fn.verify.verdict import Verdict

ROUNDING = 1e-10
"""What is forgiven in float64, relative to 1 + |value|."""

DRAWS = 16
"""Noises at which an identity is looked at."""


def per_example(estimator: Estimator, setting: Setting) -> Verdict:
    """Check that each example of a batch is estimated from its own noise: values in turn, gradients added up.

    One noise for the whole batch leaves every mean as it is, and correlates what is added up.

    Raises:
        ValueError: the estimator refuses the setting.
    """
    start, known = time.perf_counter(), setting.known
    x = setting.batch
    problem, name = known.pose(x), f"{estimator.name} on {setting.name}"
    specs = estimator.noise_like(problem, known.params, setting.samples)
    noise = random.draw(key_of(name, known.params, "per_example"), specs, torch.float64)
    state = estimator.init(problem, known.params)
    together = estimated(estimator, problem, known.params, noise, state)
    alone = [
        estimated(estimator, known.pose(x[i]), known.params, tree.map(lambda leaf, i=i: leaf[:, i], noise), state)
        for i in range(len(x))
    ]
    added = {"value": torch.stack([e["value"] for e in alone]), "grads": tree.add(*(e["grads"] for e in alone))}
    return replace(_same("per_example", name, together, added), seconds=time.perf_counter() - start)


def still(estimator: Estimator, samples: int = 2) -> Verdict:
    """Check that the encoder's gradient is 0 at every draw where q is the exact posterior (Roeder et al. 2017).

    This is what holding q's density still is for; without it the mean is the same.

    Raises:
        ValueError: the estimator refuses Gaussian latents.
    """
    start, known = time.perf_counter(), at_posterior(2)
    specs = estimator.noise_like(known.problem, known.params, samples)
    keys = random.split(key_of(estimator.name, known.params, "still"), DRAWS)
    state = estimator.init(known.problem, known.params)
    noise = random.draw(keys, specs, torch.float64)

    def encoder(noise: Tree) -> Tree:
        return estimated(estimator, known.problem, known.params, noise, state)["grads"]["encoder"]

    moved = torch.vmap(encoder)(noise)
    name = f"{estimator.name} at the exact posterior, K={samples}"
    return replace(_same("still", name, moved, tree.zeros_like(moved)), seconds=time.perf_counter() - start)


def derivative(estimator: Estimator, setting: Setting) -> Verdict:
    """Check that the gradient is the derivative of the value at fixed noise, as it is for pathwise estimators.

    What has mean zero, such as the density's pull in the pathwise gradient, shows here and in no mean.

    Raises:
        ValueError: the estimator refuses the setting.
    """
    start, known = time.perf_counter(), setting.known
    name = f"{estimator.name} on {setting.name}"
    noise, state = _noise(estimator, setting, "derivative"), estimator.init(known.problem, known.params)
    grads, value = func.grad_and_value(
        lambda params: estimator.estimate(known.problem, params, noise, state).value.sum()
    )(known.params)
    seen = estimated(estimator, known.problem, known.params, noise, state)
    return replace(
        _same("derivative", name, seen, {"value": value, "grads": grads}), seconds=time.perf_counter() - start
    )


def every_sample(estimator: Estimator, setting: Setting) -> Verdict:
    """Check that each draw of noise, one a sample or a pair, is used: without it, the estimate is another one.

    Raises:
        ValueError: the estimator refuses the setting.
    """
    start, known = time.perf_counter(), setting.known
    noise, state = _noise(estimator, setting, "here"), estimator.init(known.problem, known.params)
    others = [_noise(estimator, setting, f"elsewhere {draw}") for draw in range(DRAWS)]

    def estimate(noise: Tree) -> Tensor:
        return vector(estimated(estimator, known.problem, known.params, noise, state))

    def counts(k: int) -> bool:
        moved = (tree.map(lambda leaf, new: _replaced(leaf, new, k), noise, other) for other in others)
        return any(not torch.equal(estimate(some), here) for some in moved)

    here = estimate(noise)
    draws = len(tree.leaves(noise)[0])
    unused = [k for k in range(draws) if not counts(k)]
    status = "rejected" if unused else "passed"
    detail = f"sample {unused[0] + 1} of {draws} changes nothing" if unused else "every sample counts"
    name, seconds = f"{estimator.name} on {setting.name}", time.perf_counter() - start
    return Verdict("every_sample", name, "deterministic", status, detail, float(len(unused)), seconds=seconds)


def pure_estimate(estimator: Estimator, setting: Setting) -> Verdict:
    """Check that `estimate` is a pure function: it writes into nothing that it is given, and keeps nothing elsewhere.

    Raises:
        ValueError: the estimator refuses the setting.
    """
    known, estimate = setting.known, estimator.estimate

    def value_and_gradient(problem: Problem, params: Params, noise: Tree, state: Tree) -> tuple[Tree, Tree]:
        found = estimate(problem, params, noise, state)
        return found.value, found.grads

    noise, state = _noise(estimator, setting, "pure"), estimator.init(known.problem, known.params)
    name = f"{estimator.name} on {setting.name}"
    return pure(value_and_gradient, known.problem, known.params, noise, state, name=name)


def holds_density(estimator: Estimator) -> bool:
    """Whether an estimator of coefficients pulls the path and never the density: `still` is then to be expected."""
    if estimator.rule is None:
        return False
    log_weights = random.normal(key_of(estimator.name, (), "log weights"), (max(2, estimator.min_samples), 8)).double()
    found = estimator.rule(log_weights, 1.0)
    return not bool(found.density.any()) and bool(found.path.any())


def _noise(estimator: Estimator, setting: Setting, stage: str) -> Tree:
    key = key_of(f"{estimator.name} on {setting.name}", setting.known.params, stage)
    return random.draw(key, specification_of(estimator, setting), torch.float64)


def _replaced(leaf: Tensor, new: Tensor, k: int) -> Tensor:
    """The leaf with entry k along the samples taken from another one."""
    own = torch.arange(len(leaf)) == k
    return torch.where(own.reshape(-1, *(1,) * (leaf.ndim - 1)), new, leaf)


def _same(claim: str, name: str, seen: Tree, expected: Tree) -> Verdict:
    one, other = vector(seen), vector(expected)
    gaps = (one - other).abs() / (1 + other.abs())
    at = int(gaps.nan_to_num(torch.inf).argmax())
    gap, place = float(gaps[at]), coordinates_of(expected).name(at)
    finite = bool(one[at].isfinite() | other[at].isfinite())
    said = "{:.9g} where {:.9g} is expected" if finite else "not finite either way, {:.9g} and {:.9g}"
    detail = f"{said.format(float(one[at]), float(other[at]))}, at {place}"
    status = "passed" if gap <= ROUNDING else "rejected"
    return Verdict(claim, name, "deterministic", status, detail, gap, ROUNDING, place)
