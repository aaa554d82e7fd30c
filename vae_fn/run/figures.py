"""The figures of a run: which there are, and what each is drawn from and says below itself."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Int64
from matplotlib.figure import Figure

from vae_fn import viz
from vae_fn.evaluation.latents import spread
from vae_fn.run import captions
from vae_fn.run.codes import reconstruct, sample
from vae_fn.run.subject import Subject

SAMPLES = 64
"""Draws from the prior."""

RECONSTRUCTIONS = 30
"""Test images beside what becomes of them, spread over the classes."""

PAIRS, STEPS = 5, 12
"""Pairs of test images that are interpolated, and places on the way between two, with both ends."""

GRID = 20
"""Latents along a side of the manifold."""

VALUES = np.linspace(-3, 3, 11)
"""Of a latent that is moved alone, in standard deviations of the prior."""

MOVED, MARGINALS = 16, 12
"""Most latents that are moved, most that have a histogram of their own."""

Drawn: TypeAlias = tuple[Figure, str]
"""A figure and its caption."""


def which(subject: Subject) -> list[str]:
    """The names of the figures that make sense for a run, in the order of the report."""
    discrete = bool(subject.usage)
    omitted = {
        "loss_curves": not subject.rows,
        "gradient_norm": all(row["split"] != "train" for row in subject.rows),
        "kl_by_dimension": all(row.get("kl_by_dimension") is None for row in subject.rows),
        "manifold": subject.latents != 2,
        "latent_scatter": subject.latents < 2,
        "latent_histogram": subject.latents < 2,
        "marginals": discrete,
        "traversals": subject.latents == 2 or discrete,
        "interpolations": len(subject.means) < 2 or discrete,
        "code_usage": not discrete,
    }
    return [name for name in FIGURES if not omitted.get(name)]


def loss_curves(subject: Subject) -> Drawn:
    """ELBO, reconstruction and KL over training."""
    return viz.loss_curves(subject.rows), captions.loss_curves(subject.rows)


def gradient_norm(subject: Subject) -> Drawn:
    """The norm of the gradient over training."""
    clip_norm = subject.config.clip_norm
    return viz.gradient_norm(subject.rows, clip_norm), captions.gradient_norm(subject.rows, clip_norm)


def samples(subject: Subject) -> Drawn:
    """What the decoder makes of draws from the prior."""
    images = sample(subject.trained, SAMPLES).images.cpu().numpy()
    return viz.prior_samples(images, subject.trained.shape), captions.samples(SAMPLES)


def reconstructions(subject: Subject) -> Drawn:
    """Test images beside what the model makes of them."""
    found = reconstruct(subject.trained, subject.test, RECONSTRUCTIONS, subject.config.evaluation_draws)
    images, decoded = found.images.cpu().numpy(), found.decoded.cpu().numpy()
    figure = viz.reconstructions(images, decoded, subject.trained.shape)
    return figure, captions.reconstructions(len(images), float(np.abs(images - decoded).mean()))


def manifold(subject: Subject) -> Drawn:
    """The decoder over the plane of two latents."""
    images = subject.decoded(viz.manifold_latents(GRID))
    return viz.manifold(images, subject.trained.shape), captions.manifold(GRID)


def latent_scatter(subject: Subject) -> Drawn:
    """Posterior means of the test images in two latents."""
    order, dims, classes = subject.shuffled, subject.plane, subject.coloured
    figure = viz.latent_scatter(subject.means[order], None if classes is None else classes[order], dims)
    return figure, captions.latent_scatter(subject.latents, dims, grouped=classes is not None)


def latent_histogram(subject: Subject) -> Drawn:
    """Draws from the posteriors of the test images in two latents."""
    figure = viz.latent_histogram(subject.draws, subject.plane)
    return figure, captions.latent_histogram(subject.draws[:, subject.plane])


def marginals(subject: Subject) -> Drawn:
    """The distribution of each latent beside the prior."""
    figure = viz.marginals(subject.draws, viz.most_active(subject.kl, MARGINALS))
    return figure, captions.marginals(viz.deviation_from_prior(subject.draws), len(subject.draws), subject.config.beta)


def code_usage(subject: Subject) -> Drawn:
    """How often each bit is a one, or each class is taken."""
    return viz.code_usage(subject.usage), captions.code_usage(subject.usage)


def interpolations(subject: Subject) -> Drawn:
    """Ways from one test image to another."""
    starts, ends = pairs(subject)
    linear, spherical = interpolated(subject, starts, ends)
    labels = [] if subject.classes is None else zip(subject.classes[starts], subject.classes[ends], strict=True)
    names = [f"{start} to {end}" for start, end in labels]
    figure = viz.interpolations(linear, spherical, subject.trained.shape, names)
    return figure, captions.interpolations(len(starts), names)


def kl_by_dimension(subject: Subject) -> Drawn:
    """The KL of each latent over training."""
    return viz.kl_by_dimension(subject.rows), captions.kl_by_dimension(subject.kl)


def traversals(subject: Subject) -> Drawn:
    """One latent moved at a time, from the code of the first test image."""
    dims = viz.most_active(subject.kl, MOVED)
    latents = viz.traversal_latents(subject.means[0].astype(np.float64), VALUES, dims)
    figure = viz.traversals(subject.decoded(latents), subject.trained.shape, VALUES, dims)
    return figure, captions.traversals(subject.latents, len(dims))


def pairs(subject: Subject) -> tuple[Int64[np.ndarray, " pairs"], Int64[np.ndarray, " pairs"]]:
    """The places of test images to go from and to: of different classes, as far as there are some."""
    places = spread(subject.test, 2 * min(PAIRS, len(subject.means) // 2)).numpy()
    return places[0::2], places[1::2]


def interpolated(
    subject: Subject, starts: Int64[np.ndarray, " pairs"], ends: Int64[np.ndarray, " pairs"]
) -> tuple[Float[np.ndarray, "k pairs d"], Float[np.ndarray, "k pairs d"]]:
    """Decoded on the straight line and on the great circle between the means of the posteriors."""
    a, b, t = subject.means[starts], subject.means[ends], np.linspace(0, 1, STEPS)
    return subject.decoded(viz.lerp(a, b, t)), subject.decoded(viz.slerp(a, b, t))


FIGURES: dict[str, Callable[[Subject], Drawn]] = {
    draw.__name__: draw
    for draw in (
        loss_curves,
        samples,
        reconstructions,
        manifold,
        latent_scatter,
        latent_histogram,
        marginals,
        code_usage,
        interpolations,
        traversals,
        kl_by_dimension,
        gradient_norm,
    )
}
"""All figures by name, in the order of the report."""
