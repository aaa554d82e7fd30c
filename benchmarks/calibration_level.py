"""How often the procedures reject right claims, on the same draws; and what they do with heavy tails."""

import math
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator

import torch
from calibration_draws import SIZE, Run, Subject, weights_box, weights_variance
from calibration_procedures import Outcome, mcunit, tfp
from torch import Tensor
from tqdm import tqdm

from vae_fn import random
from vae_fn.verify import Verdict, mean, mean_bounded
from vae_fn.verify.coordinates import coordinates_of
from vae_fn.verify.ledger import ALPHA
from vae_fn.verify.sample import Sample, take
from vae_fn.verify.sampled import HEAVY, STAGES, Plan, confirm, plan
from vae_fn.verify.seeds import key_of
from vae_fn.verify.statistics import quantile, skew_corrected

LEVELS = (1e-1, 1e-2, 1e-3, 1e-4)
STAGE_DRAWS = (1024, 5073)
LAX = Plan(draws=340, level=0.4, beta=0.5)
"""Four stages of 0.4, at which alarms can be counted: 0.4**4 = 0.026."""

DEFAULT = plan(SIZE, 0.1, ALPHA, 1e-3).draws
TOGETHER = 250
"""Runs that are drawn together."""

RARE = 5
"""One run in so many has the procedure that takes the most draws."""

PILOT = 10**6
"""Draws for the bounds that TFP's test needs."""

Tally = dict[tuple, list[Outcome]]


def outcome_of(verdict: Verdict) -> Outcome:
    """`refused` is inconclusive."""
    alarm, refused = verdict.status in ("biased", "rejected"), verdict.status == "inconclusive"
    return Outcome(alarm, refused, verdict.draws, verdict.tail)


# --- one stage, for many runs at once: each run's coordinates beside the others'


def stage_statistics(block: Tensor, expected: Tensor, count: int) -> dict[str, Tensor]:
    """Plain and corrected statistics `(runs, SIZE)` of the first `count` draws of each run, by the kit's functions."""
    runs = len(block)
    side_by_side = Run(block[:, :count].transpose(0, 1))
    like = torch.zeros(runs, SIZE, dtype=torch.float64)
    centre = expected.expand(runs, SIZE).reshape(-1)
    sample = take(side_by_side, random.key(0), count, coordinates_of(like), centre)
    none = torch.zeros_like(centre)
    plain = sample._replace(skewness=none)  # without skewness Hall's transformation is the t statistic
    return {
        "stage, plain t": skew_corrected(plain, none).reshape(runs, SIZE),
        "stage, skew-corrected": skew_corrected(sample, none).reshape(runs, SIZE),
    }


def stage_row(subject: str, procedure: str, count: int, statistic: Tensor, level: float) -> dict:
    """How many runs exceed the bound of a level in any coordinate."""
    alarms = int((statistic.abs().amax(1) > quantile(level / (2 * SIZE))).sum())
    return row(subject, procedure, "vae_fn", count, level, len(statistic), alarms, 0, count)


# --- whole procedures, run by run


def procedures(subject: Subject, low: Tensor, high: Tensor) -> dict[tuple, Callable[[Run], Outcome]]:
    """Every procedure by (name, whose, n, alpha)."""
    expected, variance = subject.mean, subject.variance

    def lax(run: Run) -> Outcome:
        return outcome_of(confirm(run, expected, LAX, "mean", subject.name))

    def bounded(alpha: float) -> Callable[[Run], Outcome]:
        return lambda run: outcome_of(mean_bounded(run, expected, variance, alpha=alpha, name=subject.name))

    def dkwm(rate: float) -> Callable[[Run], Outcome]:
        return lambda run: tfp(run(random.key(0), STAGE_DRAWS[1]), expected, low, high, rate)

    return {
        ("mean, four stages of 0.4", "vae_fn", LAX.draws, LAX.level**STAGES): lax,
        ("mean", "vae_fn", DEFAULT, ALPHA): lambda run: outcome_of(mean(run, expected, name=subject.name)),
        **{("mean_bounded", "vae_fn", None, alpha): bounded(alpha) for alpha in (0.05, 0.01, ALPHA)},
        **{
            ("mcunit", "mcunit 0.3.2", 1000, level): lambda run, level=level: mcunit(run, expected, level)
            for level in (0.05, 1e-5)
        },
        **{("DKWM", "TFP", STAGE_DRAWS[1], rate): dkwm(rate) for rate in (0.05, 1e-6)},
    }


