"""Time reductions of per-example gradients beside the batch gradient, all compiled.

All work on the tutorial's network at batch 128 and one sample, on the same images, parameters and noise. Every
reduction is checked against eager gradients in float64 before anything is timed. Each round gives every program one
window, in turn; a ratio is formed within a round, so that the machine's drift cancels.

    python benchmarks/per_example.py [--rounds 15] [--calls 10] [--json benchmarks/results/per_example.json]
"""

import argparse
import json
import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm
from windows import seconds

from vae_fn import models, random, tree
from vae_fn.compiling import compile_factorised, compile_pure
from vae_fn.data import load_mnist
from vae_fn.gradients import elbo_problem
from vae_fn.gradients import per_example as each
from vae_fn.gradients.estimators import pathwise
from vae_fn.models import VAE
from vae_fn.run.environment import environment
from vae_fn.run.folder import write_atomic
from vae_fn.types import Params, Tree

BATCH = 128
LINE = "{reduction:20} {ms:7.2f} ms, the batch gradient {batch_ms:6.2f} ms, ratio {ratio:.3f} ({q1:.3f} to {q3:.3f})"


def batch_gradient(vae: VAE, params: Params, x: Tensor, noise: Tensor) -> tuple[Tensor, Params]:
    """The gradient of the batch, as a training step takes it."""
    found = pathwise().estimate(elbo_problem(vae, x), params, noise, ())
    return found.value, found.grads


def reductions(direction: Params) -> dict[str, each.Reduction]:
    """What is timed."""
    return {
        "norm": each.norm,
        "norm by leaf": each.norms,
        "clipped mean": each.clipped_mean(1.0),
        "second moment": each.second_moment,
        "variance": each.variance,
        "dot": each.dot(direction),
        "cosine": each.cosine(direction),
    }


def gap(found: Tree, right: Tree) -> float:
    """The largest difference of a leaf, relative to its largest entry."""
    pairs = zip(tree.leaves(found), tree.leaves(right), strict=True)
    return max(float((a.double() - b).abs().max() / b.abs().max()) for a, b in pairs)


def compare(program: Callable[[], Any], batch: Callable[[], Any], rounds: int, calls: int) -> dict[str, float]:
    """Median milliseconds of both, and the quartiles of the ratio."""
    for each_program in (program, batch):
        seconds(each_program, 2)
    pairs = [(seconds(program, calls), seconds(batch, calls)) for _ in tqdm(range(rounds), leave=False)]
    q1, median, q3 = statistics.quantiles([a / b for a, b in pairs], n=4)
    ours, theirs = (1e3 * statistics.median(times) for times in zip(*pairs, strict=True))
    return {"ms": ours, "batch_ms": theirs, "q1": q1, "ratio": median, "q3": q3}


def main() -> None:
    """Compare, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--calls", type=int, default=10)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    vae = models.tutorial()
    x = (load_mnist().train.images[:BATCH].flatten(1) > 127).float()
    args = vae.init(random.key(0)), x, random.normal(random.key(1), (1, BATCH, 2))
    wide = tree.map(torch.Tensor.double, args)
    batch = partial(compile_pure(partial(batch_gradient, vae)), *args)
    gradient = each.estimated(pathwise(), partial(elbo_problem, vae))
    rows = []
    for name, reduce in reductions(tree.map(torch.sin, args[0])).items():
        fn = each.per_example(gradient, reduce, in_dims=(0, 1))
        for mode, edge in {"factorised": compile_factorised, "Inductor alone": compile_pure}.items():
            program = partial(edge(fn), *args)
            found = {"reduction": name, "mode": mode, "gap": gap(program(), fn(*wide))}
            assert found["gap"] < 1e-3, found
            rows.append(found | compare(program, batch, options.rounds, options.calls))
            print(f"{mode:15} {LINE.format(**rows[-1])}")
    if options.json:
        record = {"batch": BATCH, "rows": rows, "environment": environment("cpu", random.GENERATOR)}
        write_atomic(options.json, json.dumps(record, indent=1) + "\n")
        print(f"written to {options.json}")


if __name__ == "__main__":
    main()
