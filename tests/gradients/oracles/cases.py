"""Values and gradients by autograd over sums that are written out, for oracles to be held against."""

import itertools
import math

import numpy as np
import torch

from tests.gaps import largest
from vae_fn import tree


def gap(one, other):
    """The largest difference of two trees."""
    pairs = zip(tree.leaves(one), tree.leaves(other), strict=True)
    return largest((a - b).abs().max() for a, b in pairs if a.numel())


def hermite(order):
    x, w = np.polynomial.hermite.hermgauss(order)
    return torch.from_numpy(x) * math.sqrt(2), torch.from_numpy(w) / math.sqrt(math.pi)


def tuples(q, samples, order):
    """Values of K samples `(samples, n, *event)` of a q of batch shape (), and the weight of each tuple."""
    if hasattr(q, "logits"):
        event = q.logits.shape
        if q.event_ndim == 1:
            states = [
                torch.tensor(bits, dtype=torch.float64) for bits in itertools.product((0.0, 1.0), repeat=event[0])
            ]
        else:
            rows = torch.eye(event[1], dtype=torch.float64)
            states = [torch.stack(rows_of) for rows_of in itertools.product(rows, repeat=event[0])]
        z = torch.stack([torch.stack(chosen) for chosen in itertools.product(states, repeat=samples)]).movedim(1, 0)
        return z, q.to_torch().log_prob(z).sum(0).exp()
    x, w = hermite(order)
    dimensions = samples * q.loc.shape[-1]
    grid = torch.cartesian_prod(*[x] * dimensions).reshape(-1, samples, q.loc.shape[-1]).movedim(1, 0)
    weights = torch.cartesian_prod(*[w] * dimensions).reshape(-1, dimensions).prod(-1)
    return q.loc + q.scale * grid, weights


def direct(known, samples, order, elbo=False):
    """E of the log mean weight of K samples, or of the mean log-weight, with the gradient, by a sum over K-tuples."""
    params = tree.map(lambda leaf: leaf.clone().requires_grad_(), known.params)
    problem = known.problem
    q = problem.q(params)
    z, weights = tuples(q, samples, order)
    log_w = problem.f(params, z)
    if problem.p is not None:
        log_w = log_w + problem.beta * (problem.p(params).to_torch().log_prob(z) - q.to_torch().log_prob(z))
    average = log_w.mean(0) if elbo else torch.logsumexp(log_w, 0) - math.log(samples)
    value = (weights * average).sum()
    if problem.exact is not None:
        value = value + problem.exact(params, q)
    grads = torch.autograd.grad(value, tree.leaves(params), allow_unused=True, materialize_grads=True)
    each = iter(grads)
    return value.detach(), tree.map(lambda leaf: next(each), params)


def step_along(oracle, params, step=1e-4):
    """The slope of an oracle's value along a direction, from its gradient and from a difference."""
    direction = tree.map(
        lambda leaf: torch.linspace(-1, 1, leaf.numel(), dtype=leaf.dtype).reshape(leaf.shape) + 0.1, params
    )
    up, down = (oracle(tree.add(params, tree.scale(direction, by))).value.sum() for by in (step, -step))
    found = zip(tree.leaves(oracle(params).grads), tree.leaves(direction), strict=True)
    return float(sum((g * d).sum() for g, d in found)), float(up - down) / (2 * step)
