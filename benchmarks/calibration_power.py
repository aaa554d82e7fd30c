"""How often the procedures see what is wrong: mutant by mutant, and against the size of a bias."""

import math
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from calibration_draws import DATA, SIZE, Gradient, Subject, integrate
from calibration_level import STAGE_DRAWS, bounds
from calibration_mutants import Case, cases, noise_of
from calibration_procedures import mcunit, tfp
from torch import Tensor
from tqdm import tqdm

from vae_fn import random
from vae_fn.types import Key
from vae_fn.verify import Verdict, draws_of, exact, mean, mean_bounded, moments
from vae_fn.verify.ledger import ALPHA
from vae_fn.verify.sample import Draw
from vae_fn.verify.seeds import key_of, seed_of
from vae_fn.verify.verdict import worst

DETECTS = {0.1: 1.0, 0.05: 0.3}
"""What is to be detected, and the share of the runs that it gets."""

BIASES = (0.0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.13, 0.17, 0.22, 0.3, 0.5, 1.0)
PILOT = 2**18
"""Draws for the size of a bias."""


# --- mutants


def mutant_rows(runs: int) -> Iterator[dict]:
    """Rows of every mutant at every tier."""
    for case in tqdm(cases(), desc="mutants", leave=False):
        expected = expected_of(case)
        draw = draws_of(lambda noise, case=case: case.wrong(DATA, noise), noise_of(case))
        bias = bias_in_sd(case, draw, expected)
        variance = None if case.samples > 2 else integrate(case.right, case.samples)[1]
        yield power_row(case, "exact", None, bias, [exact_verdict(case)])
        for detect, share in DETECTS.items():
            count = max(1, round(share * runs))
            if variance is not None:
                found = [
                    mean_bounded(draw, expected, variance, detect=detect, name=f"{case.name} {index}")
                    for index in range(count)
                ]
                yield power_row(case, "bounded", detect, bias, found)
            found = [mean(draw, expected, detect=detect, name=f"{case.name} {index}") for index in range(count)]
            yield power_row(case, "sampled", detect, bias, found)


def expected_of(case: Case) -> Tensor:
    """The mean of the right gradient; with more than two samples it is a mean over pairs."""
    return integrate(case.right, min(case.samples, 2))[0]


def bias_in_sd(case: Case, draw: Draw, expected: Tensor) -> float:
    """The largest bias of a coordinate in its standard deviations, which are a pilot's; infinite for a constant."""
    pilot = draw(key_of("bias", expected, case.name), PILOT).double()
    scale, sampled = pilot.std(0), not integrable(case)
    gap = ((pilot.mean(0) if sampled else mean_of(case.wrong, case)) - expected).abs()
    seen = gap > (5 * scale / PILOT**0.5 if sampled else 1e-9)
    return float(torch.where(seen, gap / scale, 0.0).max())


def integrable(case: Case) -> bool:
    """Whether the exact tier applies: to functions of normal noise, of few dimensions."""
    return case.samples <= 2 and case.law is random.normal


def parts(case: Case) -> list[Tensor]:
    """The data that are integrated together: the batch at one sample, else datum by datum."""
    return [DATA] if case.samples == 1 else list(DATA.split(1))


def mean_of(gradient: Gradient, case: Case) -> Tensor:
    """The mean of a gradient over its noise."""
    each = [moments(lambda noise, x=x: gradient(x, noise), noise_of(case, x)).mean for x in parts(case)]
    return sum(each) / len(each)


def exact_verdict(case: Case) -> Verdict | None:
    """The gravest verdict of the exact tier; None where it does not apply."""
    if not integrable(case):
        return None
    start = time.perf_counter()
    verdicts = [
        exact(lambda noise, x=x: case.wrong(x, noise), right_mean(case, x), noise_of(case, x), name=case.name)
        for x in parts(case)
    ]
    gravest = next(verdict for verdict in verdicts if verdict.status == worst(verdicts))
    return replace(gravest, seconds=time.perf_counter() - start)


def right_mean(case: Case, x: Tensor) -> Tensor:
    """The right gradient of the mean over some data, datum by datum."""
    each = [moments(lambda noise, y=y: case.right(y, noise), noise_of(case, y)).mean for y in x.split(1)]
    return sum(each) / len(each)


