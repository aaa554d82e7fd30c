"""What is timed: a step, the state that it starts from, and the inputs of every step."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from vae_fn import tree
from vae_fn.types import Tree

Step = Callable[..., tuple[Any, Any]]
"""A pure step `(state, *inputs) -> (state, info)`."""


class Subject(NamedTuple):
    """A step to be timed, with what it is given.

    Attributes:
        step: as it is written, not compiled.
        state: before the first step.
        inputs: its arguments behind the state, the same in every step; what differs from step to step, such as the
            batch and the noise, follows from the state.
        exact: the step that takes a state and inputs in float64 and draws the same noise.
        precision: what it computes in, if not in the state's own.
    """

    step: Step
    state: Tree
    inputs: tuple[Any, ...]
    exact: Step
    precision: str | None = None


class Source(NamedTuple):
    """How another process makes a subject: a function by its name, and arguments that JSON can hold.

    Attributes:
        function: `module:function`, which returns a `Subject`.
        arguments: its keyword arguments.
        batch: examples of a step, of each member; None if they are not known.
        samples: posterior samples of an example; None likewise.
        members: trainings that a step advances.
    """

    function: str
    arguments: dict[str, Any]
    batch: int | None = None
    samples: int | None = None
    members: int = 1

    def subject(self, settings: Mapping[str, Any]) -> Subject:
        """The subject, with changes of the model's settings that a row asks for."""
        module, _, name = self.function.partition(":")
        return getattr(importlib.import_module(module), name)(**self.arguments, settings=dict(settings))


def own(step: Step, state: Tree, *inputs: Any) -> Subject:
    """The subject of a step by itself; noise that it takes is one of the inputs."""
    return Subject(step, state, inputs, step)


def device_of(subject: Subject) -> torch.device:
    """Where the state is, and the step runs."""
    return next((leaf.device for leaf in tree.leaves(subject.state) if isinstance(leaf, Tensor)), torch.device("cpu"))


def precision_of(subject: Subject) -> str:
    """What the step computes in: what it says, or the dtype of the state's first floating leaf."""
    if subject.precision is not None:
        return subject.precision
    floating = (leaf.dtype for leaf in tree.leaves(subject.state) if leaf.is_floating_point())
    return str(next(floating, torch.float32)).removeprefix("torch.")


def double(values: Tree) -> Tree:
    """A tree with its floating tensors in float64; what is no tensor stays."""

    def wide(leaf: Any) -> Any:
        return leaf.double() if isinstance(leaf, Tensor) and leaf.is_floating_point() else leaf

    return tree.map(wide, values)


def clone(values: Tree) -> Tree:
    """A copy of the tensors of a tree; what is no tensor stays."""
    return tree.map(lambda leaf: leaf.clone() if isinstance(leaf, Tensor) else leaf, values)


def size_in_bytes(values: Tree) -> int:
    """Of all tensors of a tree."""
    return sum(leaf.nbytes for leaf in tree.leaves(values) if isinstance(leaf, Tensor))
