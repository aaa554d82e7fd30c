"""Networks in lower precision, with parameters, heads and losses as they were."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from vae_fn import tree
from vae_fn.models.vae import VAE
from vae_fn.types import Context, Params, Tree


def bfloat16_trunk(vae: VAE) -> VAE:
    """The VAE whose encoder and decoder compute in bfloat16, eight significant bits.

    Parameters stay as they are (master weights, Micikevicius et al. 2018, section 3.1) and are rounded where a network
    is called; so gradients come back in the parameters' dtype, and small updates are not lost. The heads widen what the
    networks give: scales, log-densities, the KL and the loss are float32, and the prior is untouched. float16 is no
    choice: it overflows at 65504.
    """

    def rounded(call: Callable[..., Any]) -> Callable[..., Any]:
        def called(params: Params, value: Tree, context: Context) -> Any:
            return call(_rounded(params), value, context)

        return called

    return vae._replace(posterior=rounded(vae.posterior), likelihood=rounded(vae.likelihood))


def _rounded(params: Params) -> Params:
    def lower(leaf: Tensor) -> Tensor:
        return leaf.to(torch.bfloat16)

    return {name: part if name == "prior" else tree.map(lower, part) for name, part in params.items()}


def wide(params: Params) -> torch.dtype:
    """The dtype of the parameters, and float32 at least: what losses are computed in."""
    return torch.promote_types(tree.leaves(params)[0].dtype, torch.float32)
