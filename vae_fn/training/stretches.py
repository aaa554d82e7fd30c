"""Stretches of steps: how the loop takes many of them at a time, one by one or in compiled calls, of several trainings.

The members of an ensemble differ in keys and in values, such as a learning rate. Here they advance in turn, each for a
whole stretch: the products of a step stay products of matrices. `vmapped.py` is the other way.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple, TypeAlias

import torch
from jaxtyping import Float32
from torch import Tensor

from vae_fn import tree
from vae_fn.compiling import Gemm, compile_epoch, compile_step
from vae_fn.random import Streams
from vae_fn.training.batches import Batches, check_alike
from vae_fn.training.step import Algorithm, Batch, Info, Run, State, draw_noise, step_by_shape
from vae_fn.types import Pixels, Tree

States: TypeAlias = Mapping[int, State]
"""The states of members by their numbers."""

Advance: TypeAlias = Callable[[States, int, int], tuple[States, Float32[Tensor, "members count fields"]]]
"""`advance(states, step, count)`: take so many steps after `step` steps, within an epoch, of any of the members that it
was made for; with a row of `Info`'s numbers for each. It may consume the states."""

Family: TypeAlias = Callable[[Tree], Algorithm]
"""`family(values)`: the algorithm for 0-d tensors, which it reads at every step. In a compiled program they are inputs:
others compile nothing."""

LONGEST = 100
"""The most steps of a stretch."""


class Member(NamedTuple):
    """What one of several trainings has of its own.

    Attributes:
        values: what the family makes its algorithm of, 0-d tensors.
        batches: the batch of every step.
        streams: the keys.
    """

    values: Tree
    batches: Batches
    streams: Streams


def one_by_one(runs: Sequence[Run], members: Sequence[Member]) -> Advance:
    """The stretch as a loop over the step of each member, as from `step_by_shape`."""

    def take(number: int, state: State, step: int, count: int) -> tuple[State, Tensor]:
        infos, own = [], members[number]
        for before in range(step, step + count):
            state, info = runs[number](state, own.batches(before), own.streams)
            infos.append(torch.stack(info))
        return state, torch.stack(infos)

    return _in_turn(take)


def compiled_stretches(
    family: Family, members: Sequence[Member], gemm: Gemm | None = None, cuda_graph: bool = False
) -> Advance:
    """The stretch as compiled calls of the same numbers: one for the full batches, one for a short last batch.

    All members run the same programs, in turn. The images stay where they are: a step gathers its batch at the places
    that the epoch's order gives, and draws its noise, inside the graph. Members whose values have another structure,
    such as one without a weight of the KL, have programs of their own. `advance` raises a `ValueError` if a stretch
    does not lie within an epoch or does not begin where a state stands.

    Args:
        family: the algorithm as a function of a member's values.
        members: of equal numbers of images and batch sizes.
        gemm: as in `compile_step`.
        cuda_graph: as in `compile_epoch`, of full batches; the values of all members must then lie on their device.

    Raises:
        ValueError: the members have other numbers of images or batch sizes.
    """
    check_alike([member.batches for member in members])
    forms = [tuple(tree.flat_names(member.values)) for member in members]
    examples = dict(zip(forms, members, strict=True))
    programs = {form: _program(family, member, gemm, cuda_graph) for form, member in examples.items()}
    own = [member._replace(streams=tree.clone(member.streams)) for member in members]  # split keys share memory

    def take(number: int, state: State, step: int, count: int) -> tuple[State, Tensor]:
        return programs[forms[number]](own[number], state, step, count)

    return _in_turn(take)


def _program(
    family: Family, member: Member, gemm: Gemm | None, cuda_graph: bool
) -> Callable[[Member, State, int, int], tuple[State, Tensor]]:
    """The stretch of any member that has values of this one's structure.

    A program reads the tensors that it closes over at every step: each member's values are written there in its turn.
    """
    held, batches = tree.clone(member.values), member.batches
    algorithm, size, whole = family(held), batches.size(0), batches.full
    specs = algorithm.noise_like(batches(0))

    def step(state: State, images: Pixels, order: Tensor, streams: Streams) -> tuple[State, Info]:
        first = state.step % batches.per_epoch * size
        batch = Batch(images[order[first + torch.arange(size, device=order.device)]])
        return algorithm.step(state, batch, draw_noise(streams, state.step, specs, torch.float32))

    many = compile_epoch(step, gemm=gemm, cuda_graph=cuda_graph)
    one = step_by_shape(algorithm, partial(compile_step, gemm=gemm))

    def take(member: Member, state: State, step: int, count: int) -> tuple[State, Tensor]:
        check_stretch(batches, state, step, count)
        values, data, streams = member
        tree.map(lambda old, new: old.copy_(new), held, values)
        epoch, place = divmod(step, batches.per_epoch)
        full, infos = max(0, min(count, whole - place)), []
        if full:
            state, info = many(state, full, data.images, data.order(epoch), streams)
            infos.append(torch.stack(info, -1))
        if full < count:
            states, info = one_by_one([one], [member])({0: state}, step + full, count - full)
            state = states[0]
            infos.append(info[0])
        return state, torch.cat(infos)

    return take


def check_stretch(batches: Batches, state: State, step: int, count: int) -> None:
    """See that a stretch lies within an epoch and begins where the state stands.

    Raises:
        ValueError: it does not.
    """
    if step % batches.per_epoch + count > batches.per_epoch or int(state.step) != step:
        raise ValueError(
            f"{count} steps after step {step} of a state that has done {int(state.step)}, in epochs of "
            f"{batches.per_epoch}: begin where the state stands, and end with its epoch at the latest"
        )


def widened(values: Tree) -> Tree:
    """Values as they enter a program: one without a dimension in float64 has it traced twice (torch 2.14)."""
    return tree.map(lambda value: value.unsqueeze(0), values)


def narrowed(values: Tree) -> Tree:
    """The values themselves again."""
    return tree.map(lambda value: value.squeeze(0), values)


def _in_turn(take: Callable[[int, State, int, int], tuple[State, Tensor]]) -> Advance:
    """The stretch of all members from that of one: each takes its steps before the next does."""

    def advance(states: States, step: int, count: int) -> tuple[States, Tensor]:
        taken = {number: take(number, state, step, count) for number, state in states.items()}
        ends = {number: state for number, (state, _) in taken.items()}
        return ends, torch.stack([rows for _, rows in taken.values()])

    return advance
