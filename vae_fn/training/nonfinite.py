"""Whether what steps gave and left is finite, and which of them was the first that was not."""

import torch
from jaxtyping import Bool
from torch import Tensor

from vae_fn import tree
from vae_fn.training.batches import Batches
from vae_fn.training.step import Batch, State
from vae_fn.training.stretches import Advance
from vae_fn.types import Tree


class NonFiniteStep(Exception):
    """A step gave or left something that is not finite.

    Attributes:
        state: the state before it.
        batch: its batch.
        found: whether the step was found: False where running again gave finite numbers, so that `state` and `batch`
            are those of the last step done.
    """

    def __init__(self, state: State, batch: Batch, found: bool):
        super().__init__(f"step {int(state.step) + 1} is not finite")
        self.state, self.batch, self.found = state, batch, found


def all_finite(values: Tree) -> Bool[Tensor, ""]:
    """Whether every number in the tree is finite, on its device: the device is waited for only when this is read."""
    leaves = [leaf for leaf in tree.leaves(values) if leaf.is_floating_point()]
    return torch.stack([leaf.isfinite().all() for leaf in leaves]).all()


def first_nonfinite(
    advance: Advance, number: int, held: State, steps: int, batches: Batches, *, skipping: bool
) -> NonFiniteStep:
    """The first step that gave or left something that is not finite, found by running the steps since `held` again.

    Args:
        advance: takes the steps, with the same numbers again.
        number: of the member whose step it is.
        held: a state of it that was checked; it is consumed.
        steps: done by now, more than at `held`.
        batches: its batch of every step.
        skipping: what a step gives may be anything.
    """
    before = held
    for step in range(int(held.step), steps):
        before = tree.clone(held)
        states, infos = advance({number: held}, step, 1)
        held = states[number]
        if not all_finite(held if skipping else (held, infos)):
            return NonFiniteStep(before, batches(step), found=True)
    return NonFiniteStep(before, batches(steps - 1), found=False)
