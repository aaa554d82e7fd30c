"""Steps that lose their numbers at chosen moments, each in its own way."""

import math

import torch

from tests.training.problems import algorithm, images, streams
from vae_fn import gradients, tree
from vae_fn.training import Batch, adam, sgd, step_by_shape
from vae_fn.training.batches import Batches
from vae_fn.training.loop import Hooks, Training, begin, fit
from vae_fn.training.nonfinite import NonFiniteStep
from vae_fn.training.stretches import Member, one_by_one


def no_number(f, params, now):
    """The loss is NaN; the added constant has no gradient."""
    return f + torch.where(now, math.nan, 0.0)


def corner(f, params, now):
    """A square root at zero: the value is finite, the gradient by one leaf is 0 times infinity."""
    return f + 0 * torch.sqrt(0 * params["decoder"]["0.weight"].sum() + torch.where(now, 0.0, 1.0))


def steep(f, params, now):
    """Every gradient is finite and about 1e20: its square, and so the norm and Adam's second moment, are not."""
    return f * torch.where(now, 1e20, 1.0)


def pose_at(harm, *steps):
    """The ELBO's problem, harmed at these steps, counted from 1; the beta that it is given is the clock."""

    def pose(vae, x, context, beta):
        problem = gradients.elbo_problem(vae, x, context)
        now = torch.stack([torch.as_tensor(beta == step - 1) for step in steps]).any()
        return problem._replace(f=lambda params, z: harm(problem.f(params, z), params, now))

    return pose


def harmed(harm, *steps, optimizer=None):
    """An algorithm whose steps of these numbers are harmed."""
    return algorithm(pose=pose_at(harm, *steps), optimizer=optimizer or adam(1e-2), beta=lambda step: step.double())


def long(f, params, now):
    """Gradients of 1e-24 or so in most steps, and of 1e18 in this one."""
    return f * torch.where(now, 1e18, 1e-24)


def overflowing(*steps):
    """Loss and gradient are finite in these steps, but at such a learning rate they make parameters overflow."""
    pose = pose_at(long, *steps)

    def without_kl(*args):
        return pose(*args)._replace(exact=None)

    return algorithm(pose=without_kl, optimizer=sgd(RATE), beta=lambda step: step.double())


RATE = 1e22

CASES = {
    "loss": (lambda *steps: harmed(no_number, *steps), "log weights"),
    "gradient": (lambda *steps: harmed(corner, *steps), "gradient/decoder/0.weight"),
    "norm": (lambda *steps: harmed(steep, *steps), "grad_norm"),
    "parameters": (overflowing, "new params"),
}
"""How a step is lost, and where it shows first."""


def batches(count=20):
    """Five batches of four an epoch, by default."""
    return Batches(images(count), streams().order, 4)


def donating(step):
    """What compiling with donation does to states, without compiling."""

    def donated(state, *inputs):
        new, info = step(state, *inputs)
        tree.map(lambda old, value: old.copy_(value), state, tree.clone(new))
        return state, info

    return donated


def start(algorithm):
    return begin(algorithm.init(streams().init, Batch(images(4))))


def train(algorithm, *, run=None, hooks=None, log_every=4, epochs=2, **settings):
    """Train for ten steps; the error that ended it, or the state, and the rows."""
    rows = []
    try:
        (end,) = fit(
            one_by_one([run or step_by_shape(algorithm)], [Member((), batches(), streams())]),
            [Training(start(algorithm), batches(), hooks or Hooks(rows.append))],
            epochs=epochs,
            log_every=log_every,
            quiet=True,
            **settings,
        ).values()
    except NonFiniteStep as fault:
        end = fault
    return end, rows


def states(algorithm, steps):
    """The states before and after each of so many steps, by hand."""
    state, step, found = start(algorithm).state, step_by_shape(algorithm), []
    for before in range(steps):
        found.append(state)
        state, _ = step(state, batches()(before), streams())
    return [*found, state]


def check_equal(found, expected):
    """Bit for bit, where both are finite or both are not a number."""
    for (name, leaf), other in zip(tree.flat_names(found).items(), tree.leaves(expected), strict=True):
        assert torch.equal(leaf.nan_to_num(7.0), other.nan_to_num(7.0)), name
