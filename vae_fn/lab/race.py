"""Race estimators: the same training by each, at several rates and keys, and the bound on held-out data as it goes.

Each estimator is shown at its own best rate. That is chosen by the bound at the end, averaged over the keys, on the
held-out data that the curves are of. The bound of test data is reported beside it and chooses nothing.

Legs are run one after the other. As one vmapped ensemble, four trainings of 200 bits took 0.9 to 1.1 times as long (one
thread, compiled), and several times as long to compile.
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
        test: the bound of test data.
        evaluations: of f for one datum and step.
    """

    state: State
    step: Callable[[State, int], State]
    bound: Callable[[Params], float]
    test: Callable[[Params], float]
    evaluations: Evaluations


class Point(NamedTuple):
    """Where a leg stands: after so many steps and seconds of training, at this bound."""

    step: int
    seconds: float
    bound: float


class Underway(NamedTuple):
    """A leg as far as it was run: all that it needs to go on to the same numbers.

    Attributes:
        state: at the last of the points; it is consumed when the leg goes on.
        points: so far.
    """

    state: State
    points: list[Point]


class Curve(NamedTuple):
    """A leg that was run.

    Attributes:
        points: before the first step, and after every so many.
        evaluations: of f for one datum and step.
        test: the bound of test data at the end; NaN of a leg that was lost.
    """

    points: list[Point]
    evaluations: Evaluations
    test: float


class Standing(NamedTuple):
    """An estimator at its best rate.

    Attributes:
        estimator: its name.
        samples: K.
        learning_rate: the best one.
        bound: at the end, the mean over the keys.
        spread: the standard deviation over the keys.
        test: the bound of test data, the mean over the keys.
        seconds: of training, the median over the keys: a machine that is busy for a while does not move it.
        evaluations: of f for one datum and step.
        at_edge: whether the best rate is the smallest or largest of several, so that a better one may lie beyond.
    """

    estimator: str
    samples: int
    learning_rate: float
    bound: float
    spread: float
    test: float
    seconds: float
    evaluations: Evaluations
    at_edge: bool


def run(
    runner: Runner,
    steps: int,
    every: int,
    since: Underway | None = None,
    keep: Callable[[Underway], None] = lambda underway: None,
) -> Curve:
    """Train for `steps` steps and look at the bound after every `every` of them and at the end.

    The seconds are those of the steps alone: compiling, in a first step that is thrown away, and looking at bounds are
    outside. A leg whose bound is not finite is lost and ends there.

    Args:
        runner: the training.
        steps: in all.
        every: steps between two looks.
        since: where the leg was left; without it, it begins.
        keep: is handed the leg after every look; whoever keeps it longer than that clones the state.
    """
    state, points = since or Underway(runner.state, [Point(0, 0.0, runner.bound(runner.state.params))])
    runner.step(tree.clone(state), points[-1].step)
    while points[-1].step < steps and math.isfinite(points[-1].bound):
        state, point = _further(runner, state, points[-1], min(points[-1].step + every, steps))
        points = [*points, point]
        keep(Underway(state, points))
    test = runner.test(state.params) if math.isfinite(points[-1].bound) else math.nan
    return Curve(points, runner.evaluations, test)


def _further(runner: Runner, state: State, since: Point, last: int) -> tuple[State, Point]:
    start = time.perf_counter()
    for number in range(since.step, last):
        state = runner.step(state, number)
    float(state.step)  # waits for the device
    seconds = since.seconds + time.perf_counter() - start
    return state, Point(last, seconds, runner.bound(state.params))


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
    seconds = statistics.median(curve.points[-1].seconds for curve in by_rate[rate])
    rates: Sequence[float] = list(by_rate)
    at_edge = len(rates) > 1 and rate in (rates[0], rates[-1])
    test, evaluations = statistics.fmean(curve.test for curve in by_rate[rate]), by_rate[rate][0].evaluations
    return Standing(estimator, samples, rate, statistics.fmean(finals), spread, test, seconds, evaluations, at_edge)


def _final(curve: Curve) -> float:
    """The bound at the end; of a leg that was lost, minus infinity."""
    return curve.points[-1].bound if math.isfinite(curve.points[-1].bound) else -math.inf
