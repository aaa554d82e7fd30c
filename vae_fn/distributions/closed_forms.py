"""The closed forms of KL(q || p), one function a pair, in nats.

Elementwise pairs return one value per coordinate, `(*b, d)`; pairs with a full covariance return one per example. Equal
families are written as sums of terms that cannot be negative (`t - log(1 + t)` and squares), so that nothing cancels
where q is close to p. The cross-entropies of unequal families need only the mean, the covariance or the mean absolute
deviation of q.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from vae_fn.distributions.bernoulli import Bernoulli
from vae_fn.distributions.categorical import Categorical
from vae_fn.distributions.laplace import Laplace
from vae_fn.distributions.logistic import Logistic
from vae_fn.distributions.multivariate_normal import MultivariateNormal, solve_lower
from vae_fn.distributions.normal import HALF_LOG_TWO_PI, Normal

PerDimension = Float[Tensor, "*b d"]
PerExample = Float[Tensor, "*b"]
Broadcast = Float[Tensor, "*#b d"]


def normal_normal(q: Normal, p: Normal) -> PerDimension:
    """t**2 / 2 + (t - log(1 + t)) + ((m_q - m_p) / s_p)**2 / 2 with t = s_q / s_p - 1."""
    return _scale_divergence(q.scale / p.scale) + 0.5 * ((q.loc - p.loc) / p.scale) ** 2


def laplace_laplace(q: Laplace, p: Laplace) -> PerDimension:
    """(r - 1 - log r) + r (exp(-a) - 1 + a) with r = b_q / b_p and a = |m_q - m_p| / b_q."""
    ratio, shift = q.scale / p.scale, (q.loc - p.loc).abs() / q.scale
    return (ratio - 1 - ratio.log()) + ratio * (torch.expm1(-shift) + shift)


def laplace_normal(q: Laplace, p: Normal) -> PerDimension:
    """-H(q) + the normal cross-entropy at variance 2 b**2."""
    return _normal_cross_entropy(q.loc, 2 * q.scale**2, p) - _laplace_entropy(q)


def logistic_normal(q: Logistic, p: Normal) -> PerDimension:
    """-H(q) + the normal cross-entropy at variance (pi s)**2 / 3."""
    return _normal_cross_entropy(q.loc, (math.pi * q.scale) ** 2 / 3, p) - _logistic_entropy(q)


def normal_laplace(q: Normal, p: Laplace) -> PerDimension:
    """-H(q) + log(2 b) + E|x - m_p| / b."""
    return _laplace_cross_entropy(_normal_deviation(q.loc - p.loc, q.scale), p) - _normal_entropy(q.scale)


def logistic_laplace(q: Logistic, p: Laplace) -> PerDimension:
    """-H(q) + log(2 b) + E|x - m_p| / b with E|x - m_p| = 2 s log(2 cosh((m_q - m_p) / 2 s))."""
    standard = (q.loc - p.loc) / q.scale
    deviation = -q.scale * (F.logsigmoid(standard) + F.logsigmoid(-standard))
    return _laplace_cross_entropy(deviation, p) - _logistic_entropy(q)


def bernoulli_bernoulli(q: Bernoulli, p: Bernoulli) -> PerDimension:
    """sigma(a) [log sigma(a) - log sigma(b)] + the same at (-a, -b)."""
    one = F.logsigmoid(q.logits) - F.logsigmoid(p.logits)
    zero = F.logsigmoid(-q.logits) - F.logsigmoid(-p.logits)
    return torch.sigmoid(q.logits) * one + torch.sigmoid(-q.logits) * zero


def categorical_categorical(q: Categorical, p: Categorical) -> Float[Tensor, "*b v"]:
    """sum_c q_c (log q_c - log p_c), one value per variable."""
    log_q, log_p = F.log_softmax(q.logits, -1), F.log_softmax(p.logits, -1)
    return (log_q.exp() * (log_q - log_p)).sum(-1)


def multivariate_multivariate(q: MultivariateNormal, p: MultivariateNormal) -> PerExample:
    """The divergence of M = L_p^-1 L_q plus |L_p^-1 (m_q - m_p)|**2 / 2."""
    excess = torch.linalg.solve_triangular(p.scale_tril, q.scale_tril - p.scale_tril, upper=False)
    divergence = _matrix_divergence(_diagonal(q) / _diagonal(p), excess)
    return divergence + 0.5 * (solve_lower(p.scale_tril, q.loc - p.loc) ** 2).sum(-1)


def normal_multivariate(q: Normal, p: MultivariateNormal) -> PerExample:
    """The multivariate pair with L_q = diag(s_q)."""
    loc, scale = torch.broadcast_tensors(*q)
    return multivariate_multivariate(MultivariateNormal(loc, torch.diag_embed(scale)), p)


def multivariate_normal(q: MultivariateNormal, p: Normal) -> PerExample:
    """The multivariate pair with L_p = diag(s_p)."""
    ratio = q.scale_tril / p.scale.unsqueeze(-1)
    divergence = _matrix_divergence(ratio.diagonal(dim1=-2, dim2=-1), ratio)
    return divergence + 0.5 * (((q.loc - p.loc) / p.scale) ** 2).sum(-1)


def laplace_multivariate(q: Laplace, p: MultivariateNormal) -> PerExample:
    """-H(q) + the multivariate cross-entropy at covariance diag(2 b**2)."""
    q = Laplace(*torch.broadcast_tensors(*q))
    return _multivariate_cross_entropy(q.loc, 2 * q.scale**2, p) - _laplace_entropy(q).sum(-1)


def logistic_multivariate(q: Logistic, p: MultivariateNormal) -> PerExample:
    """-H(q) + the multivariate cross-entropy at covariance diag((pi s)**2 / 3)."""
    q = Logistic(*torch.broadcast_tensors(*q))
    return _multivariate_cross_entropy(q.loc, (math.pi * q.scale) ** 2 / 3, p) - _logistic_entropy(q).sum(-1)


def multivariate_laplace(q: MultivariateNormal, p: Laplace) -> PerExample:
    """-H(q) + sum_i log(2 b_i) + E|x_i - m_i| / b_i, where x_i has the standard deviation |row i of L_q|."""
    marginal_scale = torch.linalg.vector_norm(q.scale_tril, dim=-1)
    cross = _laplace_cross_entropy(_normal_deviation(q.loc - p.loc, marginal_scale), p)
    return (cross - _normal_entropy(_diagonal(q))).sum(-1)


def _scale_divergence(ratio: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
    """KL between centred normals whose scales have this ratio: t**2 / 2 + t - log(1 + t); `t` is exact near 0."""
    excess = ratio - 1
    return 0.5 * excess**2 + (excess - ratio.log())


def _matrix_divergence(diagonal: PerDimension, below: Float[Tensor, "*b d d"]) -> PerExample:
    """(|M|_F**2 - d) / 2 - sum log M_ii for a lower-triangular M, given its diagonal and any matrix equal to it below.

    Below the diagonal L_p^-1 L_q is L_p^-1 (L_q - L_p), which is exactly zero where q is p; a solver's diagonal is not
    exactly one there.
    """
    return _scale_divergence(diagonal).sum(-1) + 0.5 * (torch.tril(below, -1) ** 2).sum((-2, -1))


def _diagonal(q: MultivariateNormal) -> PerDimension:
    return q.scale_tril.diagonal(dim1=-2, dim2=-1)


def _normal_entropy(scale: PerDimension) -> PerDimension:
    return HALF_LOG_TWO_PI + 0.5 + scale.log()


def _laplace_entropy(q: Laplace) -> PerDimension:
    return 1 + math.log(2) + q.scale.log()


def _logistic_entropy(q: Logistic) -> PerDimension:
    return 2 + q.scale.log()


def _normal_deviation(shift: Broadcast, scale: Broadcast) -> Broadcast:
    """E|shift + scale e| for standard normal e (folded normal, Leone et al. 1961)."""
    standard = shift / (scale * math.sqrt(2))
    return scale * math.sqrt(2 / math.pi) * torch.exp(-(standard**2)) + shift * torch.erf(standard)


def _normal_cross_entropy(mean: Broadcast, variance: Broadcast, p: Normal) -> Broadcast:
    return 0.5 * (variance + (mean - p.loc) ** 2) / p.scale**2 + p.scale.log() + HALF_LOG_TWO_PI


def _laplace_cross_entropy(deviation: Broadcast, p: Laplace) -> Broadcast:
    return deviation / p.scale + p.scale.log() + math.log(2)


def _multivariate_cross_entropy(mean: Broadcast, variance: Broadcast, p: MultivariateNormal) -> Float[Tensor, "*#b"]:
    identity = torch.eye(p.scale_tril.shape[-1], dtype=p.scale_tril.dtype, device=p.scale_tril.device)
    inverse = torch.linalg.solve_triangular(p.scale_tril, identity, upper=False)
    trace = (inverse**2 * variance.unsqueeze(-2)).sum((-2, -1))
    log_det = _diagonal(p).log().sum(-1)
    return 0.5 * (trace + (solve_lower(p.scale_tril, mean - p.loc) ** 2).sum(-1)) + log_det + _constant(p)


def _constant(p: MultivariateNormal) -> float:
    return HALF_LOG_TWO_PI * p.loc.shape[-1]
