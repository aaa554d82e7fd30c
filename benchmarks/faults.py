"""Measure what the faults of the tutorial's program change: in nats on a trained model, as ranges, as ratios of times.

Faults have the numbers of docs/faults.md. Losses and divergences are in nats per image of the test set. A ratio of
times is formed round by round within one process, so that the machine's drift cancels.

    python benchmarks/faults.py [--run RUN] [--keys 20] [--rounds 31] [--json benchmarks/results/faults.json]
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import fault_timings
import torch
import tutorial_program
from tabulate import tabulate
from torch import Tensor
from torch.func import grad
from torch.nn import functional as F

from vae_fn import random
from vae_fn.data import DYNAMIC, GREY, scale
from vae_fn.data.binarise import bernoulli
from vae_fn.distributions import Bernoulli, kl, positive
from vae_fn.evaluation import evaluate_elbo
from vae_fn.models import VAE
from vae_fn.run.assemble import make_data, make_model
from vae_fn.run.checkpoints import newest, read_parameters
from vae_fn.run.config import TrainConfig
from vae_fn.run.environment import environment
from vae_fn.run.folder import open_run, read_config, write_atomic
from vae_fn.run.train import train
from vae_fn.types import Params

BATCH = tutorial_program.BATCH


class Row(NamedTuple):
    """A quantity as the tutorial has it and as it is here: a number, a list of them, or a summary of many."""

    fault: int
    quantity: str
    tutorial: Any
    here: Any


class Trained(NamedTuple):
    vae: VAE
    params: Params
    pixels: Tensor
    x: Tensor


def trained(run: Path) -> Trained:
    """The model of a run, and the test images."""
    config = read_config(open_run(run))
    dataset, _ = make_data(config)
    vae = make_model(config, dataset.shape)
    return Trained(vae, read_parameters(newest(run), vae), dataset.test.images, scale(dataset.test.images))


def interpolation(model: Trained) -> Iterator[Row]:
    z = torch.stack([torch.linspace(0, 1, 15), torch.full((15,), 2.0)], -1)
    once = model.vae.likelihood(model.params, z, None).mean
    twice = torch.sigmoid(once)
    yield Row(1, "lowest and highest pixel of the interpolation", _range(twice), _range(once))


def one_draw_losses(model: Trained, keys: int) -> Iterator[Row]:
    """The test loss of the tutorial's loop, which draws each image's z once, under several keys."""
    q, p = model.vae.posterior(model.params, model.x, None), model.vae.prior(model.params, None)
    divergence, rest = kl(q, p), len(model.x) % BATCH
    plotted, by_batches, totals = [], [], []
    for key in random.split(random.key(0), keys):
        z = q.sample(random.draw(key, q.noise_like()))
        entropy = -model.vae.likelihood(model.params, z, None).log_prob(model.x)
        loss = entropy + divergence
        batch_means = torch.stack([part.mean() for part in loss.split(BATCH)])
        totals.append(loss.mean().item())
        by_batches.append(batch_means.mean().item())
        plotted.append((entropy[-rest:].mean() + divergence[-rest:].mean()).item())
    pairs = [zip(values, right, strict=True) for values, right in ((plotted, by_batches), (by_batches, totals))]
    terms, weights = ([value - right for value, right in pair] for pair in pairs)
    yield Row(2, "plotted BCE + KL less the plotted total, nats", _spread(terms), 0.0)
    yield Row(3, "mean of batch means less the mean over images, nats", _spread(weights), 0.0)
    yield Row(4, "test loss of one draw per image, over keys, nats", _spread(totals), None)


def reconstructions(model: Trained) -> Iterator[Row]:
    q = model.vae.posterior(model.params, model.x, None)
    at_random, again, at_mean = (
        model.vae.likelihood(model.params, z, None)
        for z in (*(q.sample(random.draw(key, q.noise_like())) for key in random.split(random.key(1))), q.mean)
    )
    terms = [-part.log_prob(model.x).mean().item() for part in (at_random, at_mean)]
    yield Row(5, "BCE of the reconstruction: at a random z; at the mean, nats", *terms)
    apart = (at_random.mean - again.mean).square().mean(-1).sqrt().mean().item()
    yield Row(5, "RMS distance of two reconstructions of an image, pixel values", apart, 0.0)


def originals(model: Trained) -> Iterator[Row]:
    inked = model.pixels > 0
    clipped = inked & (model.x - 0.5 <= 0)
    yield Row(6, "share of the originals' inked pixels that are shown black", (clipped.sum() / inked.sum()).item(), 0.0)


def scales() -> Iterator[Row]:
    as_log_variance, as_used = torch.exp(torch.zeros(())), positive(torch.zeros(()))
    yield Row(8, "scale at raw output 0: read as a log-variance; as used", as_log_variance.item(), as_used.item())
    tiny = [_scale_in(dtype, -20.0) for dtype in (torch.float16, torch.float32)]
    yield Row(9, "scale at raw output -20: in float16; in float32", *tiny)
    absorbed = [_absorbed_from(dtype) for dtype in (torch.bfloat16, torch.float32)]
    yield Row(9, "raw output from which 1e-8 is absorbed: bfloat16; float32", *absorbed)


def _scale_in(dtype: torch.dtype, raw: float) -> float:
    return (F.softplus(torch.tensor(raw, dtype=dtype)) + 1e-8).item()


def _absorbed_from(dtype: torch.dtype) -> float:
    raw = torch.arange(-20, 0, 0.25, dtype=dtype)
    softplus = F.softplus(raw)
    return raw[(softplus + 1e-8 != softplus).nonzero().max() + 1].item()


def saturated() -> Iterator[Row]:
    logits, wrong = torch.tensor([50.0, -50.0, 120.0]), torch.tensor([0.0, 1.0, 0.0])
    losses = (
        lambda logits: F.binary_cross_entropy(torch.sigmoid(logits), wrong, reduction="sum"),
        lambda logits: -Bernoulli(logits).log_prob(wrong),
    )
    slopes = [grad(loss)(logits).tolist() for loss in losses]
    yield Row(10, "gradient of BCE at logits 50, -50, 120, all of them wrong", *slopes)


def protocols(model: Trained) -> Iterator[Row]:
    vae, params, pixels, x = model
    bounds_key, noise_key, pixels_key = random.split(random.key(2), 3)
    grey, dynamic = (evaluate_elbo(vae, params, pixels, how, bounds_key, draws=10) for how in (GREY, DYNAMIC))
    yield Row(16, "test loss: grey pixels; the same images binarised, nats", -grey.elbo, -dynamic.elbo)
    q = vae.posterior(params, x, None)
    likelihood = vae.likelihood(params, q.sample(random.draw(noise_key, q.noise_like())), None)
    targets = (x, bernoulli(pixels, random.uniform(pixels_key, tuple(x.shape))))
    terms = [-likelihood.log_prob(target).mean().item() for target in targets]
    yield Row(16, "BCE at one z: of grey pixels; of the same binarised, nats", *terms)


def _range(values: Tensor) -> list[float]:
    return [values.min().item(), values.max().item()]


def _spread(values: list[float]) -> dict[str, float]:
    return {"mean": statistics.mean(values), "sd": statistics.stdev(values), "min": min(values), "max": max(values)}


def times(model: Trained, rounds: int, folder: Path) -> Iterator[Row]:
    with torch.enable_grad():
        for width in (2, 200):
            ratio = fault_timings.families(rounds, width)
            yield Row(11, f"MultivariateNormal over Normal, time with gradient, {width} dimensions", ratio, 1.0)
    norms, loads = fault_timings.gradient_norms(rounds, model.params), fault_timings.loading(rounds, folder)
    yield Row(14, "gradient norm by .item() over one norm, time", norms, 1.0)
    yield Row(15, "batch through per-image transforms over uint8 rows, time", loads, 1.0)


def measured(model: Trained, keys: int, rounds: int) -> Iterator[Row]:
    """All rows, in the order of the faults."""
    with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
        yield from interpolation(model)
        yield from one_draw_losses(model, keys)
        yield from reconstructions(model)
        yield from originals(model)
        yield from scales()
        yield from saturated()
        yield from times(model, rounds, Path(folder))
        yield from protocols(model)


def table(rows: Iterable[Row]) -> str:
    """The rows in Markdown, as docs/faults.md has them."""
    cells = [(row.fault, row.quantity, text(row.tutorial), text(row.here)) for row in rows]
    return tabulate(cells, ("", "quantity", "tutorial", "here"), tablefmt="github", disable_numparse=True)


def text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(text, value))
    if not isinstance(value, dict):
        return "" if value is None else f"{value:.4g}"
    if "median" in value:
        return f"{value['median']:.3g} ({value['q1']:.3g} to {value['q3']:.3g})"
    return f"{value['mean']:.4g} (sd {value['sd']:.2g})"


def model_and_rows(args: argparse.Namespace) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        config = TrainConfig(epochs=args.epochs, compile=False, tensorboard=False, runs_dir=Path(folder))
        return list(measured(trained(args.run or train(config)), args.keys, args.rounds))


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what the faults of the tutorial change.")
    parser.add_argument("--run", type=Path, help="a run of the tutorial preset; by default one is trained")
    parser.add_argument("--epochs", type=int, default=2, help="epochs to train it for")
    parser.add_argument("--keys", type=int, default=20, help="keys of the test loss")
    parser.add_argument("--rounds", type=int, default=31, help="windows of each program")
    parser.add_argument("--json", type=Path, default=Path(__file__).parent / "results" / "faults.json")
    args = parser.parse_args()
    rows = model_and_rows(args)
    print(table(rows))
    record = {
        "rows": [row._asdict() for row in rows],
        "model": str(args.run) if args.run else f"tutorial preset, {args.epochs} epochs, key 0",
        "keys": args.keys,
        "rounds": args.rounds,
        "load_average": os.getloadavg(),
        "environment": environment("cpu", random.GENERATOR) | {"command": ["benchmarks/faults.py", *sys.argv[1:]]},
    }
    write_atomic(args.json, json.dumps(record, indent=2) + "\n")
    print(f"written to {args.json}")


if __name__ == "__main__":
    main()
