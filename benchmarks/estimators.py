"""Time DReG and VIMCO through the library beside loops written by hand, eager and compiled.

All work on the tutorial's network at K = 8 and batch 128, on the same images, parameters and noise, and use the
library's densities: what differs is who forms the gradient, the engine or surrogates with `.detach()` and
hooks under autograd. Gradients are compared before anything is timed. Each round gives every program one window, in
turn; a ratio is formed within a round, so that the machine's drift cancels.

    python benchmarks/estimators.py [--rounds 15] [--calls 10] [--json benchmarks/results/estimators.json]
"""

import argparse
import json
import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, func
from tqdm import tqdm
from windows import seconds

from vae_fn import models, random, tree
from vae_fn.compiling import compile_pure
from vae_fn.data import load_mnist
from vae_fn.distributions import Normal
from vae_fn.gradients import elbo_sampled_problem
from vae_fn.gradients.estimators import dreg, vimco
from vae_fn.gradients.estimators.importance import leave_one_out_bound
from vae_fn.models import VAE
from vae_fn.models.objectives import log_mean_exp
from vae_fn.run.environment import environment
from vae_fn.run.folder import write_atomic
from vae_fn.types import Params

SAMPLES, BATCH = 8, 128
LINE = (
    "{estimator:6}{mode:18} library {library_ms:6.2f} ms, by hand {hand_ms:6.2f} ms, "
    "ratio {ratio:.3f} ({q1:.3f} to {q3:.3f})"
)

Gradient = Callable[[Params, Tensor, Tensor], Params]


def dreg_by_hand(vae: VAE, params: Params, x: Tensor, noise: Tensor) -> Tensor:
    """A loss whose gradient is DReG's: q held in log w, and a hook that weighs the path once more."""
    q: Normal = vae.posterior(params, x, None)  # type: ignore[assignment]
    z = q.sample(noise)
    held = Normal(q.loc.detach(), q.scale.detach())
    log_w = vae.likelihood(params, z, None).log_prob(x) + vae.prior(params, None).log_prob(z) - held.log_prob(z)
    weights = torch.softmax(log_w.detach(), 0)
    z.register_hook(lambda gradient: weights.unsqueeze(-1) * gradient)
    return (weights * log_w).sum()


def vimco_by_hand(vae: VAE, params: Params, x: Tensor, noise: Tensor) -> Tensor:
    """A loss whose gradient is VIMCO's."""
    q = vae.posterior(params, x, None)
    z = q.sample(noise).detach()
    log_q = q.log_prob(z)
    log_w = vae.likelihood(params, z, None).log_prob(x) + vae.prior(params, None).log_prob(z) - log_q
    bound, held = log_mean_exp(log_w), log_w.detach()
    signal = log_mean_exp(held) - leave_one_out_bound(held)
    return (bound + (signal * log_q).sum(0)).sum()


def dreg_by_vjp(vae: VAE, params: Params, x: Tensor, noise: Tensor) -> Params:
    """DReG without a hook, which does not compile: back through log w at held q, and on along the path."""
    q, pull_q = func.vjp(lambda params: vae.posterior(params, x, None), params)
    z, pull_z = func.vjp(lambda q: q.sample(noise), q)

    def log_weights(params: Params, z: Tensor) -> Tensor:
        log_joint = vae.likelihood(params, z, None).log_prob(x) + vae.prior(params, None).log_prob(z)
        return log_joint - q.log_prob(z)

    log_w, pull_w = func.vjp(log_weights, params, z)
    weights = torch.softmax(log_w, 0)
    grads, z_grads = pull_w(weights)
    (encoder,) = pull_q(*pull_z(weights.unsqueeze(-1) * z_grads))
    return tree.add(grads, encoder)


def vimco_by_grad(vae: VAE, params: Params, x: Tensor, noise: Tensor) -> Params:
    """VIMCO's loss under `torch.func.grad`, which compiles."""
    return func.grad(lambda params: vimco_by_hand(vae, params, x, noise))(params)


def by_hand(vae: VAE, loss: Callable[..., Tensor]) -> Gradient:
    """The gradient of a loss by autograd."""

    def gradient(params: Params, x: Tensor, noise: Tensor) -> Params:
        live = tree.map(lambda leaf: leaf.detach().requires_grad_(), params)
        found = iter(torch.autograd.grad(loss(vae, live, x, noise), tree.leaves(live)))
        return tree.map(lambda leaf: next(found), live)

    return gradient


def through_library(vae: VAE, make: Callable) -> Gradient:
    """The gradient of an estimator."""
    estimator = make()
    return lambda params, x, noise: estimator.estimate(elbo_sampled_problem(vae, x), params, noise, ()).grads


ESTIMATORS = {
    "dreg": (dreg, dreg_by_hand, dreg_by_vjp),
    "vimco": (vimco, vimco_by_hand, vimco_by_grad),
}


def check(one: Params, other: Params) -> float:
    """The largest difference relative to the largest entry."""
    size = max(leaf.abs().max().item() for leaf in tree.leaves(other))
    gap = max((a - b).abs().max().item() for a, b in zip(tree.leaves(one), tree.leaves(other), strict=True)) / size
    assert gap < 1e-4, gap
    return gap


def compare(library: Callable[[], Params], hand: Callable[[], Params], rounds: int, calls: int) -> dict[str, float]:
    """Median milliseconds of both, and the quartiles of the ratio library / hand."""
    gap = check(library(), hand())
    seconds(library, 2), seconds(hand, 2)
    pairs = [(seconds(library, calls), seconds(hand, calls)) for _ in tqdm(range(rounds), leave=False)]
    q1, median, q3 = statistics.quantiles([a / b for a, b in pairs], n=4)
    ours, theirs = (1e3 * statistics.median(times) for times in zip(*pairs, strict=True))
    return {"library_ms": ours, "hand_ms": theirs, "q1": q1, "ratio": median, "q3": q3, "gap": gap}


def main() -> None:
    """Compare, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--calls", type=int, default=10)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    vae = models.tutorial()
    params = vae.init(random.key(0))
    x = (load_mnist().train.images[:BATCH].flatten(1) > 127).float()
    noise = random.normal(random.key(1), (SAMPLES, BATCH, 2))
    rows = []
    for name, (make, loss, graph) in ESTIMATORS.items():
        ours = through_library(vae, make)
        pairs = {
            "eager": (ours, by_hand(vae, loss)),
            "eager, torch.func": (ours, partial(graph, vae)),
            "compiled": (compile_pure(ours), compile_pure(partial(graph, vae))),
        }
        for mode, pair in pairs.items():
            library, hand = (partial(gradient, params, x, noise) for gradient in pair)
            rows.append({"estimator": name, "mode": mode, **compare(library, hand, options.rounds, options.calls)})
            print(LINE.format(**rows[-1]))
    if options.json:
        record = {"samples": SAMPLES, "batch": BATCH, "rows": rows, "environment": environment("cpu", random.GENERATOR)}
        write_atomic(options.json, json.dumps(record, indent=1) + "\n")
        print(f"written to {options.json}")


if __name__ == "__main__":
    main()
