"""All rows of one size in one process: parity, limit, overhead, and the windows."""

import os
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

from vae_fn.bench.compiled import whole
from vae_fn.bench.fresh import Say
from vae_fn.bench.limit import Limit, limit_of
from vae_fn.bench.overhead import overhead_us
from vae_fn.bench.parity import STEPS, exact_parameters, parameters, relative_error
from vae_fn.bench.subject import Source, Subject, clone, device_of, precision_of
from vae_fn.bench.variants import VARIANTS
from vae_fn.bench.windows import Runner, interleaved, steps_of_window
from vae_fn.bench.work import Work, work_of
from vae_fn.types import Tree

SECONDS = 0.25
"""Of a window, where the number of its steps is not given."""


class Steady(NamedTuple):
    """What was measured of a row when nothing is compiled any more.

    Attributes:
        windows_ms: milliseconds of a step in every window.
        steps: of a window.
        parity: relative error of the parameters after 20 steps; None where float64 cannot be had.
        flops: of a step.
        bytes: of the state, read and written.
        limit: the machine's.
        overhead_us: of calling a compiled step; None of others.
        precision: what it computes in.
        device: where.
    """

    windows_ms: list[float]
    steps: int
    parity: float | None
    flops: int
    bytes: int
    limit: Limit
    overhead_us: float | None
    precision: str
    device: str


def steady(request: Mapping[str, Any], say: Say) -> dict[str, dict[str, Any]]:
    """In a new process: measure all rows of one source.

    Args:
        request: `source`, the fields of a `Source`; `caches`, where each row's compiled code is, by its name; `windows`
            and `steps`, of each, the latter None for as many as take a quarter of a second.
        say: hears of each row that is ready and each window that is done.
    """
    source, caches = Source(*request["source"]), request["caches"]
    prepared = cache(lambda settings: _prepared(source.subject(dict(settings))))
    exact = _exact(prepared(()).subject)
    runners, found = {}, {}
    for name, place in caches.items():
        if place is not None:
            os.environ["TORCHINDUCTOR_CACHE_DIR"] = place  # read whenever something is compiled
        with whole(name):
            runners[name], found[name] = _ready(name, prepared(tuple(VARIANTS[name].settings.items())), exact)
        say(f"{name}: ready")
    steps = {name: request["steps"] or steps_of_window(runner, SECONDS) for name, runner in runners.items()}
    times = interleaved(runners, request["windows"], steps, progress=lambda name: say(f"{name}: window"))
    return {name: found[name]._replace(windows_ms=times[name], steps=steps[name])._asdict() for name in found}


class _Prepared(NamedTuple):
    """What rows that run the same step share: the step itself, what it does, and its limit."""

    subject: Subject
    work: Work
    limit: Limit


def _prepared(subject: Subject) -> _Prepared:
    work = work_of(subject)
    return _Prepared(subject, work, limit_of(work, device_of(subject)))


def _ready(name: str, prepared: _Prepared, exact: Tree | None) -> tuple[Runner, Steady]:
    """A row's program after its first steps, and all but its times."""
    variant, (subject, work, limit) = VARIANTS[name], prepared
    runner = Runner(variant.make(subject), subject.state)
    reached = parameters(runner.advance(clone(subject.state), STEPS))
    parity = None if exact is None else relative_error(reached, exact)
    return runner, Steady(
        windows_ms=[],
        steps=0,
        parity=parity,
        flops=work.flops,
        bytes=2 * work.state_bytes,
        limit=limit,
        overhead_us=overhead_us(variant, subject) if variant.compiled else None,
        precision=precision_of(subject),
        device=str(device_of(subject)),
    )


def _exact(subject: Subject) -> Tree | None:
    """The parameters in float64; None where the step does not run in it."""
    try:
        return exact_parameters(subject)
    except (RuntimeError, TypeError, ValueError, AssertionError):
        return None
