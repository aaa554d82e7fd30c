"""Three trainings of one family that differ in key, learning rate and weight of the KL."""

import torch

from tests.gaps import largest
from tests.training.problems import algorithm, images, small_vae, streams
from vae_fn import tree
from vae_fn.optimization.schedules import constant
from vae_fn.training import Batch, adamw, step_by_shape
from vae_fn.training.batches import Batches
from vae_fn.training.stretches import Member, one_by_one

IMAGES = images(16)

CUTS = (2, 1, 3)
"""Two epochs of two full batches and a short one, cut within an epoch."""


def family_of(**settings):
    vae = small_vae()

    def family(values):
        rate, beta = adamw(values["learning_rate"]), constant(values["beta"])
        return algorithm(vae, optimizer=rate, beta=beta, clip_norm=1.0, **settings)

    return family


def value(number):
    return torch.tensor(number, dtype=torch.float64)


def members(count=3):
    return [
        Member(
            {"learning_rate": value(1e-2 * (number + 1)), "beta": value(0.5 + number)},
            Batches(IMAGES, streams(number).order, 6),
            streams(number),
        )
        for number in range(count)
    ]


def beginnings(family, members, cast=lambda state: state):
    """The first states of members."""
    states = [family(each.values).init(each.streams.init, Batch(IMAGES[:6])) for each in members]
    return dict(enumerate(map(cast, states)))


def eager(family, members):
    return one_by_one([step_by_shape(family(each.values)) for each in members], members)


def taken(advance, states, cuts=CUTS):
    """The states after the stretches, and the rows of all steps."""
    step, rows = 0, []
    for count in cuts:
        states, infos = advance(states, step, count)
        step, rows = step + count, [*rows, infos]
    return {number: tree.clone(state) for number, state in states.items()}, torch.cat(rows, 1)


def largest_gap(found, expected):
    """Of two trees, leaf by leaf, relative to the largest number of a leaf."""
    pairs = zip(tree.leaves(found), tree.leaves(expected), strict=True)
    return largest((a - b).abs().max() / b.abs().max().clamp(min=1e-30) for a, b in pairs)
