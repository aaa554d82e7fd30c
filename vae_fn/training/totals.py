"""What a step sums over the examples of its batch."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from vae_fn import tree
from vae_fn.distributions import has_closed_form, kl
from vae_fn.gradients import Estimate
from vae_fn.models import VAE
from vae_fn.models.precision import wide
from vae_fn.types import Context, Params


class Totals(NamedTuple):
    """Sums over the examples of a batch: the objective, its gradient, and its terms, each a mean over the samples."""

    grads: Params
    objective: Float[Tensor, ""]
    reconstruction: Float[Tensor, ""]
    kl: Float[Tensor, ""]


def totals_of(vae: VAE, params: Params, context: Context, estimate: Estimate) -> Totals:
    """The totals of an estimate, with the KL in closed form where there is one."""
    q, p, seen = estimate.info.posterior, vae.prior(params, context), estimate.info
    ratio = seen.log_ratio
    divergence = ratio.mean(0) if isinstance(ratio, Tensor) and not has_closed_form(q, p) else kl(q, p)
    return Totals(estimate.grads, estimate.value.sum(), seen.f.mean(0).sum(), divergence.sum())


def no_totals(params: Params) -> Totals:
    """The totals of no examples."""
    zero = torch.zeros((), dtype=wide(params), device=tree.leaves(params)[0].device)
    return Totals(tree.zeros_like(params), zero, zero.clone(), zero.clone())
