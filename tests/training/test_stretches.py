"""Members in turn: each takes the steps that it would take alone, and no program is made for a second one."""

import pytest
import torch
from torch._dynamo.utils import counters

from tests.training.members import beginnings, eager, family_of, members, taken, value
from vae_fn import tree
from vae_fn.compiling import compile_epoch, repeated
from vae_fn.training.stretches import compiled_stretches
from vae_fn.training.vmapped import vmapped


def check_equal(found, expected):
    """States and rows to the bit."""
    for one, other in zip(tree.leaves(found), tree.leaves(expected), strict=True):
        assert torch.equal(one, other)


def test_members_in_turn_are_the_members_alone():
    family = family_of()
    states, rows = taken(eager(family, members()), beginnings(family, members()))
    assert rows.shape == (3, 6, 5)
    for number, member in enumerate(members()):
        alone, own = taken(eager(family, [member]), {0: beginnings(family, members())[number]})
        check_equal((states[number], rows[number]), (alone[0], own[0]))
    assert not torch.equal(rows[0], rows[1])


def test_any_of_the_members_may_advance():
    family = family_of()
    every, rows = taken(eager(family, members()), beginnings(family, members()))
    states = {number: state for number, state in beginnings(family, members()).items() if number != 1}
    some, own = taken(eager(family, members()), states)
    check_equal((some, own), ({0: every[0], 2: every[2]}, rows[[0, 2]]))


@pytest.mark.usefixtures("fresh_compiler")
def test_compiled_members_share_their_programs_and_are_those_alone_to_the_bit():
    """Two programs, for full batches and for the short one; what differs between members is an input of them."""
    family, counted = family_of(), []
    for first in (1, 3):
        counters.clear()
        torch.compiler.reset()
        states, rows = taken(
            compiled_stretches(family, members(first)), beginnings(family, members(first)), cuts=(2, 1, 3)
        )
        counted.append(counters["stats"]["unique_graphs"])
    assert counted == [2, 2]
    for number, member in enumerate(members()):
        state = {0: beginnings(family, members())[number]}
        alone, own = taken(compiled_stretches(family, [member]), state, cuts=(1, 2, 2, 1))
        check_equal((states[number], rows[number]), (alone[0], own[0]))


def check_read(way):
    """What was written into a member's value counts from the next stretch on, as if it had been so at first."""
    family, (member,) = family_of(), members(1)
    advance = way(family, [member])
    taken(advance, beginnings(family, [member]), cuts=(2,))
    counters.clear()
    member.values["learning_rate"].fill_(0.3)
    found = taken(advance, beginnings(family, [member]), cuts=(2,))
    assert counters["stats"]["unique_graphs"] == 0
    faster = member._replace(values=member.values | {"learning_rate": value(0.3)})
    check_equal(found, taken(way(family, [faster]), beginnings(family, [faster]), cuts=(2,)))


@pytest.mark.parametrize("way", [eager, lambda *given: vmapped(*given, repeated)], ids=["in turn", "side by side"])
def test_a_value_that_is_written_into_its_tensor_is_read(way):
    check_read(way)


WAYS = {"in turn": compiled_stretches, "side by side": lambda *given: vmapped(*given, compile_epoch)}


@pytest.mark.usefixtures("fresh_compiler")
@pytest.mark.parametrize("way", WAYS)
def test_a_value_that_is_written_into_its_tensor_is_read_by_what_was_compiled(way):
    check_read(WAYS[way])


@pytest.mark.usefixtures("fresh_compiler")
def test_replayed_members_share_their_graph_and_are_the_compiled_ones_to_the_bit(replays):
    """They differ in learning rate and weight of the KL, which are written to where the graph reads them."""
    family = family_of()
    found = taken(compiled_stretches(family, members(2), cuda_graph=True), beginnings(family, members(2)))
    assert len(replays) == 1
    torch.compiler.reset()
    check_equal(found, taken(compiled_stretches(family, members(2)), beginnings(family, members(2))))
    assert len(replays) == 1