def power_row(case: Case, tier: str, detect: float | None, bias: float, found: list[Verdict | None]) -> dict:
    """How often a tier rejected."""
    verdicts = [verdict for verdict in found if verdict is not None]
    status = [verdict.status for verdict in verdicts]
    return {
        "mutant": case.name,
        "tier": tier,
        "detect": detect,
        "bias_sd": bias if math.isfinite(bias) else None,  # a constant
        "runs": len(verdicts),
        "caught": sum(one in ("biased", "rejected") for one in status),
        "inconclusive": status.count("inconclusive"),
        "draws": statistics.mean(verdict.draws for verdict in verdicts) if verdicts else None,
        "ms": 1e3 * statistics.median(verdict.seconds for verdict in verdicts) if verdicts else None,
    }


def caught(rows: list[dict]) -> dict:
    """Of all mutants, which a tier catches in every run, and which none does."""
    names = list(dict.fromkeys(row["mutant"] for row in rows))
    seen = {row["mutant"] for row in rows if row["runs"] and row["caught"] == row["runs"]}
    return {"total": len(names), "caught": len(seen), "missed": [name for name in names if name not in seen]}


# --- against the size of a bias


def curves(subject: Subject, runs: int) -> Iterator[dict]:
    """Rejections of a claim that is off in the second coordinate, by its standard deviations."""
    key = key_of("curves", subject.mean, subject.name)
    low, high = bounds(subject.draw(random.fold_in(key, 0), 10**6).double())
    off = torch.zeros(SIZE, dtype=torch.float64)
    off[1] = subject.variance[1].sqrt()
    tests = procedures(subject, low, high)
    for number, bias in enumerate(tqdm(BIASES, desc="power", leave=False)):
        for index, (name, (test, least, most, share)) in enumerate(tests.items()):
            if bias and not least <= bias <= most:
                continue
            count = max(1, round(share * runs))
            stream = random.fold_in(random.fold_in(key, 1 + number), index)
            found = [test(random.fold_in(stream, run), subject.mean + bias * off) for run in range(count)]
            rejected = sum(alarm for alarm, _ in found)
            draws = statistics.mean(used for _, used in found)
            yield {"procedure": name, "bias_sd": bias, "runs": count, "rejected": rejected, "draws": draws}


Test = Callable[[Key, Tensor], tuple[bool, int]]


def procedures(subject: Subject, low: Tensor, high: Tensor) -> dict[str, tuple[Test, float, float, float]]:
    """Each test of a claim with the biases between which it is worth a run, and its share of the runs."""

    def said(verdict: Verdict) -> tuple[bool, int]:
        return verdict.status == "biased", verdict.draws

    def ours(detect: float) -> Test:
        return lambda key, claim: said(mean(keyed(subject.draw, key), claim, detect=detect, name="curve"))

    def bounded(key: Key, claim: Tensor) -> tuple[bool, int]:
        return said(mean_bounded(keyed(subject.draw, key), claim, subject.variance, name="curve"))

    def theirs(level: float) -> Test:
        def test(key: Key, claim: Tensor) -> tuple[bool, int]:
            outcome = mcunit(counted(subject.draw, key), claim, level)
            return outcome.alarm, outcome.draws

        return test

    def dkwm(key: Key, claim: Tensor) -> tuple[bool, int]:
        outcome = tfp(subject.draw(key, STAGE_DRAWS[1]), claim, low, high, ALPHA)
        return outcome.alarm, outcome.draws

    return {
        "mean, detect 0.1": (ours(0.1), 0.02, 0.17, 1.0),
        "mean, detect 0.05": (ours(0.05), 0.01, 0.08, 0.4),
        "mean_bounded, detect 0.1": (bounded, 0.02, 0.17, 1.0),
        "mcunit, level 1e-5 (its default)": (theirs(1e-5), 0.01, 0.5, 1.0),
        "mcunit, level 1e-9": (theirs(ALPHA), 0.01, 0.5, 1.0),
        "TFP's DKWM, level 1e-9": (dkwm, 0.1, 1.0, 1.0),
    }


def keyed(draw: Draw, run: Key) -> Draw:
    """The draws of one run: its key, folded with the one that is asked for."""
    return lambda key, count: draw(random.fold_in(run, seed_of(key) >> 1), count)


def counted(draw: Draw, run: Key) -> Draw:
    """The draws of one run, fresh at every call."""
    calls = iter(range(100))
    return lambda key, count: draw(random.fold_in(run, next(calls)), count)
