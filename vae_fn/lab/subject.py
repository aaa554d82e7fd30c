"""A contender at work on a problem: one datum's gradient as a function of its noise."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vae_fn import random, tree
from vae_fn.distributions import Distribution
from vae_fn.gradients.estimator import Evaluations
from vae_fn.gradients.problem import Problem
from vae_fn.lab.contenders import Contender
from vae_fn.lab.streaming import Sums, sums
from vae_fn.types import Key, Params, Tree

Data = Tensor | tuple[()]
"""Data, or () for the problem of a plain cost."""


class Subject(NamedTuple):
    """A contender on a problem at given parameters, its state held still.

    Attributes:
        contender: what is measured.
        problem: the problem of data, in the form that the contender is given.
        params: where.
        state: the estimator's.
    """

    contender: Contender
    problem: Callable[[Data], Problem]
    params: Params
    state: Tree = ()

    def q(self, x: Data) -> Distribution:
        """The shapes of q."""
        return tree.shapes_of(lambda params: self.problem(x).q(params), self.params)

    def specs(self, x: Data) -> Tree:
        """The noise of one estimate."""
        return self.contender.estimator.noise_like(self.problem(x), self.params, self.contender.samples)

    def evaluations(self, x: Data) -> Evaluations:
        """Of f for each datum."""
        return self.contender.estimator.evaluations(self.q(x), self.contender.samples)

    def estimate(self, x: Data, noise: Tree) -> tuple[Tensor, Params]:
        """Value and gradient at this noise."""
        found = self.contender.estimator.estimate(self.problem(x), self.params, noise, self.state)
        return found.value, found.grads

    def warmed_up(self, x: Data, key: Key, steps: int) -> "Subject":
        """With the state that it has after some estimates on all data at once, the parameters held."""
        estimator, problem = self.contender.estimator, self.problem(x)
        state, specs = estimator.init(problem, self.params), self.specs(x)
        for step in range(steps if tree.leaves(state) else 0):
            noise = random.draw(random.fold_in(key, step), specs, dtype_of(self.params))
            state = estimator.estimate(problem, self.params, noise, state).state
        return self._replace(state=state)

    def chunk(self, like: Data) -> Any:
        """The function `(x, reference, keys) -> Sums` of one datum and many keys."""
        specs, dtype = self.specs(like), dtype_of(self.params)

        def chunk(x: Data, reference: Params, keys: Key) -> Sums:
            noise = random.draw(keys, specs, dtype)  # of an exact estimator there is none: the keys tell how many
            return sums(*torch.vmap(lambda noise, key: self.estimate(x, noise))(noise, keys), reference)

        return chunk


def dtype_of(params: Params) -> torch.dtype:
    """The dtype of the parameters, and of the noise."""
    return tree.leaves(params)[0].dtype
