"""Steps replayed as a CUDA graph: no kernel is launched by itself, and no Python runs between steps.

The graph works on tensors of its own, at fixed addresses. What a call is given is copied there, and the new state back:
memory is read and written once more, for as many steps as the call takes.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple, TypeAlias

import torch
from jaxtyping import Int
from torch import Tensor
from torch._ops import HigherOrderOperator
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from vae_fn import tree
from vae_fn.types import Tree

Step = Callable[..., tuple[Tree, Tree]]

Work: TypeAlias = Callable[[], Any]
"""Something done on tensors at fixed addresses of a device."""

Capture: TypeAlias = Callable[[Work, Work, torch.device], Work]
"""From work and a rehearsal of it, which may be repeated, to the replay of the work on what lies there then."""

ROOM = 128
"""Steps whose reports are kept before they are taken away."""

REHEARSALS = 3
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
        state: of the form of all that will be given; rehearsals begin with its values, as a step may not be fit for
            others, such as one that is past the last batch.
        inputs: likewise.
        capture: such as `cuda_graph`.
    """
    device = _one_device((state, inputs))
    info = _told(step, state, inputs, device)
    room = tree.map(lambda leaf: torch.zeros(ROOM, *leaf.shape, dtype=leaf.dtype, device=leaf.device), info)
    held, own = Held(_copy(state), torch.zeros((), dtype=torch.int64, device=device), room), _copy(inputs)
    take = edge(_reporting(step))

    def work() -> None:
        take(held, *own)

    def rehearse() -> None:
        _write(held.state, state)
        work()

    replay = capture(work, rehearse, device)

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


class CaptureError(RuntimeError):
    """Work that a CUDA graph does not take, such as that which waits for the device.

    Its arguments are the reason and what to do about it; an edge with other advice takes the reason alone.
    """

    def __init__(self, reason: str, advice: str) -> None:
        super().__init__(reason, advice)

    def __str__(self) -> str:
        return ": ".join(self.args)


def cuda_graph(work: Work, rehearse: Work, device: torch.device) -> Work:
    """Capture work on a CUDA device as a graph, after rehearsals.

    Raises:
        CaptureError: it does something that no graph can.
    """
    with torch.cuda.device(device):
        before, aside, graph = torch.cuda.current_stream(), torch.cuda.Stream(), torch.cuda.CUDAGraph()
        aside.wait_stream(before)
        try:
            with torch.cuda.stream(aside):
                for _ in range(REHEARSALS):
                    rehearse()
                with _refused():
                    _never_waiting(rehearse)
        finally:
            before.wait_stream(aside)
        with _refused(), torch.cuda.stream(before):  # to which a capture that fails does not come back
            _within(torch.cuda.graph(graph, stream=aside), work)

    def replay(kept: Work = work) -> None:  # a graph does not keep the kernels that it calls: Triton unloads its own
        with torch.cuda.device(device):
            graph.replay()

    return replay


def _never_waiting(work: Work) -> None:
    """Run the work, which must not wait for the device: a capture that fails for that leaves torch's streams astray."""
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        work()
    finally:
        torch.cuda.set_sync_debug_mode(before)


def _within(context: AbstractContextManager[Any], work: Work) -> None:
    """Do the work in a context. Its own fault is raised, not the one that a context which it spoils ends with."""
    first = None
    try:
        with context:
            try:
                work()
            except BaseException as fault:
                first = fault
                raise
    finally:
        if first is not None:
            raise first


@contextmanager
def _refused() -> Iterator[None]:
    """What fails here, but for want of memory, is no CUDA graph."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as fault:
        reason = next(iter(str(fault).splitlines()), type(fault).__name__)
        raise CaptureError(f"the step is no CUDA graph ({reason})", "leave cuda_graph out, or mend that") from fault


def _one_device(values: Tree) -> torch.device:
    """The device that all tensors are on: a graph would keep the value of one that lies elsewhere for ever."""
    devices = _devices(values)
    if len(devices) > 1:
        raise CaptureError(
            f"state and inputs are on {_named(devices)}", "move all to one device, or leave cuda_graph out"
        )
    return devices.pop()


def _told(step: Step, state: Tree, inputs: tuple[Any, ...], device: torch.device) -> Tree:
    """What a step reports, in its shapes; a tensor that it closes over or returns must not lie elsewhere either."""
    reads = _Reads()

    def watched(state: Tree, *inputs: Any) -> tuple[Tree, Tree]:
        with reads:
            return step(state, *inputs)

    new, info = tree.shapes_of(watched, state, *inputs)
    for does, devices in {"reads": reads.devices, "returns": _devices((new, info))}.items():
        if others := devices - {device}:
            raise CaptureError(
                f"the step {does} a tensor on {_named(others)}", f"move it to {device}, or leave cuda_graph out"
            )
    return info


def _devices(values: Tree) -> set[torch.device]:
    return {leaf.device for leaf in tree.leaves(values) if isinstance(leaf, Tensor)}


def _named(devices: set[torch.device]) -> str:
    return " and ".join(sorted(map(str, devices)))


class _Reads(TorchDispatchMode):
    """Notes the devices of tensors that operations take and that were there before: others have no data here."""

    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()
        self.devices: set[torch.device] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if isinstance(func, HigherOrderOperator):  # its functions run out of sight of any mode
            reason = f"what the step reads in the operator {func.name()} cannot be told"
            raise CaptureError(reason, "do without that operator, or leave cuda_graph out")
        if func is not torch.ops.aten.lift_fresh.default:  # a number that is written in the step
            leaves = pytree.arg_tree_leaves(*args, **(kwargs or {}))
            self.devices |= {x.device for x in leaves if isinstance(x, Tensor) and not isinstance(x, FakeTensor)}
        return func(*args, **(kwargs or {}))


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
