"""Samplers whose draws, or whose examples, share noise: each draw alone has the right law."""

import torch
from torch import Tensor

from vae_fn.distributions import Bernoulli, Family, Normal
from vae_fn.verify.distributions.battery import distribution
from vae_fn.verify.distributions.contract import own_noise
from vae_fn.verify.distributions.subject import bare
from vae_fn.verify.mutants.distributions import altered, claim
from vae_fn.verify.mutants.mutant import Mutant
from vae_fn.verify.verdict import Verdict

SHARED_SCALE = Normal(torch.tensor([[0.7, -1.2], [0.2, 0.5]]).double(), torch.tensor([0.3, 1.7]).double())
COINS = Bernoulli(torch.tensor([[0.4], [0.4], [-0.3]]).double())


def _mirrored(q: Normal, noise: Tensor) -> Tensor:
    """Antithetic pairs: the second half of the draws is the first, mirrored."""
    if noise.ndim > q.loc.ndim and len(noise) > 1:
        half = len(noise) // 2
        noise = torch.cat([noise[: len(noise) - half], -noise[:half]])
    return Normal(*q).sample(noise)


def _of_the_first_row(noise: Tensor) -> Tensor:
    return noise[..., :1, :].expand_as(noise) if noise.ndim > 1 else noise


def _wrong(what: str, q: Family, sample: object, blind_to: str) -> Mutant:
    def check(q: Family) -> Verdict:
        found = own_noise(bare(q, None))
        assert isinstance(found, Verdict)
        return found

    wrong = altered(q, sample=sample)
    return Mutant(
        what,
        "distribution",
        "",
        wrong=lambda: check(wrong),
        right=lambda: check(q),
        blind=lambda: claim(distribution(wrong), blind_to),
    )


MUTANTS: tuple[Mutant, ...] = (
    _wrong("own noise: antithetic pairs", SHARED_SCALE, _mirrored, "law"),
    _wrong(
        "own noise: one for a batch with a shared scale",
        SHARED_SCALE,
        lambda q, noise: Normal(*q).sample(_of_the_first_row(noise)),
        "law",
    ),
    _wrong(
        "own noise: one for a batch of bits",
        COINS,
        lambda q, noise: Bernoulli(*q).sample(_of_the_first_row(noise)),
        "law",
    ),
)
