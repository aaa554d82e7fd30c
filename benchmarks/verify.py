"""How long the tiers of vae_fn.verify take.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/verify.py

One thread; the first call is timed apart, then repetitions. Writes results/verify.json.
"""

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from calibration_draws import subjects
from tabulate import tabulate
from torch import Tensor
from tqdm import tqdm

from vae_fn import models, random, tree
from vae_fn.gradients import elbo_sampled_problem
from vae_fn.gradients.estimators import pathwise
from vae_fn.run.environment import environment
from vae_fn.run.folder import write_atomic
from vae_fn.types import Params
from vae_fn.verify import Verdict, exact, mean, mean_bounded, moments

RESULTS = Path(__file__).parent / "results" / "verify.json"
WIDE = 100_000
Check = Callable[[], Verdict]


def exact_tier() -> Check:
    """All gradients of an ELBO with two latents, integrated; the claim is what the same integral gives."""
    vae = models.build(models.mlp([3, 8, 4]), models.mlp([2, 8, 3]), data_dim=3, latent_dim=2)
    params = tree.map(torch.Tensor.double, vae.init(random.key(0)))
    problem = elbo_sampled_problem(vae, torch.tensor([1.0, 0.0, 1.0]).double())
    noise = pathwise().noise_like(problem, params, 1)

    def gradient(noise: Tensor) -> Params:
        return pathwise().estimate(problem, params, noise, ()).grads

    expected = moments(gradient, noise).mean
    return lambda: exact(gradient, expected, noise, name="two latents")


def wide() -> Check:
    """Normal numbers, as many as a small network has parameters."""
    expected = torch.zeros(WIDE)
    return lambda: mean(lambda key, n: random.normal(key, (n, WIDE)), expected, name="wide")


def checks() -> dict[str, tuple[Check, float]]:
    """By what is checked: the check, and the share of the repetitions that it gets."""
    score = next(subject for subject in subjects() if subject.name == "score, K = 2")
    off = score.mean + 0.15 * score.variance.sqrt()
    return {
        "exact, two latents": (exact_tier(), 1.0),
        "mean, detect 0.1, 5 parameters": (lambda: mean(score.draw, score.mean, name="score"), 1.0),
        "mean, the same, biased": (lambda: mean(score.draw, off, name="score"), 1.0),
        "mean_bounded, detect 0.1, 5 parameters": (
            lambda: mean_bounded(score.draw, score.mean, score.variance, name="score"),
            1.0,
        ),
        f"mean, detect 0.1, {WIDE:,} coordinates": (wide(), 0.0),
    }


def timed(check: Check, repetitions: int) -> dict[str, Any]:
    """Seconds of the first call and of repetitions of it."""
    seconds, verdict = [], None
    for _ in range(1 + repetitions):
        start = time.perf_counter()
        verdict = check()
        seconds.append(time.perf_counter() - start)
    assert verdict is not None
    rest = seconds[1:]
    return {
        "first_call_s": seconds[0],
        "min_s": min(rest),
        "median_s": statistics.median(rest),
        "repetitions": repetitions,
        "status": verdict.status,
        "draws": verdict.draws,
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=20, help="after the first call")
    parser.add_argument("--json", type=Path, default=RESULTS, help="where to write the result")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = [
        {"check": name, **timed(check, max(2, round(share * options.repetitions)))}
        for name, (check, share) in tqdm(checks().items(), desc="checks")
    ]
    record = {
        "rows": rows,
        "load_average": os.getloadavg(),
        "environment": environment("cpu", random.GENERATOR) | {"command": ["benchmarks/verify.py"]},
    }
    write_atomic(options.json, json.dumps(record, indent=2) + "\n")
    print(tabulate(rows, headers="keys", floatfmt=".3f"))
    print(f"written to {options.json}")


if __name__ == "__main__":
    main()