def false_alarms(subject: Subject, runs: int) -> tuple[list[dict], dict]:
    """Rows of all procedures on a right claim, and the shapes of the tails."""
    key = key_of("calibration", subject.mean, subject.name)
    further, pilot = random.fold_in(key, 0), subject.draw(random.fold_in(key, 1), PILOT).double()
    low, high = bounds(pilot)
    statistic: dict[tuple, list[Tensor]] = defaultdict(list)
    outcomes: Tally = defaultdict(list)
    spent: dict[tuple, float] = defaultdict(float)
    tests, rare = procedures(subject, low, high), {("mean_bounded", "vae_fn", None, ALPHA)}
    for start in tqdm(range(0, runs, TOGETHER), desc=subject.name, leave=False):
        count = min(TOGETHER, runs - start)
        block = subject.draw(random.fold_in(key, 2 + start), count * DEFAULT).reshape(count, DEFAULT, SIZE)
        for size in STAGE_DRAWS:
            for name, found in stage_statistics(block, subject.mean, size).items():
                statistic[name, size].append(found)
        for index, of_run in enumerate(block):
            run = Run(of_run, subject.draw, random.fold_in(further, start + index))
            for what, procedure in tests.items():
                if what in rare and index % RARE:
                    continue
                begun = time.perf_counter()
                outcomes[what].append(procedure(run.restart()))
                spent[what] += time.perf_counter() - begun
    rows = [
        stage_row(subject.name, name, size, torch.cat(found), level)
        for (name, size), found in statistic.items()
        for level in LEVELS
    ]
    rows += [tallied(subject.name, what, found, spent[what]) for what, found in outcomes.items()]
    p_values = {
        name: (2 * SIZE * torch.special.ndtr(-torch.cat(found).abs().amax(1))).clamp(max=1)
        for (name, size), found in statistic.items()
        if size == STAGE_DRAWS[1]
    }
    return rows, {
        "estimator": subject.name,
        **spread(pilot),
        **shape_summary(outcomes["mean", "vae_fn", DEFAULT, ALPHA]),
        "p_values": p_values,
    }


def bounds(pilot: Tensor) -> tuple[Tensor, Tensor]:
    """The range of a pilot, a tenth wider on either side."""
    low, high = pilot.amin(0), pilot.amax(0)
    return low - 0.1 * (high - low), high + 0.1 * (high - low)


def spread(pilot: Tensor) -> dict[str, float]:
    """The worst kurtosis, and the widest range in standard deviations."""
    centred = pilot - pilot.mean(0)
    kurtosis = centred.pow(4).mean(0) / centred.pow(2).mean(0) ** 2
    return {
        "kurtosis": float(kurtosis.max()),
        "range_sd": float(((pilot.amax(0) - pilot.amin(0)) / pilot.std(0)).max()),
    }


def shape_summary(outcomes: list[Outcome]) -> dict[str, float]:
    """Median and 99th percentile of the Pareto shape that `mean` saw, and how often a stage was void."""
    found = torch.tensor([outcome.tail for outcome in outcomes])
    return {
        "k_median": float(found.median()),
        "k_99": float(found.quantile(0.99)),
        "k_max": float(found.max()),
        "void": float((found > HEAVY).double().mean()),
    }


def tallied(subject: str, what: tuple, found: list[Outcome], seconds: float) -> dict:
    """The row of a procedure's outcomes."""
    procedure, whose, count, alpha = what
    draws = statistics.mean(outcome.draws for outcome in found)
    alarms, refused = sum(outcome.alarm for outcome in found), sum(outcome.refused for outcome in found)
    n = found[0].draws if count is None else count
    made = row(subject, procedure, whose, n, alpha, len(found), alarms, refused, draws)
    return made | {"ms": 1e3 * seconds / len(found)}


def row(
    estimator: str, procedure: str, whose: str, n: int, alpha: float, runs: int, alarms: int, refused: int, draws: float
) -> dict:
    """A row of the record; `draws` is their mean."""
    return {
        "estimator": estimator,
        "procedure": procedure,
        "whose": whose,
        "n": n,
        "alpha": alpha,
        "runs": runs,
        "alarms": alarms,
        "inconclusive": refused,
        "draws": draws,
    }


# --- heavy tails


def heavy_tails(variances: tuple[float, ...], runs: int) -> Iterator[dict]:
    """Importance weights of smaller and smaller proposals; a plain stage of nominal 1e-3 beside `mean`."""
    one, coordinates = torch.ones((), dtype=torch.float64), coordinates_of(torch.ones(()))
    level, count = 1e-3, plan(1, 0.1, ALPHA, 1e-3).draws
    for variance in tqdm(variances, desc="heavy tails", leave=False):
        box, bound, key = weights_box(variance), weights_variance(variance), key_of("tails", one * variance, "")
        verdicts, plain, corrected, bounded = [], 0, 0, 0
        for index in range(runs):
            run = Run(box(random.fold_in(key, index), count), box, random.fold_in(random.fold_in(key, runs), index))
            sample: Sample = take(run.restart(), key, count, coordinates, one[None])
            verdicts.append(mean(run.restart(), one, name="weights"))
            none = torch.zeros(1, dtype=torch.float64)
            plain += bool((skew_corrected(sample._replace(skewness=none), none).abs() > quantile(level / 2)).any())
            corrected += bool((skew_corrected(sample, none).abs() > quantile(level / 2)).any())
            if bound is not None:
                bounded += mean_bounded(run.restart(), one, bound, name="weights").status == "biased"
        status = [verdict.status for verdict in verdicts]
        yield {
            "variance_of_q": variance,
            "tail_exponent": 1 / (1 - variance) if variance < 1 else math.inf,
            "variance": bound,
            "runs": runs,
            "n": count,
            "plain_t_at_1e-3": plain,
            "skew_corrected_at_1e-3": corrected,
            **{name: status.count(name) for name in ("passed", "biased", "inconclusive")},
            "e_test_rejects": None if bound is None else bounded,
            "k_median": statistics.median(verdict.tail for verdict in verdicts),
        }
