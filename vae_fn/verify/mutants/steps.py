"""Wrong training steps: what is seen of a few steps in a row."""

import torch
from torch import Tensor

from vae_fn.verify.batteries.steps import Step, donated, finite_steps
from vae_fn.verify.mutants.mutant import Mutant
from vae_fn.verify.verdict import Verdict

STATE = {"weight": torch.tensor([2.0, -1.0]), "velocity": torch.zeros(2)}
X = torch.tensor([0.5, 1.5])

State = dict[str, Tensor]


def _heavy_ball(rate: float) -> Step:
    """Momentum on the loss (weight @ x)**2, which diverges at large rates."""

    def step(state: State, x: Tensor) -> tuple[State, Tensor]:
        slope = 2 * (state["weight"] @ x) * x
        velocity = 0.5 * state["velocity"] + slope
        return {"weight": state["weight"] - rate * velocity, "velocity": velocity}, (state["weight"] @ x).square()

    return step


def _with_its_own_count() -> Step:
    """A rate that falls with a count outside the state."""
    count = torch.zeros(())

    def step(state: State, x: Tensor) -> tuple[State, Tensor]:
        new, loss = _heavy_ball(0.1)(state, x)
        return {**new, "weight": new["weight"] / count.add_(1)}, loss

    return step


def _donated(step: Step) -> Verdict:
    return donated(step, STATE, (X,), "mutant", backend="eager")


def _finite(step: Step) -> Verdict:
    return finite_steps(step, STATE, (X,), "mutant")


def _log_loss(state: State, x: Tensor) -> tuple[State, Tensor]:
    new, _ = _heavy_ball(0.1)(state, x)
    return new, (state["weight"] @ x).log()


MUTANTS = (
    Mutant(
        "a count kept outside the state",
        "step",
        "",
        lambda: _donated(_with_its_own_count()),
        lambda: _donated(_heavy_ball(0.1)),
    ),
    Mutant("a rate that overflows", "step", "", lambda: _finite(_heavy_ball(1e20)), lambda: _finite(_heavy_ball(0.1))),
    Mutant("a loss without a value", "step", "", lambda: _finite(_log_loss), lambda: _finite(_heavy_ball(0.1))),
)
