"""Expectations by quadrature and enumeration, from densities written here: the oracles of the divergences."""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, distributions

from tests.distributions.families import DISCRETE, FACTORISED, states
from vae_fn.distributions import Distribution, Laplace, Logistic, MultivariateNormal, Normal

WINDOW = 50.0
"""Half the width of the window of integration, in scales: exp(-50) = 2e-22 is left out."""

_OFFSETS = torch.tensor([0.0, 0.5, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, WINDOW], dtype=torch.float64)
_BREAKS = torch.cat([-_OFFSETS[1:].flip(0), _OFFSETS])
_NODES, _WEIGHTS = (torch.from_numpy(array) for array in np.polynomial.legendre.leggauss(20))

LOG_DENSITY: dict[type, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    Normal: lambda x, loc, scale: -0.5 * ((x - loc) / scale) ** 2 - torch.log(scale * math.sqrt(2 * math.pi)),
    Laplace: lambda x, loc, scale: -torch.abs((x - loc) / scale) - torch.log(2 * scale),
    Logistic: lambda x, loc, scale: _log_logistic(torch.abs((x - loc) / scale)) - torch.log(scale),
}
"""Densities of one coordinate."""


def _log_logistic(distance: Tensor) -> Tensor:
    return -distance - 2 * torch.log1p(torch.exp(-distance))


def expectation(fn: Callable[[Tensor], Tensor], q: Distribution, p: Distribution) -> Tensor:
    """E_q[fn(x)] for each coordinate, piecewise Gauss-Legendre with breakpoints at the kinks of q and of p.

    The breakpoints lie ever wider apart around both locations, at multiples of both scales. They are held fixed under
    differentiation, which is right for an integrand that is continuous at them.
    """
    x, weights = _panels(q, p)
    loc, scale = q.loc.unsqueeze(-1), q.scale.unsqueeze(-1)
    return (weights * LOG_DENSITY[type(q)](x, loc, scale).exp() * fn(x)).sum(-1)


@torch.no_grad()
def _panels(q: Distribution, p: Distribution) -> tuple[Tensor, Tensor]:
    around = [f.loc.unsqueeze(-1) + f.scale.unsqueeze(-1) * _BREAKS for f in (q, p)]
    low, high = around[0][..., :1], around[0][..., -1:]
    breaks = torch.cat(torch.broadcast_tensors(*around), -1).clamp(low, high).sort(-1).values
    half = (breaks[..., 1:] - breaks[..., :-1]).unsqueeze(-1) / 2
    x = breaks[..., :-1].unsqueeze(-1) + half * (1 + _NODES)
    return x.flatten(-2), (half * _WEIGHTS).flatten(-2)


def hermite(order: int, d: int) -> tuple[Tensor, Tensor]:
    """Nodes `(n, d)` and weights `(n,)` of the product Gauss-Hermite rule for standard normal vectors."""
    x, w = (torch.from_numpy(array) for array in np.polynomial.hermite_e.hermegauss(order))
    nodes = torch.cartesian_prod(*[x] * d).reshape(-1, d)
    weights = torch.cartesian_prod(*[w / w.sum()] * d).reshape(-1, d).prod(-1)
    return nodes, weights


def kl_by_dimension(q: Distribution, p: Distribution) -> Tensor:
    """KL(q || p) of each coordinate."""
    if isinstance(q, Normal) and isinstance(p, Normal):
        nodes, weights = hermite(10, 1)
        x = q.loc.unsqueeze(-1) + q.scale.unsqueeze(-1) * nodes[:, 0]
        return (weights * (_log_density(q, x) - _log_density(p, x))).sum(-1)
    if isinstance(q, DISCRETE):
        return _enumerated_by_dimension(q, p)
    return expectation(lambda x: _log_density(q, x) - _log_density(p, x), q, p)


def kl(q: Distribution, p: Distribution) -> Tensor:
    """KL(q || p) of whole events."""
    if isinstance(q, DISCRETE):
        return _enumerated(q, p)
    if isinstance(q, FACTORISED) and isinstance(p, FACTORISED):
        return kl_by_dimension(q, p).sum(-1)
    return _negative_entropy(q) - _expected_log_density(q, p)


def _log_density(p: Distribution, x: Tensor) -> Tensor:
    return LOG_DENSITY[type(p)](x, p.loc.unsqueeze(-1), p.scale.unsqueeze(-1))


def _negative_entropy(q: Distribution) -> Tensor:
    if isinstance(q, MultivariateNormal):
        return _hermite_mean(q, q)
    return expectation(lambda x: _log_density(q, x), q, q).sum(-1)


def _expected_log_density(q: Distribution, p: Distribution) -> Tensor:
    """E_q[log p]: over q's marginals where p factorises, and otherwise exactly, as log p is then quadratic."""
    if isinstance(p, FACTORISED):
        marginal = Normal(q.loc, q.scale_tril.square().sum(-1).sqrt())
        return expectation(lambda x: _log_density(p, x), marginal, p).sum(-1)
    if isinstance(q, Normal):
        return _hermite_mean(MultivariateNormal(q.loc, torch.diag_embed(q.scale)), p)
    if isinstance(q, MultivariateNormal):
        return _hermite_mean(q, p)
    deviation = expectation(lambda x: (x - q.loc.unsqueeze(-1)) ** 2, q, q).sqrt()
    signs = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=torch.float64)] * q.loc.shape[-1])
    signs = signs.reshape(-1, q.loc.shape[-1], *[1] * (q.loc.ndim - 1)).movedim(1, -1)
    return _torch_density(p, q.loc + deviation * signs).mean(0)


def _hermite_mean(q: MultivariateNormal, p: Distribution) -> Tensor:
    nodes, weights = hermite(6, q.loc.shape[-1])
    x = q.loc + (q.scale_tril @ nodes.mT).movedim(-1, 0)
    return torch.tensordot(weights, _torch_density(p, x), dims=1)


def _torch_density(p: Distribution, x: Tensor) -> Tensor:
    if isinstance(p, MultivariateNormal):
        return distributions.MultivariateNormal(p.loc, scale_tril=p.scale_tril).log_prob(x)
    return LOG_DENSITY[type(p)](x, p.loc, p.scale).sum(-1)


def _enumerated(q: Distribution, p: Distribution) -> Tensor:
    log_q, log_p = (_log_masses(type(q)(logits)) for logits in torch.broadcast_tensors(q.logits, p.logits))
    return (log_q.exp() * (log_q - log_p)).sum(0)


def _enumerated_by_dimension(q: Distribution, p: Distribution) -> Tensor:
    axis = -q.event_ndim
    single = [[type(f)(logits.unsqueeze(axis)) for logits in f.logits.unbind(axis)] for f in (q, p)]
    return torch.stack([_enumerated(one_q, one_p) for one_q, one_p in zip(*single, strict=True)], -1)


def _log_masses(q: Distribution) -> Tensor:
    values = states(q)
    values = values.reshape(len(values), *[1] * (q.logits.ndim - q.event_ndim), *values.shape[1:])
    one = distributions.Bernoulli if q.event_ndim == 1 else distributions.OneHotCategorical
    return distributions.Independent(one(logits=q.logits), 1).log_prob(values)
