"""Steps that leave the state alone where they are not finite (as numpyro's `stable_update`, vdvae's skip threshold)."""

import math

import torch
from torch import Tensor

from vae_fn import tree
from vae_fn.training.nonfinite import all_finite
from vae_fn.training.step import Algorithm, Batch, Info, State
from vae_fn.types import Tree


def skip_nonfinite(algorithm: Algorithm) -> Algorithm:
    """The algorithm whose step, where anything that it gives or would leave is not finite, only counts itself.

    Of a skipped step `Info` is NaN throughout, which is how such steps are counted. `state.step` rises, so that the
    next step has other noise and another batch. `attempt` is the step itself, which shows what was lost.
    """

    def step(state: State, batch: Batch, noise: dict[str, Tree]) -> tuple[State, Info]:
        new, info = algorithm.step(state, batch, noise)
        finite = all_finite((new, info))

        def kept(value: Tensor, old: Tensor) -> Tensor:
            return torch.where(finite, value, old)

        def given(value: Tensor) -> Tensor:
            return torch.where(finite, value, math.nan)

        return tree.map(kept, new, state)._replace(step=new.step), tree.map(given, info)

    return algorithm._replace(step=step, attempt=algorithm.attempt or algorithm.step)
