"""Members of an ensemble side by side: one step of all of them, as on an accelerator.

`torch.vmap` makes a batched product of every product of matrices. On a CPU these are slow, and members go in turn
(`stretches.py`).
"""

from collections.abc import Callable, Sequence
from functools import partial
from operator import itemgetter
from typing import TypeAlias

import torch
from jaxtyping import Int64
from torch import Tensor

from vae_fn import tree
from vae_fn.compiling import traced_by_running
from vae_fn.random import Streams
from vae_fn.training.batches import check_alike
from vae_fn.training.step import Batch, Info, State, draw_noise
from vae_fn.training.stretches import Advance, Family, Member, States, check_stretch, narrowed, widened
from vae_fn.types import Pixels, Tree

Joint: TypeAlias = Callable[..., tuple[State, Info]]
"""`joint(state, images, orders, streams, values)`: a step of members whose leaves are stacked in front."""

Repeated: TypeAlias = Callable[..., tuple[State, Info]]
"""`repeated(state, count, *inputs)`: so many steps; what they report has the steps in front, as in `compile_epoch`."""


def vmapped(
    family: Family, members: Sequence[Member], edge: Callable[..., Repeated], cuda_graph: bool = False
) -> Advance:
    """The stretch as calls that advance all members at once, equal to those in turn to rounding.

    There are two programs, for full batches and for a short last one, whatever the number of members. Each member
    has its own order of the images and its own noise. Members that `advance` is not given are computed and thrown
    away, so that no other program is needed for the rest.

    Args:
        family: the algorithm as a function of a member's values, which `torch.vmap` passes through.
        members: of one array of images, equal batch sizes, and values of one structure.
        edge: where compiling happens, of a joint step: `compile_epoch`, or `compiling.repeated` for none.
        cuda_graph: as in `compile_epoch`, of full batches: each graph would have a copy of all images.

    Raises:
        ValueError: the members have several arrays of images, batch sizes or structures of values.
    """
    batches = members[0].batches
    check_alike([member.batches for member in members])
    if any(member.batches.images is not batches.images for member in members):
        raise ValueError("members that advance together share their images: make all Batches of one tensor")
    _check_values(members)
    ends = {batches.size(0): batches.full, batches.size(batches.per_epoch - 1): batches.per_epoch}
    full = partial(edge, cuda_graph=True) if cuda_graph else edge
    edges = {size: full if size == batches.size(0) else edge for size in ends}
    programs = {size: edges[size](joint_step(family, members[0], size)) for size in ends}

    def advance(states: States, step: int, count: int) -> tuple[States, Tensor]:
        for state in states.values():
            check_stretch(batches, state, step, count)
        numbers, (epoch, place), infos = list(states), divmod(step, batches.per_epoch), []
        state = stacked([states.get(number, states[numbers[0]]) for number in range(len(members))])
        inputs = (batches.images, orders_of(members, epoch), *own_of(members))
        for size, end in ends.items():
            if (steps := min(place + count, end) - place) > 0:
                state, info = programs[size](state, steps, *inputs)
                infos.append(torch.stack(info, -1))
                place, count = place + steps, count - steps
        rows = torch.cat(infos).movedim(1, 0)
        return {number: tree.map(itemgetter(number), state) for number in numbers}, rows[numbers]

    return advance


def _check_values(members: Sequence[Member]) -> None:
    """See that members have values of the same names: a part that one lacks would be lost to all, or to none."""
    names = [sorted(tree.flat_names(member.values)) for member in members]
    for number, own in enumerate(names):
        if own != names[0]:
            raise ValueError(
                f"members that advance together have values of one structure, but member {number} has "
                f"{', '.join(own) or 'none'} and member 0 {', '.join(names[0]) or 'none'}: give all the same, such as "
                "a weight of 1"
            )


def joint_step(family: Family, member: Member, size: int, dtype: torch.dtype = torch.float32) -> Joint:
    """The step of all members at once, on batches of `size` images, at the place in the epoch that the state tells.

    Noise is drawn outside of `torch.vmap`, from a batch of keys: the generator does not pass through it. Leaves enter
    one by one, since absent parts do not either.

    Args:
        family: as in `vmapped`.
        member: any of them.
        size: images in a batch.
        dtype: of the noise.
    """
    batches, algorithm, fields = member.batches, family(member.values), len(Info._fields)
    batch = Batch(batches.images[:size])
    specs = algorithm.noise_like(batch)
    like = (tree.shapes_of(algorithm.init, member.streams.init, batch), batch.pixels, specs, member.values)

    def one(*leaves: Tensor) -> tuple[Tensor, ...]:
        state, pixels, noise, values = tree.with_leaves(like, leaves)
        new, info = family(narrowed(values)).step(state, Batch(pixels), noise)
        return (*info, *tree.leaves(new))

    each = traced_by_running(torch.vmap(one))

    def joint(state: State, images: Pixels, orders: Tensor, streams: Streams, values: Tree) -> tuple[State, Info]:
        step = state.step[0]
        first = step % batches.per_epoch * batches.size(0)
        pixels = images[orders[:, first + torch.arange(size, device=orders.device)]]
        noise = draw_noise(streams, step, specs, dtype)
        given = each(*tree.leaves((state, pixels, noise, values)))
        return tree.with_leaves(state, given[fields:]), Info(*given[:fields])

    return joint


def own_of(members: Sequence[Member]) -> tuple[Streams, Tree]:
    """The keys and values of all members, stacked, as a joint step takes them."""
    return stacked([(member.streams, widened(member.values)) for member in members])


def orders_of(members: Sequence[Member], epoch: int) -> Int64[Tensor, "members images"]:
    """The order of the images in an epoch, for each member."""
    return torch.stack([member.batches.order(epoch) for member in members])


def stacked(trees: Sequence[Tree]) -> Tree:
    """The tree whose leaves have those of the trees in front of one another."""
    return tree.map(lambda *leaves: torch.stack(leaves), *trees)
