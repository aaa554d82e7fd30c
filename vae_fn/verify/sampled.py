"""The sampled tier: the mean of a black box, by confirmation stages on fresh draws.

A claim is rejected only if four stages reject it one after the other, each on draws of its own and of twice the size of
the one before: the probabilities multiply, and the normal approximation is needed at 3.7 standard errors where one test
at 1e-9 needs it at 6.4. Where the claim holds, the later stages are almost never run.
"""

import math
import time
from dataclasses import replace
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float64
from torch import Tensor

from vae_fn.types import Tree
from vae_fn.verify import ledger
from vae_fn.verify.coordinates import Coordinates, as_tensors, coordinates_of, vector
from vae_fn.verify.projections import with_projections
from vae_fn.verify.sample import NOTHING, Draw, Sample, check_fresh, take
from vae_fn.verify.seeds import key_of, name_of, replay_line
from vae_fn.verify.statistics import pareto_shape, quantile, skew_corrected
from vae_fn.verify.verdict import Status, Verdict

STAGES, SPARE = 4, 2
"""Rejections that it takes, and stages in reserve for those whose tails are too heavy to judge."""

MARGIN = 10**0.75
"""A stage's level is alpha**(1/4) over this, 1e-3 at alpha = 1e-9: stages were measured to reject right claims up to
1.8 times as often, with 95 % confidence at most 3.4 times (benchmarks/calibration.py)."""

HEAVY = 0.5
"""The Pareto shape above which the variance need not exist and a stage does not count."""

MOST = 10**7
"""The most draws of a first stage."""

PILOT = 1024
"""Draws that are spent on standard deviations where the resolution is asked in the unit of the draws."""


class Plan(NamedTuple):
    """How a claim about a mean is tested.

    Attributes:
        draws: draws of the first stage; each stage doubles it.
        level: of one stage, shared out among the coordinates.
        beta: the probability of missing what is to be resolved.
        sided: 2, or 1 where only a mean below the claim refutes it.
    """

    draws: int
    level: float
    beta: float
    sided: int = 2

    def errors(self, size: int) -> float:
        """Standard errors that a bias must have to be seen in one of `size` coordinates."""
        return quantile(self.level / (self.sided * size)) + quantile(self.beta / STAGES)


def plan(size: int, detect: float, alpha: float, beta: float, sided: int = 2) -> Plan:
    """The plan that sees a bias of `detect` standard deviations in one of `size` coordinates.

    Raises:
        ValueError: `detect` is not positive, or `beta` is no probability.
    """
    ledger.check_error("beta", beta)
    if not detect > 0:
        raise ValueError(f"detect is the size of a bias, above 0, not {detect}")
    level = alpha ** (1 / STAGES) / MARGIN
    sized = Plan(0, level, beta, sided)
    return sized._replace(draws=max(8, math.ceil((sized.errors(size) / detect) ** 2)))


def mean(
    draw: Draw,
    expected: Tree,
    *,
    name: str | None = None,
    detect: float = 0.1,
    resolve: float | None = None,
    alpha: float = ledger.ALPHA,
    beta: float = 1e-3,
) -> Verdict:
    """Check that the mean of the draws of a black box is `expected`.

    Args:
        draw: `draw(key, n)` gives n independent draws: a tensor or a pytree with n in front of every leaf.
        expected: a tree like one draw.
        name: of what is checked; by default where `draw` is defined.
        detect: the bias to be caught in every coordinate, in its standard deviations.
        resolve: the bias to be caught, in the unit of the draws, instead of `detect`.
        alpha: the probability of rejecting a true claim.
        beta: the probability of missing a bias of that size.

    Returns:
        `biased` after four rejections on fresh draws; `rejected` at once for draws that are not finite; `inconclusive`
        where no test without a bound on the variance can judge (`mean_bounded` has one): the tails are too heavy, or a
        coordinate never varied and events of size 1 + |expected| too rare to be seen could make up the difference;
        `underpowered` where `resolve` is out of reach. `resolvable` is the bias that this run would have caught: what
        rounding may do, 1e-6 (1 + |expected|) for float32 draws, is forgiven.

    Raises:
        ValueError: `detect` or `resolve` is not positive, `alpha` or `beta` is not in (0, 1), the draws are no tree
            like `expected`, or they do not depend on the key.
    """
    start = time.perf_counter()
    if resolve is not None and not resolve > 0:
        raise ValueError(f"resolve is the size of a bias, above 0, not {resolve}")
    expected, name, replay = as_tensors(expected), name_of(draw, name), replay_line()
    ledger.assertion("mean", name, alpha, replay)
    draw, expected = with_projections(draw, expected, key_of(name, expected, "directions"))
    fewest = 0
    if resolve is not None:
        scale, still = _pilot(draw, expected, name)
        detect, fewest = resolve / scale, math.ceil(still * _unseen(beta) / resolve)
    sized = plan(coordinates_of(expected).size, detect, alpha, beta)
    sized = sized._replace(draws=max(sized.draws, fewest))
    if sized.draws > MOST:
        detail = f"it would take {sized.draws} draws, more than {MOST}: ask for a larger bias, or integrate"
        return Verdict(
            "mean", name, "sampled", "underpowered", detail, alpha=alpha, seconds=time.perf_counter() - start
        )
    verdict = confirm(draw, expected, sized, "mean", name)
    if resolve is not None and verdict.passed and (verdict.resolvable or 0) > resolve:
        detail = f"only {verdict.resolvable:.3g} is resolved, not {resolve:.3g}: the spread grew since the pilot"
        verdict = replace(verdict, status="underpowered", detail=detail)
    return replace(verdict, alpha=alpha, replay=replay, seconds=time.perf_counter() - start)


