"""Figures of a run as pure functions from arrays, and its report; nothing here is random."""

from vae_fn.viz.activity import active_units, kl_by_dimension, most_active
from vae_fn.viz.curves import gradient_norm, loss_curves
from vae_fn.viz.deviation import Deviation, deviation_from_prior, ks_distance
from vae_fn.viz.grids import prior_samples, reconstructions
from vae_fn.viz.interpolation import lerp, slerp
from vae_fn.viz.latents import latent_histogram, latent_scatter
from vae_fn.viz.marginals import marginals
from vae_fn.viz.report import ReportFigure, report_html
from vae_fn.viz.style import save_figure
from vae_fn.viz.sweeps import interpolations, manifold, manifold_latents, traversal_latents, traversals
from vae_fn.viz.usage import Usage, code_usage, constant_bits, used_classes

__all__ = [
    "Deviation",
    "ReportFigure",
    "Usage",
    "active_units",
    "code_usage",
    "constant_bits",
    "deviation_from_prior",
    "gradient_norm",
    "interpolations",
    "kl_by_dimension",
    "ks_distance",
    "latent_histogram",
    "latent_scatter",
    "lerp",
    "loss_curves",
    "manifold",
    "manifold_latents",
    "marginals",
    "most_active",
    "prior_samples",
    "reconstructions",
    "report_html",
    "save_figure",
    "slerp",
    "traversal_latents",
    "traversals",
    "used_classes",
]
