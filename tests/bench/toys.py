"""Small steps to time, and what new processes are asked for."""

import os
import signal

import torch

from vae_fn.bench import own
from vae_fn.errors import UserError

RATE = 0.1


def descend(rate=RATE):
    """A step of gradient descent on the mean of tanh(x w)^2."""

    def step(state, x):
        y = torch.tanh(x @ state["w"])
        gradient = x.t() @ (y * (1 - y**2)) / len(x)
        return {"w": state["w"] - rate * gradient, "step": state["step"] + 1}, (y**2).mean()

    return step


def start(width=8, batch=16):
    """Its state, and its input."""
    generator = torch.Generator().manual_seed(0)
    w = torch.randn(width, width, generator=generator) / width**0.5
    return {"w": w, "step": torch.tensor(0)}, torch.randn(batch, width, generator=generator)


def subject(settings=(), width=8, batch=16):
    """The subject of the step, as a source names it."""
    return own(descend(), *start(width, batch))


def another(settings):
    """The subject of the step at other parameters each time."""
    global seed
    seed += 1
    state, x = start()
    return own(descend(), state | {"w": state["w"] * seed}, x)


seed = 0


def narrow(settings):
    """A step that takes nothing but float32, and leaves what is not finite."""

    def step(state, x):
        assert state.dtype == torch.float32
        return state / 0, x

    return own(step, torch.ones(2), torch.ones(2))


def growing(settings):
    """A step whose state grows: it is another shape every time."""
    return own(lambda state, x: (torch.cat([state, x]), state.sum()), torch.ones(2), torch.ones(1))


def breaking(settings):
    """A step with a branch on a number."""
    return own(lambda state, x: (state + x if x.sum() > 0 else state, x), torch.ones(2), torch.ones(2))


def refusing(settings):
    """A step that will not be compiled."""

    def step(state, x):
        if torch.compiler.is_compiling():
            raise RuntimeError("not under a compiler")
        return state + x, x

    return own(step, torch.ones(2), torch.ones(2))


def answer(request, say):
    say("working")
    return {"twice": 2 * request["number"], "variable": os.environ.get("A_VARIABLE")}


def mistake(request, say):
    raise UserError("choose another number")


def fault(request, say):
    raise RuntimeError("DefaultCPUAllocator: can't allocate memory")


def killed(request, say):
    os.kill(os.getpid(), signal.SIGKILL)
