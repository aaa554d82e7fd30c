"""The tutorial's program: its whole loop with its data loader, or its step on data in memory."""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import program
import torch
from program import Program
from task import Given, Task
from torch import Tensor

sys.path.append(str(Path(__file__).parent.parent))
import tutorial_program

TutorialVAE = tutorial_program.TutorialVAE
DRAW = "torch.distributions.multivariate_normal._standard_normal"


def build(sizes: Task, given: Given, options: dict[str, Any]) -> Program:
    """A step a call, on batches of the `loader` or in memory; the network's sizes are the tutorial's."""
    if sizes[:5] != Task()[:5]:
        raise ValueError("the tutorial's program has its own sizes alone")
    weights = {name.replace("/", "."): torch.from_numpy(value) for name, value in given.weights.items()}
    images, losses = torch.from_numpy(given.images), []

    class Loaded(TutorialVAE):
        def __init__(self) -> None:
            super().__init__()
            self.load_state_dict(weights)

        def forward(self, centred: Tensor) -> Tensor:
            losses[:] = [super().forward(centred)]
            return losses[0]

    def replay(rows: np.ndarray, noise: np.ndarray) -> list[float]:
        step = tutorial_program.stepper(images[torch.from_numpy(r)].float() / 255 - 0.5 for r in rows)
        found = []
        for drawn in noise:
            with mock.patch(DRAW, return_value=torch.from_numpy(drawn[0])):
                step()
            found.append(losses[0].item())
        return found

    tutorial_program.TutorialVAE = Loaded
    step = tutorial_program.stepper(_batches(images, options["loader"]))

    def run(steps: int) -> None:
        for _ in range(steps):
            step()

    return Program(run, replay)


def _batches(images: Tensor, loader: bool) -> Iterator[Tensor]:
    if not loader:
        return tutorial_program.batches_in_memory(images)
    folder = tempfile.TemporaryDirectory()
    found = tutorial_program.batches_from_loader(Path(folder.name))
    folder.cleanup()  # torchvision has read the files
    return found


if __name__ == "__main__":
    program.serve(build)
