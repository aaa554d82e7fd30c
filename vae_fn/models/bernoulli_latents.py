"""Bernoulli latents, in one stochastic layer or in several (Tucker et al. 2017, section 5; Dong et al. 2020).

Bits enter networks as -1 and 1, pixels centred at 0. Between two stochastic layers there is one linear layer, or
hidden layers with tanh between them.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from vae_fn import random
from vae_fn.distributions import BottomUp, Family, TopDown
from vae_fn.distributions.layered import Conditional, conditional
from vae_fn.models import heads, priors
from vae_fn.models.networks import Network, centred, entered, signs
from vae_fn.models.vae import VAE, build
from vae_fn.types import Context, Key, Params


def bernoulli_latents(units: int = 200, hidden: Sequence[int] = (), data_dim: int = 784) -> VAE:
    """Independent bits under a prior of learned logits, and Bernoulli pixels.

    Args:
        units: latent bits.
        hidden: widths of the hidden layers of encoder and, reversed, decoder; none makes both linear.
        data_dim: pixels.

    Raises:
        ValueError: there are no units.
    """
    _check([units])
    return build(
        entered(centred, [data_dim, *hidden, units], nn.Tanh),
        entered(signs, [units, *reversed(hidden), data_dim], nn.Tanh),
        data_dim=data_dim,
        latent_dim=units,
        posterior=heads.bernoulli,
        prior=priors.learned(heads.bernoulli),
    )


def layered_bernoulli_latents(
    units: Sequence[int] = (200, 200), hidden: Sequence[int] = (), data_dim: int = 784
) -> VAE:
    """Layers of bits, q(z_1 | x) q(z_2 | z_1) ... and p(z_L) p(z_{L-1} | z_L) ..., and Bernoulli pixels given z_1.

    The parameters of layer l are under "z1", "z2", ... of "encoder" and "prior".

    Args:
        units: bits of each layer, two or more, that nearest to the data first.
        hidden: widths of the hidden layers between two stochastic layers, upwards; downwards they are reversed.
        data_dim: pixels.

    Raises:
        ValueError: there are fewer than two layers, or one without units.
    """
    layers = 1 if isinstance(units, int) else len(units)
    if layers < 2:
        raise ValueError(f"layers are two or more, not {layers}: use bernoulli_latents for one")
    _check(units)
    down, names = list(reversed(hidden)), [f"z{i + 1}" for i in range(len(units))]
    sizes = dict(zip(names, units, strict=True))
    encode = {names[0]: entered(centred, [data_dim, *hidden, units[0]], nn.Tanh)}
    encode |= {n: entered(signs, [sizes[below], *hidden, sizes[n]], nn.Tanh) for below, n in pairwise(names)}
    generate = {n: entered(signs, [sizes[above], *down, sizes[n]], nn.Tanh) for above, n in pairwise(reversed(names))}
    top, decode = priors.learned(heads.bernoulli)(units[-1]), entered(signs, [units[0], *down, data_dim], nn.Tanh)
    upwards = tuple(_given(encode[n], n, sizes[n]) for n in names[1:])
    downwards = tuple(_given(part, n, sizes[n]) for n, part in generate.items())

    def init(key: Key) -> Params:
        up, pixels, law, chain = random.split(key, 4)
        conditionals = {n: part.init(random.fold_in(chain, i)) for i, (n, part) in enumerate(generate.items())}
        return {
            "encoder": {n: part.init(random.fold_in(up, i)) for i, (n, part) in enumerate(encode.items())},
            "decoder": decode.init(pixels),
            "prior": {names[-1]: top.init(law)} | conditionals,
        }

    def posterior(params: Params, x: Tensor, context: Context) -> BottomUp:
        first, rest = params["encoder"][names[0]], {n: params["encoder"][n] for n in names[1:]}
        return BottomUp(heads.bernoulli.apply(encode[names[0]].apply(first, x)), rest, upwards)

    def prior(params: Params, context: Context) -> TopDown:
        own = params["prior"]
        return TopDown(top.apply(own[names[-1]], own[names[-1]]["raw"]), {n: own[n] for n in generate}, downwards)

    def likelihood(params: Params, z: tuple[Tensor, ...], context: Context) -> Family:
        return heads.bernoulli.apply(decode.apply(params["decoder"], z[0]))

    return VAE(init, posterior, prior, likelihood)


def _given(part: Network, name: str, units: int) -> Conditional:
    """Bits of a layer given its neighbour, of the parameters under its name."""
    like = heads.bernoulli.apply(torch.zeros(units))
    return conditional(lambda params, z: heads.bernoulli.apply(part.apply(params[name], z)), like)


def _check(units: Sequence[int]) -> None:
    if min(units) < 1:
        raise ValueError(f"each layer has at least 1 unit, not {min(units)}")
