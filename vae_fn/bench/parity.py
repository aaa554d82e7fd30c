"""Whether a program computes what it should: its parameters beside those of float64."""

from typing import Any

import torch
from torch import Tensor

from vae_fn import tree
from vae_fn.bench.subject import Subject, double
from vae_fn.types import Tree

STEPS = 20
"""Steps after which parameters are compared."""


def parameters(state: Any) -> Tree:
    """The `params` of a state, or all of a state that has none."""
    return getattr(state, "params", state)


def exact_parameters(subject: Subject, steps: int = STEPS) -> Tree:
    """The parameters after so many steps in float64, eager, with the noise of the step itself."""
    state, inputs = double(subject.state), double(subject.inputs)
    for _ in range(steps):
        state, _ = subject.exact(state, *inputs)
    return parameters(state)


def relative_error(found: Tree, exact: Tree) -> float:
    """The largest of ||leaf - exact|| / ||exact|| over the floating leaves; the plain norm where exact is zero.

    It is NaN where one of them is. A dictionary's order does not matter.
    """
    errors = tree.leaves(tree.map(_relative, found, exact))
    return float(torch.tensor(errors, dtype=torch.float64).max()) if errors else 0.0


def _relative(found: Tensor, exact: Tensor) -> float | None:
    """Of a leaf; None if it is not floating."""
    if not found.is_floating_point():
        return None
    size = torch.linalg.vector_norm(exact)
    return float(torch.linalg.vector_norm(found.double() - exact) / torch.where(size > 0, size, 1.0))
