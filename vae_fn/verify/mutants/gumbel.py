"""Wrong versions of Gumbel-Rao, which has the mean of straight-through Gumbel-softmax (Paulus et al. 2021)."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from vae_fn.distributions import Categorical, Distribution
from vae_fn.gradients import Estimator, Problem
from vae_fn.gradients.estimators import gumbel_rao, straight_through_gumbel
from vae_fn.gradients.estimators.straight_through import from_passed, passed
from vae_fn.types import Key, Tree
from vae_fn.verify.draws import draws_of
from vae_fn.verify.mutants.mutant import Mutant
from vae_fn.verify.two_samples import same_mean
from vae_fn.verify.verdict import Verdict

SCORES = torch.tensor([[1.0, -0.7, 0.3]], dtype=torch.float64)
LOGITS = torch.tensor([[0.5, -0.2, 0.9]], dtype=torch.float64)
CLASSES = Problem(q=lambda params: Categorical(params["q"]), f=lambda params, z: (z * SCORES).sum((-2, -1)) ** 2)


def through_noise(temperature: float = 0.5) -> Estimator:
    """Gumbel-Rao with one draw, differentiated through the conditional noise."""

    def z(live: Distribution, held: Distribution, noise: Tree) -> Tree:
        def smooth(index: int, family: Any, held: Any, b: Tensor) -> Tensor:
            return family.relax(family.perturb_given(b, noise["given"][0]), temperature)

        return passed(live, held, noise["value"], smooth)

    return from_passed("gumbel-rao", z, noise_like=one_draw)


def one_draw(q: Distribution, samples: int) -> Tree:
    """That of Gumbel-Rao with one draw."""
    return {"value": q.noise_like((samples,)), "given": (q.noise_like((samples,)),)}


def _same_as_gumbel(estimator: Estimator) -> Verdict:
    params = {"q": LOGITS}

    def draws(estimator: Estimator) -> Callable[[Key, int], Tree]:
        specs = estimator.noise_like(CLASSES, params, 1)
        return draws_of(lambda noise: estimator.estimate(CLASSES, params, noise, ()).grads, specs, torch.float64)

    name = "gumbel-rao and straight-through gumbel"
    return same_mean(draws(estimator), draws(straight_through_gumbel()), name=name)


MUTANTS = (
    Mutant(
        "gumbel-rao: differentiated through the conditional noise",
        "published",
        "the form of the paper's text, as a re-implementation noted",
        wrong=lambda: _same_as_gumbel(through_noise()),
        right=lambda: _same_as_gumbel(gumbel_rao(draws=1)),
    ),
)
