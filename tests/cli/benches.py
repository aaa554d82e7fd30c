"""What the tests of `vae-fn bench` share: a module of a user's, and the command."""

from vae_fn.cli.main import main

MINE = """
import torch

def step(state, x):
    y = torch.tanh(x @ state["w"])
    gradient = x.t() @ (y * (1 - y**2)) / len(x)
    return {"w": state["w"] - 0.1 * gradient}, (y**2).mean()

def make_args(batch=16):
    generator = torch.Generator().manual_seed(0)
    return {"w": torch.randn(8, 8, generator=generator)}, torch.randn(batch, 8, generator=generator)

def writes(state, x):
    state["w"] += 1
    return {"w": state["w"].clone()}, x

def alone(state, x):
    return state

def fails(state, x):
    raise ValueError("no\\nway")

def list_of_args():
    return [1]

number = 3

def sized(batch):
    return make_args(batch)
"""


def bench(*more, rows="eager,donated"):
    return main(["bench", "--rows", rows, *map(str, more)])
