"""The checks that fit a training step, from state to state."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch

from vae_fn import random, tree
from vae_fn.compiling import compile_step
from vae_fn.errors import brief, lacks_memory
from vae_fn.training import Algorithm
from vae_fn.training.step import draw_noise
from vae_fn.types import Tree
from vae_fn.verify.coordinates import as_tensors, coordinates_of
from vae_fn.verify.properties.no_recompile import no_recompile
from vae_fn.verify.properties.parity import parity
from vae_fn.verify.properties.pure import pure
from vae_fn.verify.properties.results import Comparison, judged, refused, stands
from vae_fn.verify.report import Report, gather
from vae_fn.verify.seeds import key_of, name_of
from vae_fn.verify.verdict import Verdict

Step = Callable[..., tuple[Any, Any]]
"""`step(state, *inputs) -> (state, info)`."""

STEPS = 3
"""How many steps are taken in a row."""

NOT_COVERED = (
    "other shapes than those of the example",
    "whether the step descends: its estimator and its optimizer are verified alone",
)


def step(subject: Algorithm | Step, *args: Tree, name: str | None = None) -> Report:
    """Check all that fits a training step: pure, in parity, compiled once, donated as undonated, and finite.

    Args:
        subject: an `Algorithm`, or a pure function `(state, *inputs) -> (state, info)`.
        args: a batch for an `Algorithm`, whose state and noise are then made from a key; else state and inputs.
        name: of what is checked; by default where the step is defined.
    """
    label = name_of(subject.step if isinstance(subject, Algorithm) else subject, name)
    return gather(label, of_step(subject, args, label))


def of_step(subject: Algorithm | Step, args: tuple[Tree, ...], name: str) -> Iterator[Verdict | str]:
    """What `step` finds, as it finds it."""
    fn, state, inputs = laid_out(subject, args, name)
    yield finite_steps(fn, state, inputs, name)
    yield pure(fn, state, *inputs, name=name)
    later, _ = fn(state, *inputs)
    yield no_recompile(fn, [(state, *inputs), (later, *inputs)], name=name)
    yield parity(fn, state, *inputs, in_dims=None, name=name)
    yield donated(fn, state, inputs, name)
    yield from NOT_COVERED


def laid_out(subject: Algorithm | Step, args: tuple[Tree, ...], name: str) -> tuple[Step, Tree, tuple[Tree, ...]]:
    """The step as a function of state and inputs, with both."""
    if not isinstance(subject, Algorithm):
        return subject, args[0], args[1:]
    (batch,) = args
    streams = random.streams(key_of(name, (), "step"))
    state = subject.init(streams.init, batch)
    noise = draw_noise(streams, state.step, subject.noise_like(batch), torch.float32)
    return subject.step, state, (batch, noise)


def finite_steps(fn: Step, state: Tree, inputs: tuple[Tree, ...], name: str) -> Verdict:
    """Check that what a step reports, and the state that it leaves, are finite for a few steps."""
    start = time.perf_counter()
    for number in range(1, STEPS + 1):
        state, info = fn(state, *inputs)
        found = tree.flat_names(as_tensors({"state": state, "info": info}))
        lost = next((path for path, leaf in found.items() if not bool(leaf.isfinite().all())), None)
        if lost:
            return replace(refused("finite", name, start, f"{lost} is not finite after step {number}"), coordinate=lost)
    return stands("finite", name, start, f"state and report are finite for {STEPS} steps")


def donated(
    fn: Step, state: Tree, inputs: tuple[Tree, ...], name: str, backend: str | Callable[..., Any] = "inductor"
) -> Verdict:
    """Check that a compiled step that writes into its state's buffers gives the bits of one that does not."""
    start = time.perf_counter()
    try:
        ways = [compile_step(fn, donate=donate, backend=backend) for donate in (True, False)]
        found, expected = (_run(way, state, inputs) for way in ways)
    except Exception as error:  # the compiler's, or the step's under it
        if lacks_memory(error):
            raise
        return refused("donated", name, start, f"it cannot be compiled whole: {brief(error)}")
    exact = torch.zeros(coordinates_of(expected).size, dtype=torch.float64)
    return judged("donated", name, start, [Comparison(f"after {STEPS} steps", found, expected, exact)])


def _run(step: Step, state: Tree, inputs: tuple[Tree, ...]) -> dict[str, Tree]:
    """The last state, and what every step reported."""
    current, infos = tree.clone(state), []
    for _ in range(STEPS):
        current, info = step(current, *inputs)
        infos.append(tree.map(torch.clone, as_tensors(info)))
    return {"state": as_tensors(current), "info": infos}
