"""What a compiled step reads and is not given: tensors that it closes over."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

from torch import Tensor

from vae_fn import tree
from vae_fn.types import Tree

GIVEN = "args["
"""How torch's name of an argument begins, after the one of the function in `compile_pure`."""


class Surroundings:
    """A filter of torch's guards that keeps the few which no argument tells, such as that of the mode of gradients.

    What the step closes over is noted, as the others would have seen when an argument is one of these tensors.
    """

    def __init__(self) -> None:
        self._read: dict[str, Tensor] = {}

    def __call__(self, guards: Sequence[Any]) -> list[bool]:
        """Which guards a program asks at every call."""
        tensors = {guard.name: guard.value for guard in guards if isinstance(guard.value, Tensor)}
        self._read |= {name: value for name, value in tensors.items() if not name.startswith(GIVEN)}
        return [not guard.name for guard in guards]

    def check(self, state: Tree, inputs: tuple[Any, ...]) -> None:
        """Hold arguments against what the step closes over, which a program takes for other memory.

        Raises:
            ValueError: one of them lies there.
        """
        read = set(map(_place, _filled(self._read)))
        if read.isdisjoint(map(_place, _filled((state, inputs)))):
            return
        name = next(name for name, place in _places(state, inputs).items() if place in read)
        raise ValueError(
            f"{name} shares memory with a tensor that the step closes over: pass a copy, as tree.clone makes it"
        )


def check_apart(state: Tree, inputs: tuple[Any, ...]) -> None:
    """Hold arguments against each other: a program made for some that share memory is none for others.

    Raises:
        ValueError: two of them do.
    """
    tensors = _filled((state, inputs))
    if len(set(map(_place, tensors))) == len(tensors):
        return
    places = _places(state, inputs)
    one, other = next(pair for pair in combinations(places, 2) if places[pair[0]] == places[pair[1]])
    raise ValueError(f"{one} and {other} share memory: pass copies, as tree.clone makes them")


def _filled(values: Tree) -> list[Tensor]:
    return [leaf for leaf in tree.leaves(values) if isinstance(leaf, Tensor) and leaf.numel()]


def _places(state: Tree, inputs: tuple[Any, ...]) -> dict[str, int]:
    """Where the arguments lie, by their names."""
    leaves = tree.flat_names({"state": state, "inputs": inputs}).items()
    return {name: _place(leaf) for name, leaf in leaves if isinstance(leaf, Tensor) and leaf.numel()}


def _place(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
