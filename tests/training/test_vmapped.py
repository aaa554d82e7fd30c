"""Members side by side: the members alone to rounding, each with its own order, noise and values."""

import pytest
import torch
from torch._dynamo.utils import counters

from tests.training.members import beginnings, eager, family_of, largest_gap, members, taken, value
from tests.training.poison import no_number, pose_at
from tests.training.problems import algorithm, double, images, small_vae, streams
from vae_fn import data, philox, random, tree
from vae_fn.compiling import compile_epoch, compile_step, repeated
from vae_fn.gradients import elbo_sampled_problem, estimators
from vae_fn.training import Batch, adamw
from vae_fn.training.batches import Batches
from vae_fn.training.skipping import skip_nonfinite
from vae_fn.training.stretches import compiled_stretches
from vae_fn.training.vmapped import stacked, vmapped

FAMILIES = {
    "pathwise": {},
    "dynamic, several samples": {"pose": elbo_sampled_problem, "samples": 3, "binarisation": data.DYNAMIC},
    "a baseline that learns": {"pose": elbo_sampled_problem, "estimator": estimators.nvil()},
}


def check_equal(family, advance, cast, bound, count=3):
    found = taken(advance, beginnings(family, members(count), cast))
    expected = taken(eager(family, members(count)), beginnings(family, members(count), cast))
    assert largest_gap(found, expected) < bound


@pytest.mark.parametrize("name", FAMILIES)
def test_members_side_by_side_are_the_members_alone(name):
    family = family_of(**FAMILIES[name])
    check_equal(family, vmapped(family, members(), repeated), double, 1e-12)


@pytest.mark.parametrize("name", FAMILIES)
def test_states_begun_side_by_side_are_those_begun_alone(name, monkeypatch):
    """With this package's generator: in `vmap` torch's derives keys and refuses to draw."""
    monkeypatch.setattr(random, "_generator", philox)
    built, pixels = algorithm(**FAMILIES[name]), images(18).reshape(3, 6, -1)
    keys = torch.stack([streams(number).init for number in range(3)])
    found = torch.vmap(lambda key, pixels: built.init(key, Batch(pixels)))(keys, pixels)
    alone = [built.init(key, Batch(each)) for key, each in zip(keys, pixels, strict=True)]
    assert all(map(torch.equal, tree.leaves(found), tree.leaves(stacked(alone))))
    assert not torch.equal(*found.params["encoder"]["0.weight"][:2])


@pytest.mark.parametrize("field", ["values", "batches", "streams"])
def test_a_member_that_takes_something_of_its_neighbour_is_rejected(field):
    family, (first, second, third) = family_of(), members()
    mixed = [first, second._replace(**{field: getattr(third, field)}), third]
    with pytest.raises(AssertionError):
        check_equal(family, vmapped(family, mixed, repeated), double, 1e-12)


def test_the_rest_goes_on_where_a_member_is_left_out():
    family = family_of()
    advance = vmapped(family, members(), repeated)
    every, rows = taken(advance, beginnings(family, members()))
    states = {number: state for number, state in beginnings(family, members()).items() if number != 1}
    some, own = taken(advance, states)
    assert largest_gap((some, own), ({0: every[0], 2: every[2]}, rows[[0, 2]])) == 0


def test_a_member_that_is_not_finite_leaves_the_others_alone():
    """The middle one alone is harmed: the weight of its KL is what the clock of the harm shows."""
    vae = small_vae()

    def family(values):
        pose, weight = pose_at(no_number, 3), values["beta"]
        clock = {"beta": lambda step: torch.where(weight == 1.5, step.double(), 99.0)}
        return skip_nonfinite(algorithm(vae, pose=pose, optimizer=adamw(values["learning_rate"]), **clock))

    states, rows = taken(vmapped(family, members(), repeated), beginnings(family, members()))
    assert rows.isnan().all(-1).nonzero().tolist() == [[1, 2]]
    assert [state.optimizer.step.item() for state in states.values()] == [6, 5, 6]


def test_members_of_other_images_are_refused():
    first, second, _ = members()
    others = second._replace(batches=Batches(images(16), second.streams.order, 6))
    with pytest.raises(ValueError, match="share their images"):
        vmapped(family_of(), [first, others], repeated)


@pytest.mark.parametrize("advance", [lambda *given: vmapped(*given, repeated), compiled_stretches])
@pytest.mark.parametrize(("count", "size"), [(16, 4), (12, 6)])
def test_members_of_other_batches_are_refused(advance, count, size):
    first, second, _ = members()
    others = second._replace(batches=Batches(first.batches.images[:count], second.streams.order, size))
    with pytest.raises(ValueError, match=rf"batches of 6 of 16 and of {size} of {count} images: make all Batches"):
        advance(family_of(), [first, others])


@pytest.mark.parametrize("values", [{}, {"beta": None}])
@pytest.mark.parametrize("lacking", [0, 1])
def test_members_of_which_one_lacks_a_value_are_refused(lacking, values):
    """Stacked, the other's would be lost where the first one has none."""
    pair = members(2)
    pair[lacking] = pair[lacking]._replace(values={"learning_rate": value(1e-2), **values})
    words = ["has beta, learning_rate and member 0 learning_rate", "has learning_rate and member 0 beta, learning_rate"]
    with pytest.raises(ValueError, match=f"member 1 {words[lacking]}: give all the same"):
        vmapped(family_of(), pair, repeated)


def test_values_in_another_order_are_of_one_structure():
    pair = members(2)
    pair[1] = pair[1]._replace(values=dict(reversed(pair[1].values.items())))
    check_equal(family_of(), vmapped(family_of(), pair, repeated), double, 1e-12, count=2)


def test_stretches_end_with_the_epoch():
    family = family_of()
    with pytest.raises(ValueError, match="end with its epoch at the latest"):
        taken(vmapped(family, members(), repeated), beginnings(family, members()), cuts=(4,))


EDGES = {
    "step": lambda step: repeated(compile_step(step)),
    "epoch": compile_epoch,
}


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.usefixtures("fresh_compiler")
def test_compiled_members_are_the_members_alone_to_rounding_in_two_programs(edge):
    """In float32, after six steps: 1e-4 of the largest number of a leaf."""
    family = family_of()
    counters.clear()
    check_equal(family, vmapped(family, members(), EDGES[edge]), lambda state: state, 1e-4)
    assert counters["stats"]["unique_graphs"] == 2


@pytest.mark.usefixtures("fresh_compiler")
def test_replayed_members_are_the_compiled_ones_to_the_bit(replays):
    family = family_of()
    advances = (vmapped(family, members(2), compile_epoch, cuda_graph) for cuda_graph in (True, False))
    found, expected = (taken(advance, beginnings(family, members(2)), cuts=(2,)) for advance in advances)
    assert len(replays) == 1
    assert all(map(torch.equal, tree.leaves(found), tree.leaves(expected)))


def test_full_batches_alone_are_replayed():
    """The graph of a short last one would hold all images once more."""
    family, edges = family_of(), []

    def edge(joint, **options):
        edges.append(options)
        return repeated(joint)

    taken(vmapped(family, members(2), edge, cuda_graph=True), beginnings(family, members(2)))
    assert edges == [{"cuda_graph": True}, {}]
