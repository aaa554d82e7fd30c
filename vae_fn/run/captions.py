"""What is said below each figure of a run, with its numbers, for a reader who is new to all this."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from vae_fn.viz import Deviation, Usage, active_units, constant_bits, used_classes
from vae_fn.viz.latents import prior_mass
from vae_fn.viz.style import latent_name, signed
from vae_fn.words import counted

SPLITS = {"train": "training", "validation": "validation", "test": "test"}

CRITICAL = 1.36
"""Over sqrt(n): what the Kolmogorov-Smirnov distance of n exact draws exceeds in one case of twenty."""


def loss_curves(rows: Sequence[Mapping[str, Any]]) -> str:
    """Where the curves end."""
    last = {row["split"]: row["elbo"] for row in rows if row["elbo"] is not None}
    ends = [f"{signed(elbo, 1)} on {SPLITS[split]} images" for split, elbo in last.items()]
    found = f" It ends at {' and at '.join(ends)} (nats per image)." if ends else ""
    return f"Training raises the ELBO, a lower bound of the log-likelihood: higher is better.{found}"


def gradient_norm(rows: Sequence[Mapping[str, Any]], clip_norm: float) -> str:
    """How often the gradient is clipped."""
    text = "How long the gradient is: large where the loss is steep; jumps mean that training is unstable."
    if not clip_norm:
        return f"{text} It is not clipped in this run."
    norms = [row["grad_norm"] for row in rows if row["split"] == "train" and row["grad_norm"] is not None]
    above = sum(norm > clip_norm for norm in norms)
    points, lie = counted(len(norms), "point"), "lies" if above == 1 else "lie"
    return f"{text} A gradient above the dashed line is scaled down to it; {above} of {points} {lie} above."


def samples(count: int) -> str:
    """Pictures from nothing."""
    return (
        f"New images: {count} latents drawn from the prior and decoded. A pixel is a mean, so that what the model is "
        "not sure of comes out grey and blurred."
    )


def reconstructions(count: int, error: float) -> str:
    """What gets lost on the way."""
    return (
        f"{counted(count, 'test image')}, each with what is left of it after encoding and decoding. A pixel is off by "
        f"{error:.3f} on average, where black to white is 1."
    )


def manifold(grid: int) -> str:
    """A map of the latent plane."""
    return (
        f"A map of what the model can draw: {grid} by {grid} latents that cut the prior into cells of equal mass, "
        "decoded. Each image therefore stands for an equal share of the prior, and neighbours look alike."
    )


def latent_scatter(latents: int, dims: tuple[int, int], *, grouped: bool) -> str:
    """A map of the test images, which are grouped by class or not."""
    first, second = map(latent_name, dims)
    chosen = f" {first} and {second} are the most active of {latents} latents." if latents > 2 else ""
    classes = " The model has never seen the classes: where a colour keeps to itself, it found that class unaided."
    return (
        "Where the encoder puts the test images: a dot is the mean of one image's posterior."
        f"{chosen}{classes if grouped else ''}"
    )


def latent_histogram(draws: Float[np.ndarray, "n 2"]) -> str:
    """How well the draws fill the prior."""
    inside = float((np.linalg.norm(draws, axis=1) < 2).mean())
    return (
        "Where latents of the test images lie, the encoder's noise included. What the decoder makes of other places in "
        f"the prior is a guess. {100 * inside:.1f} % lie within the circle of 2 standard deviations, which holds "
        f"{100 * prior_mass(2.0):.1f} % of the prior."
    )


def marginals(deviations: Sequence[Deviation], count: int, beta: float) -> str:
    """How far the latents are from the prior, and what follows for beta."""
    worst, noise = max(deviations, key=lambda row: row.ks), CRITICAL / math.sqrt(count)
    draws = counted(count, "exact draw")
    distance = (
        f"The latent farthest from the prior is {latent_name(worst.dimension)}, at a KS distance of {worst.ks:.3f}"
    )
    if worst.ks <= noise:
        return (
            f"{distance}: no more than {draws} of N(0, 1) would often have (up to {noise:.3f}), so each latent by "
            "itself looks like the prior. Together they may still differ from it."
        )
    return (
        f"{distance}; {draws} of N(0, 1) would mostly stay below {noise:.3f}. If samples matter more to "
        f"you than reconstructions, a larger --beta (here {beta:g}) usually brings the latents nearer to the prior; a "
        "smaller one favours reconstructions."
    )


def code_usage(layers: Sequence[Usage]) -> str:
    """What part of the code is in use."""
    if layers[0].posterior.ndim == 2:
        used = used_classes(layers[0].posterior)
        return (
            f"Whether the code uses what it has: of {layers[0].posterior.shape[1]} classes a variable uses "
            f"{used.min():.1f} to {used.max():.1f} (the exponential of the entropy of their shares). Rows that differ "
            "between the two halves are where samples from the prior are unlike the codes of images."
        )
    constant = [f"{constant_bits(layer.posterior)} of {counted(len(layer.posterior), 'bit')}" for layer in layers]
    return (
        "Whether the code uses what it has: a bit that is always a one, or never, tells nothing. Nearly constant (in "
        f"99 % of the test images) are {' and '.join(constant)}{', layer by layer' if len(layers) > 1 else ''}."
    )


def interpolations(count: int, names: Sequence[str]) -> str:
    """What lies between two images; the pairs are named by their classes, if there are some."""
    named = f" ({', '.join(names)})" if names else ""
    return (
        f"From one test image to another in {counted(count, 'pair')}{named}, each way decoded step by step. A smooth "
        "change shows that the latents between two images mean something too."
    )


def kl_by_dimension(kl: Float[np.ndarray, " z"]) -> str:
    """What each latent says of an image."""
    return (
        f"What each latent tells of an image, in nats; on the test images {kl.sum():.2f} in all. There "
        f"{active_units(kl)} of {len(kl)} {'latent is' if len(kl) == 1 else 'latents are'} in use: a latent near 0 "
        "tells nothing."
    )


def traversals(latents: int, moved: int) -> str:
    """What each latent does."""
    if latents == 1:
        return "All that the model can draw: its one latent, moved over the prior from left to right."
    shown = f"the {moved} most active of {latents} latents" if moved < latents else f"each of the {latents} latents"
    return (
        f"What a latent does: in a row one is moved and the others stay at the code of the first test image, for "
        f"{shown}, most active first. A row that does not change belongs to a latent that is not in use."
    )
