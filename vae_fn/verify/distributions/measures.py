"""Nodes for integrals over the values of a distribution, from its `log_prob` alone.

Independent coordinates are integrated one by one, two that depend on each other one inside the other, and states are
summed.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor

from vae_fn.distributions import Family
from vae_fn.verify.distributions.panels import NotIntegratedError, Points, Rule, adapt, edges_around, find_peak
from vae_fn.verify.distributions.subject import Subject

QUANTILES = 16
"""Points at which distribution functions are compared."""

WORK = 2**15
"""The most lines times coordinates squared: what it costs to integrate independent coordinates."""

PLANES = 16
"""The most elements of a batch whose two dependent coordinates are integrated."""

INDEPENDENT = 1e-9
"""Up to which error of log_prob, relative to its size, it is a sum over coordinates."""


class Lines(NamedTuple):
    """Independent coordinates: `rules[i]` is for coordinate i, where the others are at `centre`."""

    centre: Float64[Tensor, "l d"]
    rules: tuple[Rule, ...]


class Joint(NamedTuple):
    """Nodes of whole events and their weights; states have the weight 1."""

    nodes: Float64[Tensor, "n l d"]
    weights: Float64[Tensor, "n l"]


Measure = Lines | Joint

Laws = tuple[Family, ...]
"""Q, and p if its log density is integrated too."""


def measure(subject: Subject, p: Family | None = None) -> Measure | None:
    """How to integrate over q, and functions of log p beside it; None if it has too many dimensions or elements."""
    if subject.discrete:
        if subject.states is None:
            return None
        nodes = subject.states.unsqueeze(1).expand(-1, subject.lines, -1)
        return Joint(nodes, torch.ones_like(nodes[..., 0]))
    if subject.lines * subject.dimensions**2 > WORK:
        return None
    laws = (subject.q,) if p is None else (subject.q, p)
    try:
        if all(_is_independent(subject, law) for law in laws):
            return _lines(subject, laws)
        return _plane(subject, laws) if subject.dimensions == 2 and subject.lines <= PLANES else None
    except NotIntegratedError:
        return None


def thresholds(subject: Subject) -> Float64[Tensor, "m l d"]:
    """Quantiles of the pilot: where distribution functions are compared, and where integrals are cut."""
    levels = torch.arange(1, QUANTILES + 1, dtype=torch.float64) / (QUANTILES + 1)
    return subject.pilot.quantile(levels, 0)


def _is_independent(subject: Subject, q: Family) -> bool:
    """Whether log_prob is a sum over coordinates: at some draws, it is rebuilt from one coordinate at a time."""
    rows = subject.pilot[:32]
    centre = subject.pilot[32:33]
    there, whole = subject.log_density(q, centre), subject.log_density(q, rows)
    alone = [subject.log_density(q, moved(centre, i, rows[..., i])) for i in range(subject.dimensions)]
    rebuilt = there + (torch.stack(alone) - there).sum(0)
    gap = (rebuilt - whole).abs() / (1 + whole.abs() + there.abs())
    return subject.dimensions == 1 or bool((gap <= INDEPENDENT + 1e3 * subject.blur).all())


def _lines(subject: Subject, laws: Laws) -> Lines:
    units, points = _units(subject), torch.cat([thresholds(subject), _places(subject, laws)])
    start = subject.pilot.median(0).values

    def along(i: int, centre: Float64[Tensor, "l d"]) -> Callable[[Points], Points]:
        return lambda x: clean(subject.log_density(subject.q, moved(centre, i, x)))

    peaks = [find_peak(along(i, start), points[..., i], units[..., i]) for i in range(subject.dimensions)]
    centre = torch.stack([peak.place for peak in peaks], -1)
    base, rules = subject.log_density(subject.q, centre), []
    for i, peak in enumerate(peaks):

        def integrand(x: Points, i: int = i) -> Float64[Tensor, "n l c"]:
            logs = [clean(subject.log_density(law, moved(centre, i, x))) for law in laws]
            return _columns([logs[0] - base, *logs[1:]])

        nodes, weights = adapt(integrand, edges_around(along(i, start), peak, points[..., i]))
        rules.append(Rule(*_on_support(nodes, weights, along(i, centre)(nodes))))
    return Lines(centre, tuple(rules))


def _plane(subject: Subject, laws: Laws) -> Joint:
    """The second coordinate is integrated inside the first, on a line of its own for every node of the first."""
    cuts, units, places = thresholds(subject), _units(subject), _places(subject, laws)

    def inside(x: Points, cut: bool) -> tuple[Rule, Float64[Tensor, "k n l 2"]]:
        def rows(y: Float64[Tensor, "k m"]) -> Float64[Tensor, "k n l 2"]:
            y = y.unflatten(1, x.shape)
            return torch.stack([x.expand_as(y), y], -1)

        def logs(y: Float64[Tensor, "k m"]) -> list[Tensor]:
            return [clean(subject.log_density(law, rows(y))).flatten(1) for law in laws]

        def on_each(points: Float64[Tensor, "k l"]) -> Float64[Tensor, "k m"]:
            return points.unsqueeze(1).expand(-1, len(x), -1).flatten(1)

        kinks = on_each(places[..., 1])
        peak = find_peak(lambda y: logs(y)[0], kinks, on_each(units[None, :, 1])[0], rounds=4, doublings=16)
        edges = edges_around(lambda y: logs(y)[0], peak, kinks, doublings=16)
        rule = adapt(lambda y: _columns(logs(y)), edges, on_each(cuts[..., 1]) if cut else None)
        return rule, rows(rule.nodes)

    def outer(x: Points) -> Float64[Tensor, "n l c"]:
        rule, rows = inside(x, cut=False)
        columns = _columns([clean(subject.log_density(law, rows)).flatten(1) for law in laws])
        return (rule.weights.unsqueeze(-1) * columns).sum(0).unflatten(0, x.shape)

    def marginal(x: Points) -> Points:
        return outer(x)[..., 0].log()

    seeds = torch.cat([cuts[::5, :, 0], places[..., 0]])
    peak = find_peak(marginal, seeds, units[..., 0], rounds=1, doublings=6)
    rule = adapt(outer, edges_around(marginal, peak, seeds, doublings=6), cuts[..., 0])
    within, rows = inside(rule.nodes, cut=True)
    weights = (rule.weights * within.weights.unflatten(1, rule.nodes.shape)).flatten(0, 1)
    nodes = rows.flatten(0, 1)
    return Joint(*_on_support(nodes, weights, clean(subject.log_density(subject.q, nodes))))


def _on_support(
    nodes: Float64[Tensor, "n l *d"], weights: Points, log_density: Points
) -> tuple[Float64[Tensor, "n l *d"], Points]:
    """The rule without nodes of density 0, whose logarithm has no derivatives: others stand there with no weight."""
    empty = log_density == -torch.inf
    others = nodes[log_density.argmax(0), torch.arange(nodes.shape[1])]
    kept = torch.where(empty.reshape(*empty.shape, *[1] * (nodes.ndim - 2)), others, nodes)
    return kept, torch.where(empty, 0.0, weights)


def _columns(logs: list[Float64[Tensor, "n l"]]) -> Float64[Tensor, "n l c"]:
    """The density, and the density times the log ratio: what a rule must integrate."""
    density = logs[0].exp()
    return torch.stack([density, *(torch.where(density > 0, density * (logs[0] - log), 0.0) for log in logs[1:])], -1)


def moved(centre: Float64[Tensor, "*c l d"], i: int, x: Points) -> Float64[Tensor, "n l d"]:
    """The centre with coordinate i at x."""
    is_i = torch.arange(centre.shape[-1]) == i
    return torch.where(is_i, x.unsqueeze(-1), centre)


def _places(subject: Subject, laws: Laws) -> Float64[Tensor, "m l d"]:
    """The means: where densities are likely to have kinks."""
    shape = (*subject.batch, *subject.event)
    return torch.stack([subject.rows(law.mean.detach().expand(shape)) for law in laws])


def _units(subject: Subject) -> Float64[Tensor, "l d"]:
    """A length of the size of the spread of each coordinate."""
    return subject.pilot.std(0).clamp(min=1e-30)


def clean(log_density: Float64[Tensor, "*n"]) -> Float64[Tensor, "*n"]:
    """Where a density is not defined there is no mass."""
    return torch.where(log_density.isnan(), -torch.inf, log_density)