def confirm(draw: Draw, expected: Tree, plan: Plan, claim: str, name: str) -> Verdict:
    """Run the stages of a plan; see `mean`.

    A stage that is too heavy to judge is followed by one of twice its size as well: with more draws a light tail shows
    that it is light, and a heavy one stays heavy.
    """
    coordinates, centre = coordinates_of(expected), vector(expected)
    rejections = voids = used = 0
    heaviest, resolvable, head = 0.0, None, NOTHING
    while True:
        stage = rejections + voids
        sample = take(draw, key_of(name, expected, f"{claim} {stage}"), plan.draws << stage, coordinates, centre)
        check_fresh(head, sample.head)
        head = sample.head
        finding = _judge(sample, plan, coordinates, centre)
        used, heaviest = used + sample.draws, max(heaviest, finding.tail)
        resolvable = _resolvable(sample, plan, centre) if resolvable is None else resolvable
        rejections, voids = rejections + (finding.outcome == "against"), voids + (finding.outcome == "void")
        if finding.outcome in _CLOSED or rejections == STAGES or voids > SPARE:
            return Verdict(
                claim,
                name,
                "sampled",
                _STATUS[finding.outcome],
                finding.detail,
                gap=float(sample.mean[finding.at].abs()),
                resolvable=resolvable,
                coordinate=coordinates.name(finding.at),
                draws=used,
                stage=stage + 1,
                statistic=finding.statistic,
                tail=heaviest,
            )


_STATUS: dict[str, Status] = {
    "passed": "passed",
    "against": "biased",
    "void": "inconclusive",
    "rejected": "rejected",
}

_CLOSED = ("passed", "rejected")
"""Outcomes of a stage after which there is no other."""


class _Finding(NamedTuple):
    """What one stage says: of the claim, why, at which coordinate, with which statistic, and the shape of the tail."""

    outcome: Literal["passed", "against", "void", "rejected"]
    detail: str
    at: int
    statistic: float
    tail: float


def _judge(sample: Sample, plan: Plan, coordinates: Coordinates, centre: Float64[Tensor, " d"]) -> _Finding:
    if not bool(sample.finite.all()):
        at = int((~sample.finite).float().argmax())
        return _Finding(
            "rejected", f"draws, or their cubes, are not finite at {coordinates.name(at)}", at, math.nan, math.nan
        )
    slack = _slack(sample, centre)
    statistics = skew_corrected(sample, slack)
    constant = (sample.width <= slack) | (sample.scale == 0)  # the latter beside a distance that swallows the spread
    gaps, doubt = sample.mean.abs(), plan.level / (plan.sided * coordinates.size)
    unsettled = constant & (gaps > slack) & (gaps * sample.draws < (1 + centre.abs()) * -math.log(doubt))
    infinite = sample.mean.sign() * torch.inf
    statistics = torch.where(constant, torch.where((gaps > slack) & ~unsettled, infinite, 0), statistics)
    against = -statistics if plan.sided == 1 else statistics.abs()
    at, tail = int(against.argmax()), pareto_shape(sample.kept)
    seen, bound = float(against[at]), quantile(doubt)
    said = (
        f"{float(sample.mean[at] + centre[at]):.6g} where {float(centre[at]):.6g} is claimed, "
        f"{float(statistics[at]):.2f} standard errors off, at {coordinates.name(at)}"
    )
    if tail > HEAVY:
        detail = f"the tails are too heavy to judge a mean (Pareto shape {tail:.2f}): use mean_bounded, or integrate"
        return _Finding("void", detail, at, float(statistics[at]), tail)
    if seen <= bound and bool(unsettled.any()):
        at = int((gaps * unsettled).argmax())
        detail = (
            f"all of {sample.draws} draws are {float(sample.mean[at] + centre[at]):.6g} where {float(centre[at]):.6g} "
            f"is claimed, at {coordinates.name(at)}: this is wrong, or the mean comes from rarer events: integrate, "
            "use mean_bounded, or draw more (detect)"
        )
        return _Finding("void", detail, at, 0.0, tail)
    return _Finding("against" if seen > bound else "passed", said, at, float(statistics[at]), tail)


def _slack(sample: Sample, centre: Float64[Tensor, " d"]) -> Float64[Tensor, " d"]:
    """The distances that are forgiven, because rounding alone may make them."""
    return sample.rounding * (1 + centre.abs())


def _resolvable(sample: Sample, plan: Plan, centre: Float64[Tensor, " d"]) -> float:
    """The bias that the first stage would have caught in any coordinate: without spread, one of events of size 1."""
    slack, unit = _slack(sample, centre), 1 + centre.abs()
    errors = plan.errors(len(sample.scale)) * sample.scale / math.sqrt(sample.draws)
    errors = torch.where(sample.width <= slack, unit * _unseen(plan.beta) / sample.draws, errors)
    return float((errors + slack).max())


def _unseen(beta: float) -> float:
    """How many events must be expected for it to be unlikely that none is seen."""
    return math.log(STAGES / beta)


def _pilot(draw: Draw, expected: Tree, name: str) -> tuple[float, float]:
    """The largest standard deviation, a tenth added for its error, and the largest 1 + |mean| that did not vary."""
    coordinates, centre = coordinates_of(expected), vector(expected)
    pilot = take(draw, key_of(name, expected, "pilot"), PILOT, coordinates, centre)
    still = torch.where(pilot.width <= _slack(pilot, centre), 1 + centre.abs(), 0.0)
    return max(1.1 * float(pilot.scale.nan_to_num(0.0).max()), 1e-300), float(still.max())
