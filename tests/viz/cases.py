"""Every figure, from small arrays that are the same each time."""

import numpy as np

from vae_fn import viz

RANDOM = np.random.default_rng(0)
SHAPE = (4, 6)
PIXELS = 24
STEPS = np.linspace(0, 1, 5)
VALUES = np.linspace(-3, 3, 7)


def pictures(*sizes):
    """Pictures whose numbers do not fill [0, 1], so that a rescaled axis would show."""
    return 0.2 + 0.5 * RANDOM.random((*sizes, PIXELS))


def row(step, split, elbo=-100.0, dims=None, grad_norm=None):
    kl = None if dims is None else [3.0 * 0.5**i for i in range(dims)]
    terms = {"elbo": elbo, "reconstruction": None if elbo is None else elbo + 5, "kl": 5.0}
    return {"step": step, "split": split, "grad_norm": grad_norm, "kl_by_dimension": kl, **terms}


def rows(dims=2):
    """Four epochs of ten rows, the first of which is huge."""
    found = []
    for step in range(10, 410, 10):
        found.append(row(step, "train", -1e4 if step == 10 else -100 - 100 / step, grad_norm=1000 / step))
        if step % 100 == 0:
            found.append(row(step, "validation", -101.0 - 50 / step, dims))
    return found


Z = RANDOM.normal(size=(500, 14)) * np.linspace(1.2, 0.8, 14) + 0.1
LABELS = np.arange(500) % 10
ONES = viz.Usage(np.linspace(0, 1, 40), np.linspace(0.3, 0.6, 40))
SHARES = viz.Usage(RANDOM.dirichlet(np.ones(5), 7), np.full((7, 5), 0.2))

FIGURES = {
    "loss_curves": lambda: viz.loss_curves(rows()),
    "gradient_norm": lambda: viz.gradient_norm(rows(), 10.0),
    "latent_scatter": lambda: viz.latent_scatter(Z, LABELS),
    "latent_scatter_without_labels": lambda: viz.latent_scatter(Z, None, (3, 1)),
    "latent_histogram": lambda: viz.latent_histogram(Z),
    "marginals": lambda: viz.marginals(Z, list(range(12))),
    "marginals_of_two": lambda: viz.marginals(Z[:, :2], [1, 0]),
    "marginals_of_one": lambda: viz.marginals(Z[:, :1], [0]),
    "kl_by_dimension": lambda: viz.kl_by_dimension(rows()),
    "code_usage_of_bits": lambda: viz.code_usage([ONES]),
    "code_usage_of_layers": lambda: viz.code_usage([ONES, ONES]),
    "code_usage_of_classes": lambda: viz.code_usage([SHARES]),
    "kl_by_many_dimensions": lambda: viz.kl_by_dimension(rows(dims=40)),
}

PICTURES = {
    "prior_samples": lambda: viz.prior_samples(pictures(64), SHAPE),
    "reconstructions": lambda: viz.reconstructions(pictures(15), pictures(15), SHAPE),
    "manifold": lambda: viz.manifold(pictures(81), SHAPE),
    "interpolations": lambda: viz.interpolations(pictures(5, 3), pictures(5, 3), SHAPE),
    "interpolations_named": lambda: viz.interpolations(pictures(5, 3), pictures(5, 3), SHAPE, ["10 to 11"] * 3),
    "traversals": lambda: viz.traversals(pictures(2, 7), SHAPE, VALUES, [11, 0]),
}
