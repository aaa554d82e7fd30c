"""The step as a PyTorch user writes it today: an `nn.Module`, `torch.compile`, `torch.optim.AdamW`."""

import contextlib
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import program
import task
import torch
from program import Program
from task import Given, Task
from torch import Tensor, nn
from torch.nn import functional as F


class VAE(nn.Module):
    """The tutorial's network; `forward` gives the loss."""

    def __init__(self, sizes: Task, pixels: int = 784) -> None:
        super().__init__()
        self.encoder = perceptron([pixels, *sizes.widths, 2 * sizes.latent])
        self.decoder = perceptron([sizes.latent, *sizes.widths[::-1], pixels])

    def forward(self, pixels: Tensor, noise: Tensor | None = None) -> Tensor:
        x = pixels.float() / 255
        loc, raw = self.encoder(x - 0.5).float().chunk(2, -1)
        scale = F.softplus(raw) + 1e-8
        noise = torch.randn_like(loc) if noise is None else noise
        logits = self.decoder(loc + scale * noise).float()
        cross_entropy = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)
        kl = (0.5 * (loc**2 + scale**2 - 1) - scale.log()).sum(-1)
        return (cross_entropy + kl).mean()


def perceptron(widths: list[int]) -> nn.Sequential:
    layers = [(nn.Linear(i, o), nn.SiLU()) for i, o in itertools.pairwise(widths)]
    return nn.Sequential(*list(itertools.chain(*layers))[:-1])


def loaded(sizes: Task, given: Given) -> VAE:
    """The model at the given weights."""
    model = VAE(sizes)
    model.load_state_dict({name.replace("/", "."): torch.from_numpy(value) for name, value in given.weights.items()})
    return model


def build(sizes: Task, given: Given, options: dict[str, Any]) -> Program:
    """A step a call; `compile` is `""`, `"model"` or `"model and optimizer"`, `autocast` takes products in bfloat16."""
    images, order = torch.from_numpy(given.images), task.batches(len(given.images), sizes.batch)

    def gathered(rows: np.ndarray) -> Tensor:
        return images[torch.from_numpy(rows)]

    step = stepper(loaded(sizes, given), **options)

    def run(steps: int) -> None:
        for rows in itertools.islice(order, steps):
            step(gathered(rows))

    def replay(rows: np.ndarray, noise: np.ndarray) -> list[float]:
        again = stepper(loaded(sizes, given), **options)
        return [again(gathered(r), torch.from_numpy(n[0])).item() for r, n in zip(rows, noise, strict=True)]

    return Program(run, replay)


def stepper(model: VAE, compile: str = "model", autocast: bool = False) -> Callable[..., Tensor]:
    """One training step a call, on a batch of pixels."""
    parameters = list(model.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=1e-2, fused=compile != "model and optimizer")

    def update() -> None:
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()

    forward = torch.compile(model) if compile else model
    update = torch.compile(update) if compile == "model and optimizer" else update
    precision = torch.autocast("cpu", torch.bfloat16) if autocast else contextlib.nullcontext()

    def step(pixels: Tensor, noise: Tensor | None = None) -> Tensor:
        optimizer.zero_grad()
        with precision:
            loss = forward(pixels, noise)
        loss.backward()
        update()
        return loss

    return step


if __name__ == "__main__":
    program.serve(build)
