"""Test statistics of means, and the shape of a tail."""

import math

import torch
from jaxtyping import Float64
from torch import Tensor
from torch.special import ndtri

from vae_fn.verify.sample import Sample


def quantile(level: float) -> float:
    """The standard normal quantile that is exceeded with probability `level`."""
    return -float(ndtri(torch.tensor(level, dtype=torch.float64)))


def skew_corrected(sample: Sample, slack: Float64[Tensor, " d"]) -> Float64[Tensor, " d"]:
    """Hall's transformation of the t statistics of the means, which takes out their skewness (Hall 1992).

    With t the usual statistic and g the skewness, t + g t**2 / (3 sqrt n) + g**2 t**3 / (27 n) + g / (6 sqrt n): that
    of Johnson (1978, eq. 2.5), which the cube makes monotone.

    Args:
        sample: the draws, about what their mean is said to be.
        slack: what is taken off the distance of a mean before anything is made of it: rounding.
    """
    root = math.sqrt(sample.draws)
    distance = sample.mean.sign() * (sample.mean.abs() - slack).clamp(min=0)
    t = torch.where(sample.scale > 0, distance * root / sample.scale, 0.0)
    g = sample.skewness / root
    return torch.where(distance == 0, 0.0, t + g * t**2 / 3 + g**2 * t**3 / 27 + g / 6)


def pareto_shape(values: Float64[Tensor, "n h"]) -> float:
    """The largest shape k of the generalised Pareto laws fitted to both tails of every column.

    Moments of order 1/k and above do not exist. A tail is the min(n / 5, 3 sqrt n) values that lie furthest out on its
    side; the fit is the quasi-Bayesian one of Zhang and Stephens (2009). The sides are fitted apart: where two light
    ones of different widths lie over each other, they look like one that is heavy. So does a light tail that begins
    with a step, as that of x**3 - 3 x does, until there are draws enough to look behind it.
    """
    count = len(values)
    tail = min(count // 5, math.ceil(3 * math.sqrt(count)))
    if tail < 5:
        return 0.0
    columns = values.T.contiguous()
    excess = torch.cat([_excess(columns, tail), _excess(-columns, tail)])
    usable = excess[(excess[:, _quarter(tail)] > 0) & excess.isfinite().all(1)]
    return float(_shapes(usable).max()) if len(usable) else 0.0


def _excess(columns: Float64[Tensor, "h n"], tail: int) -> Float64[Tensor, "h m"]:
    """How far the largest entries of each row lie above the next one, from the least to the most."""
    largest = columns.topk(tail + 1).values
    return (largest[:, :-1] - largest[:, -1:]).flip(1)


def _shapes(x: Float64[Tensor, "h m"]) -> Float64[Tensor, " h"]:
    """Zhang and Stephens' estimates of k for rows of sorted excesses; k > 0 for heavy tails."""
    m = x.shape[1]
    points = 30 + int(math.sqrt(m))
    j = torch.arange(1, points + 1, dtype=torch.float64)
    theta = 1 / x[:, -1:] + (1 - torch.sqrt(points / (j - 0.5))) / (3 * x[:, [_quarter(m)]])
    shape = torch.log1p(-theta[:, :, None] * x[:, None]).mean(-1)
    log_likelihood = m * (torch.log(-theta / shape) - shape - 1)
    weights = torch.softmax(log_likelihood.nan_to_num(-torch.inf), 1)
    k = torch.log1p(-(weights * theta).sum(1, keepdim=True) * x).mean(1)
    return k * m / (m + 10) + 5 / (m + 10)  # shrunk a little towards 1/2, as for importance weights (Vehtari et al.)


def _quarter(m: int) -> int:
    """Where the first quartile of m sorted numbers stands."""
    return int(m / 4 + 0.5) - 1
