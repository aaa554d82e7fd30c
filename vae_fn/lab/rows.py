"""One row of the laboratory's table: an estimator and a group of parameters."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor

from vae_fn import tree
from vae_fn.gradients.estimator import Evaluations
from vae_fn.lab.analysis import Analysis
from vae_fn.types import Params, Tree

PERCENT = 0.01
"""The share of the exact gradient's length for which `draws_to_see` is stated."""


class Row(NamedTuple):
    """What was measured of one group of parameters, for a mini-batch of `batch_size` data.

    Variances are traces: sums over the group's coordinates. None is what cannot be had.

    Attributes:
        problem: its name.
        estimator: its name.
        samples: K.
        group: of parameters.
        unbiased_for: what the estimator claims.
        target: "the ELBO" or "the K-sample bound": what its mean is held against.
        bias: the length of mean - exact, freed of what the draws' own noise adds to it.
        bias_se: the length that mean - exact has from noise, and from what bounds the error of the exact one: a smaller
            bias is not seen.
        relative_bias: bias over the length of the exact gradient.
        draws_to_see: the draws at which a bias of 1 % of the exact gradient would be as long as `bias_se`.
        variance: of the gradient, noise and mini-batch together.
        variance_exact: of the noise's part, by integration.
        variance_noise: the part that more samples or a better estimator lower.
        variance_batch: the part that a larger batch alone lowers.
        snr: the mean over the coordinates of |mean| / standard deviation.
        snr_floor: what `snr` would be of no signal at all, sqrt(2 / (pi mini-batches)) (Rainforth et al. 2018); of one
            datum, and near it of more: the signal of fixed data is not that of their population.
        cosine: the mean cosine of one draw (one datum, one noise) to the exact gradient.
        forward: evaluations of f for one datum.
        backward: the same, differentiated.
        milliseconds: of one datum's gradient, among others in a chunk.
        draws: gradients of one datum that were drawn.
        batch_size: data of the mini-batch.
    """

    problem: str
    estimator: str
    samples: int
    group: str
    unbiased_for: str
    target: str
    bias: float | None
    bias_se: float | None
    relative_bias: float | None
    draws_to_see: float | None
    variance: float
    variance_exact: float | None
    variance_noise: float
    variance_batch: float | None
    snr: float | None
    snr_floor: float
    cosine: float | None
    forward: int
    backward: int
    milliseconds: float
    draws: int
    batch_size: int

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it: what is not finite is null."""
        return {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in self._asdict().items()
        }


class Measured(NamedTuple):
    """What is known of one estimator on one problem.

    Attributes:
        problem: its name.
        estimator: the name of the contender.
        samples: K.
        unbiased_for: what the estimator claims.
        target: what its mean is held against.
        found: what was drawn.
        exact: the exact gradient, averaged over the data, if it can be had.
        error: a bound on the error of its entries.
        noise: by coordinate, the variance of one datum's gradient by integration, if it can be had.
        evaluations: of f for one datum.
        milliseconds: of one datum's gradient, among others in a chunk.
    """

    problem: str
    estimator: str
    samples: int
    unbiased_for: str
    target: str
    found: Analysis
    exact: Params | None
    error: float
    noise: Params | None
    evaluations: Evaluations
    milliseconds: float


def by_network(measured: Measured, batch_size: int) -> list[Row]:
    """A row for each group of parameters, such as encoder, decoder and prior, that has any."""
    groups = [name for name, group in measured.found.mean.items() if tree.size(group)]
    return [_row(measured, name, lambda values, name=name: values[name], batch_size) for name in groups]


def by_leaf(measured: Measured, batch_size: int) -> list[Row]:
    """A row for each array of parameters."""
    names = [name for name, leaf in tree.flat_names(measured.found.mean).items() if leaf.numel()]
    return [_row(measured, name, lambda values, name=name: tree.flat_names(values)[name], batch_size) for name in names]


def _row(measured: Measured, name: str, part: Callable[[Params], Tree], batch_size: int) -> Row:
    found, draws = measured.found, measured.found.draws
    mean, noise, between = (_flat(part(values)) for values in (found.mean, found.noise, found.between))
    one_datum = noise.sum().item()
    batch = None if between.isnan().any() else max(0.0, between.sum().item()) / batch_size
    spread = (noise + between.nan_to_num(0.0).clamp(min=0)) / batch_size
    exact = None if measured.exact is None else _flat(part(measured.exact))
    bias = _bias(mean, one_datum, draws, exact, measured.error)
    return Row(
        problem=measured.problem,
        estimator=measured.estimator,
        samples=measured.samples,
        group=name,
        unbiased_for=measured.unbiased_for,
        target=measured.target,
        bias=bias.length,
        bias_se=bias.se,
        relative_bias=bias.relative,
        draws_to_see=bias.draws,
        variance=one_datum / batch_size + (batch or 0.0),
        variance_exact=None if measured.noise is None else _flat(part(measured.noise)).sum().item() / batch_size,
        variance_noise=one_datum / batch_size,
        variance_batch=batch,
        snr=_signal_to_noise(mean, spread),
        snr_floor=math.sqrt(2 * batch_size / (math.pi * draws)),
        cosine=None if measured.exact is None or name not in found.cosines else _finite(found.cosines[name].item()),
        forward=measured.evaluations.forward,
        backward=measured.evaluations.backward,
        milliseconds=measured.milliseconds,
        draws=draws,
        batch_size=batch_size,
    )


class _Bias(NamedTuple):
    length: float | None = None
    se: float | None = None
    relative: float | None = None
    draws: float | None = None


def _bias(mean: Tensor, variance: float, draws: int, exact: Tensor | None, error: float) -> _Bias:
    """The columns of the bias, from the mean of so many draws; the variance is the trace of one's."""
    if exact is None:
        return _Bias()
    length, noise = exact.norm().item(), variance / draws
    bias = ((mean - exact).square().sum() - noise).clamp(min=0).sqrt().item()
    se = math.sqrt(noise + error**2 * exact.numel())
    return _Bias(bias, se, bias / length, variance / (PERCENT * length) ** 2) if length else _Bias(bias, se)


def _signal_to_noise(mean: Tensor, variance: Tensor) -> float | None:
    """Averaged over the coordinates that have any noise; None if none has."""
    noisy = variance > 0
    return _finite((mean[noisy].abs() / variance[noisy].sqrt()).mean().item())


def _flat(values: Tree) -> Float64[Tensor, " d"]:
    return torch.cat([leaf.double().flatten() for leaf in tree.leaves(values)])


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
