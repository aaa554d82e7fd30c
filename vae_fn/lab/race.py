"""Race estimators: the same training by each, at several rates and keys, and the bound on held-out data as it goes.

Each estimator is shown at its own best rate. That is chosen by the bound at the end, averaged over the keys, on the
held-out data that the curves are of, and never on test data.
"""

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from vae_fn import tree
from vae_fn.gradients.estimator import Evaluations
from vae_fn.training.step import State
from vae_fn.types import Params


class Leg(NamedTuple):
    """One training of a race."""

    estimator: str
    samples: int
    learning_rate: float
    key: int


class Runner(NamedTuple):
    """A training that can be run.

    Attributes:
        state: before the first step.
        step: `step(state, number)` is the state after the step of this number; it may consume its argument.
        bound: of held-out data at parameters, in nats per datum.
        evaluations: of f for one datum and step.
    """

    state: State
    step: Callable[[State, int], State]
    bound: Callable[[Params], float]
    evaluations: Evaluations


class Point(NamedTuple):
    """Where a leg stands: after so many steps and seconds of training, at this bound."""

    step: int
    seconds: float
    bound: float


class Curve(NamedTuple):
    """A leg that was run.

    Attributes:
        points: before the first step, and after every so many.
        evaluations: of f for one datum and step.
    """

    points: list[Point]
    evaluations: Evaluations


class Standing(NamedTuple):
    """An estimator at its best rate.

    Attributes:
        estimator: its name.
        samples: K.
        learning_rate: the best one.
        bound: at the end, the mean over the keys.
        spread: the standard deviation over the keys.
        seconds: of training, the mean over the keys.
        evaluations: of f for one datum and step.
        at_edge: whether the best rate is the smallest or largest of several, so that a better one may lie beyond.
    """

    estimator: str
    samples: int
    learning_rate: float
    bound: float
    spread: float
    seconds: float
    evaluations: Evaluations
    at_edge: bool


def run(runner: Runner, steps: int, every: int, done: Callable[[int], None] = lambda steps: None) -> Curve:
    """Train for `steps` steps and look at the bound after every `every` of them and at the end.

    The seconds are those of the steps alone: compiling, in a first step that is thrown away, and looking at the bound
    are outside. A leg whose bound is not finite is lost and ends there.
    """
    points = [Point(0, 0.0, runner.bound(runner.state.params))]
    runner.step(tree.clone(runner.state), 0)
    state, seconds = runner.state, 0.0
    for first in range(0, steps, every):
        last = min(first + every, steps)
        start = time.perf_counter()
        for number in range(first, last):
            state = runner.step(state, number)
        float(state.step)
        seconds += time.perf_counter() - start
        points.append(Point(last, seconds, runner.bound(state.params)))
        done(last - first)
        if not math.isfinite(points[-1].bound):
            break
    return Curve(points, runner.evaluations)


def standings(curves: Mapping[Leg, Curve]) -> list[Standing]:
    """Every estimator at its best rate, the best one first."""
    entrants = dict.fromkeys((leg.estimator, leg.samples) for leg in curves)
    return sorted((_standing(*entrant, curves) for entrant in entrants), key=lambda each: -each.bound)


def best(curves: Mapping[Leg, Curve]) -> dict[Leg, Curve]:
    """The legs at their estimators' best rates."""
    rates = {(each.estimator, each.samples): each.learning_rate for each in standings(curves)}
    return {leg: curve for leg, curve in curves.items() if rates[leg.estimator, leg.samples] == leg.learning_rate}


def _standing(estimator: str, samples: int, curves: Mapping[Leg, Curve]) -> Standing:
    mine = {leg: curve for leg, curve in curves.items() if (leg.estimator, leg.samples) == (estimator, samples)}
    by_rate = {
        rate: [curve for leg, curve in mine.items() if leg.learning_rate == rate]
        for rate in sorted({leg.learning_rate for leg in mine})
    }
    rate = max(by_rate, key=lambda rate: statistics.fmean(map(_final, by_rate[rate])))
    finals = [_final(curve) for curve in by_rate[rate]]
    spread = statistics.stdev(finals) if len(finals) > 1 and all(map(math.isfinite, finals)) else math.nan
    seconds = statistics.fmean(curve.points[-1].seconds for curve in by_rate[rate])
    rates: Sequence[float] = list(by_rate)
    at_edge = len(rates) > 1 and rate in (rates[0], rates[-1])
    evaluations = by_rate[rate][0].evaluations
    return Standing(estimator, samples, rate, statistics.fmean(finals), spread, seconds, evaluations, at_edge)


def _final(curve: Curve) -> float:
    """The bound at the end; of a leg that was lost, minus infinity."""
    return curve.points[-1].bound if math.isfinite(curve.points[-1].bound) else -math.inf
