"""Measure gradient estimators: bias, variance and cost, beside the exact gradient.

The data's way: data -> one datum's problem -> gradients at many noises, vmapped in chunks -> sums about a reference ->
analysis of variance over noise and data -> rows.
"""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from vae_fn import random, tree
from vae_fn.gradients.oracles.exact import Exact
from vae_fn.gradients.posed import Posed
from vae_fn.lab.analysis import Analysis, add, analyse, datum
from vae_fn.lab.contenders import Contender
from vae_fn.lab.oracle import Oracles
from vae_fn.lab.programs import Edge, program
from vae_fn.lab.rows import Measured, Row, by_network
from vae_fn.lab.streaming import stream
from vae_fn.lab.subject import Data, Subject
from vae_fn.types import Key, Params

Progress = Callable[[str, int], None]
"""`progress(name, draws)`: so many draws more of this contender are done."""


class Settings(NamedTuple):
    """How much is drawn.

    Attributes:
        draws: gradients of one datum for each contender, at least; whole chunks are drawn.
        data: the data that they are gradients of, the first ones of the problem.
        batch_size: data of the mini-batch that variances are stated for.
        warm_up: estimates on all data at once after which an estimator's state is held still.
    """

    draws: int = 10_000
    data: int = 32
    batch_size: int = 1
    warm_up: int = 200


DEFAULT = Settings()

CHILD = -1
"""Which child of the key is drawn from: not those of a problem whose data come from the same seed."""


class Measurement(NamedTuple):
    """Rows; and the oracle by target and samples, or why there is none."""

    rows: list[Row]
    oracles: dict[tuple[str, int], Exact | str]


def measure(
    contenders: Sequence[Contender],
    posed: Posed,
    params: Params,
    key: Key,
    settings: Settings = DEFAULT,
    *,
    rows_of: Callable[[Measured, int], list[Row]] = by_network,
    edge: Edge = lambda fn: fn,
    progress: Progress = lambda name, draws: None,
) -> Measurement:
    """Measure estimators on a problem.

    Args:
        contenders: what is measured.
        posed: the problem and its data; of a plain cost one datum is all there is.
        params: where, like `posed.params`.
        key: of all noise; contenders with noise of one form share it, draw by draw.
        settings: how much is drawn.
        rows_of: `by_network` or `by_leaf`.
        edge: what compiles a function, if anything does.
        progress: hears of the draws that are done.

    Raises:
        ValueError: an estimator refuses the problem, or the draws are fewer than two for each datum.
    """
    x: Data = () if posed.data is None else posed.data[: settings.data]
    draws = settings.draws // _count(x)
    if draws < 2:
        raise ValueError(
            f"{settings.draws} draws of {_count(x)} data leave fewer than two for each: draw more, or use fewer data"
        )
    oracles, rows, key = Oracles(posed, params, x), [], random.fold_in(key, CHILD)
    for contender in contenders:
        subject = Subject(contender, contender.posing(posed.pose, x, params), params)
        subject = subject.warmed_up(x, random.fold_in(key, -1), settings.warm_up)
        measured = _measured(posed.name, subject, x, oracles, key, draws, edge, progress)
        rows += rows_of(measured, settings.batch_size)
    return Measurement(rows, oracles.found)


def _measured(
    problem: str, subject: Subject, x: Data, oracles: Oracles, key: Key, draws: int, edge: Edge, progress: Progress
) -> Measured:
    exact, contender = oracles.of(subject), subject.contender
    gradient = None if exact is None else tree.scale(exact.grads, 1 / _count(x))
    found, milliseconds = _draw(subject, x, gradient, key, draws, edge, progress)
    one = _datum(x, 0)
    return Measured(
        problem,
        contender.name,
        contender.samples,
        contender.estimator.unbiased_for,
        contender.target,
        found,
        gradient,
        0.0 if exact is None else exact.error.grads / _count(x),
        oracles.noise_of(subject),
        subject.evaluations(one),
        milliseconds,
    )


def _draw(
    subject: Subject, x: Data, exact: Params | None, key: Key, draws: int, edge: Edge, progress: Progress
) -> tuple[Analysis, float]:
    """What was drawn, and the milliseconds of one datum's gradient."""
    params, name, one = subject.params, subject.contender.name, _datum(x, 0)
    chunk, size = program(subject, one, draws, _count(x), edge)
    draws = -(-draws // size) * size
    pilot = chunk(one, tree.zeros_like(params), random.split(random.fold_in(key, -2), size))
    near = tree.scale(pilot.deviations, 1 / size) if exact is None else exact
    reference = tree.map(lambda value, leaf: value.to(leaf), near, params)

    start, total = time.perf_counter(), None
    for i in range(_count(x)):
        part = datum(
            stream(
                lambda keys, i=i: chunk(_datum(x, i), reference, keys),
                random.fold_in(key, i),
                draws,
                size,
                lambda n: progress(name, n),
            ),
            draws,
        )
        total = part if total is None else add(total, part)
    assert total is not None
    found = analyse(total, draws, reference)
    return found, 1e3 * (time.perf_counter() - start) / found.draws


def _count(x: Data) -> int:
    return 1 if isinstance(x, tuple) else len(x)


def _datum(x: Data, i: int) -> Data:
    return x if isinstance(x, tuple) else x[i]
