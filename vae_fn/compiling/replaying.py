"""Steps replayed as a CUDA graph: no kernel is launched by itself, and no Python runs between steps.

The graph works on tensors of its own, at fixed addresses. What a call is given is copied there, and the new state back:
memory is read and written once more, for as many steps as the call takes.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import torch
from jaxtyping import Int
from torch import Tensor

from vae_fn import tree
from vae_fn.types import Tree

Step = Callable[..., tuple[Tree, Tree]]

Capture: TypeAlias = Callable[[Callable[[], Any]], Callable[[], Any]]
"""From work on tensors at fixed addresses to its replay, which does it again on what lies there then."""

ROOM = 128
"""Steps whose reports are kept before they are taken away."""

WARM_UPS = 3
"""Runs of the work before it is captured, in which it is compiled and libraries find their workspaces."""


class Held(NamedTuple):
    """What the graph works on: a state, the steps that it has gone, and room for what each of them reports."""

    state: Tree
    gone: Int[Tensor, ""]
    room: Tree


def replayed(step: Step, edge: Callable[[Step], Step], state: Tree, inputs: tuple[Any, ...], capture: Capture) -> Step:
    """The repetition `(state, count, *inputs) -> (state, infos)` of a step by a replay of one.

    Args:
        step: a pure step `(state, *inputs) -> (state, info)`.
        edge: compiles it so that it writes the new state over the old one.
        state: of the form of all that will be given; its values are not read.
        inputs: likewise.
        capture: such as `cuda_graph`.
    """
    _, info = tree.shapes_of(step, state, *inputs)
    room = tree.map(lambda leaf: torch.zeros(ROOM, *leaf.shape, dtype=leaf.dtype, device=leaf.device), info)
    device = tree.leaves(state)[0].device
    held, own = Held(_copy(state), torch.zeros((), dtype=torch.int64, device=device), room), _copy(inputs)
    take = edge(_reporting(step))
    replay = capture(lambda: take(held, *own))

    def run(state: Tree, count: int, *inputs: Any) -> tuple[Tree, Tree]:
        _write(held.state, state)
        _write(own, inputs)
        reports = []
        for done in range(0, count, ROOM):
            steps = min(ROOM, count - done)
            held.gone.zero_()
            for _ in range(steps):
                replay()
            reports.append(tree.map(lambda leaf, steps=steps: leaf[:steps].clone(), held.room))
        _write(state, held.state)
        return state, tree.map(lambda *leaves: torch.cat(leaves), *reports)

    return run


class CaptureError(Exception):
    """Work that a CUDA graph does not take, such as that which waits for the device."""


def cuda_graph(work: Callable[[], Any]) -> Callable[[], Any]:
    """Capture work on the current CUDA device as a graph.

    Raises:
        CaptureError: it does something that no graph can.
    """
    device, aside = torch.cuda.current_device(), torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(WARM_UPS):
            work()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            work()
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as fault:
        raise CaptureError(f"the step cannot be captured as a CUDA graph ({str(fault).splitlines()[0]})") from fault

    def replay() -> None:
        with torch.cuda.device(device):
            graph.replay()

    return replay


def _reporting(step: Step) -> Step:
    """The step on what is held: what it reports goes to the place of its number."""

    def reporting(held: Held, *inputs: Any) -> tuple[Held, tuple[()]]:
        state, info = step(held.state, *inputs)
        place = torch.arange(ROOM, device=held.gone.device) == held.gone

        def noted(room: Tensor, leaf: Tensor) -> Tensor:
            return torch.where(place.view(-1, *(1 for _ in leaf.shape)), leaf, room)

        return Held(state, held.gone + 1, tree.map(noted, held.room, info)), ()

    return reporting


def _copy(values: Tree) -> Tree:
    """The values with tensors of their own; what is no tensor is the same."""
    return tree.map(lambda leaf: leaf.clone() if isinstance(leaf, Tensor) else leaf, values)


def _write(places: Tree, values: Tree) -> None:
    for place, value in zip(tree.leaves(places), tree.leaves(values), strict=True):
        if isinstance(place, Tensor):
            place.copy_(value)
