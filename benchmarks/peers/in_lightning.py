"""The step under Lightning's trainer, without logger, checkpoints and progress bar."""

import logging
import warnings
from typing import Any

import numpy as np
import program
import torch
from in_module import VAE, loaded
from program import Program
from task import Given, Task
from torch import Tensor
from torch.utils import data
from turnstile import Turnstile


def build(sizes: Task, given: Given, options: dict[str, Any]) -> Program:
    """A trainer whose batches are gathered at once from images in memory; `compile` compiles the module's forward."""
    import lightning

    class Module(lightning.LightningModule):
        def __init__(self, network: VAE) -> None:
            super().__init__()
            if options["compile"]:
                network.compile()
            self.network = network

        def training_step(self, batch: list[Tensor]) -> Tensor:
            return self.network(*batch)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.AdamW(self.parameters(), lr=1e-3, weight_decay=1e-2, fused=True)

    class AfterEveryStep(lightning.Callback):
        def __init__(self, call: Any) -> None:
            self.call = call

        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            self.call(outputs)

    def fit(batches: Any, after: Any, epochs: int) -> None:
        trainer = lightning.Trainer(
            accelerator="cpu",
            devices=1,
            max_epochs=epochs,
            gradient_clip_val=1.0,
            callbacks=[AfterEveryStep(after)],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(Module(loaded(sizes, given)), batches)

    def replay(rows: np.ndarray, noise: np.ndarray) -> list[float]:
        losses: list[float] = []
        batches = data.TensorDataset(images[torch.from_numpy(rows)], torch.from_numpy(noise[:, 0]))
        fit(data.DataLoader(batches, batch_size=None), lambda outputs: losses.append(float(outputs["loss"])), 1)
        return losses

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    images = torch.from_numpy(given.images)
    turnstile = Turnstile(lambda: fit(_loader(images, sizes.batch), lambda _: turnstile.passed(), -1))
    return Program(turnstile.run, lambda rows, noise: turnstile.call(lambda: replay(rows, noise)))


def _loader(images: Tensor, batch: int) -> data.DataLoader:
    dataset = data.TensorDataset(images)
    batches = data.BatchSampler(data.RandomSampler(dataset), batch, drop_last=True)
    return data.DataLoader(dataset, sampler=batches, batch_size=None)


if __name__ == "__main__":
    program.serve(build)
