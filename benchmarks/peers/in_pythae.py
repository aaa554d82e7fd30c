"""The step under Pythae's trainer, with its own data set and its VAE on the tutorial's networks."""

import tempfile
from typing import Any

import numpy as np
import program
import torch
from in_module import loaded
from program import Program
from task import Given, Task
from torch import Tensor, nn
from torch.nn import functional as F
from turnstile import Turnstile


def build(sizes: Task, given: Given, options: dict[str, Any]) -> Program:
    """Its trainer as it is, but for the clipping that it lacks."""
    from pythae.data.datasets import BaseDataset, DatasetOutput
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig
    from pythae.trainers.training_callbacks import TrainingCallback

    class Encoder(BaseEncoder):
        def __init__(self, network: nn.Module) -> None:
            super().__init__()
            self.network = network

        def forward(self, x: Tensor) -> ModelOutput:
            loc, raw = self.network(x - 0.5).chunk(2, -1)
            return ModelOutput(embedding=loc, log_covariance=2 * (F.softplus(raw) + 1e-8).log())

    class Decoder(BaseDecoder):
        def __init__(self, network: nn.Module) -> None:
            super().__init__()
            self.network = network

        def forward(self, z: Tensor) -> ModelOutput:
            return ModelOutput(reconstruction=self.network(z).sigmoid())

    class Model(VAE):
        noise: Tensor | None = None

        def _sample_gauss(self, mu: Tensor, std: Tensor) -> tuple[Tensor, Tensor]:
            return super()._sample_gauss(mu, std) if self.noise is None else (mu + self.noise * std, self.noise)

    class Trainer(BaseTrainer):
        def _optimizers_step(self, model_output: Any = None) -> None:
            self.optimizer.zero_grad()
            model_output.loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
            self.optimizer.step()

    class AfterEveryStep(TrainingCallback):
        def on_train_step_end(self, training_config: Any, **kwargs: Any) -> None:
            turnstile.passed()

    def trainer(folder: str) -> Trainer:
        images = torch.from_numpy(given.images).float() / 255
        network = loaded(sizes, given)
        config = VAEConfig(input_dim=images.shape[1:], latent_dim=sizes.latent, reconstruction_loss="bce")
        settings = BaseTrainerConfig(
            output_dir=folder,
            num_epochs=1_000_000,
            per_device_train_batch_size=sizes.batch,
            learning_rate=1e-3,
            optimizer_cls="AdamW",
            optimizer_params={"weight_decay": 1e-2},
            no_cuda=True,
        )
        dataset = BaseDataset(images, torch.zeros(len(images)))
        model = Model(config, Encoder(network.encoder), Decoder(network.decoder))
        return Trainer(model, dataset, training_config=settings, callbacks=[AfterEveryStep()])

    def train() -> None:
        with tempfile.TemporaryDirectory() as folder:
            trainer(folder).train()

    def replay(rows: np.ndarray, noise: np.ndarray) -> list[float]:
        with tempfile.TemporaryDirectory() as folder:
            replayed, losses = trainer(folder), []
            replayed.prepare_training()
            for chosen, drawn in zip(rows, noise, strict=True):
                replayed.model.noise = torch.from_numpy(drawn[0])
                output = replayed.model(DatasetOutput(data=replayed.train_dataset.data[torch.from_numpy(chosen)]))
                replayed._optimizers_step(output)
                losses.append(output.loss.item())
        return losses

    turnstile = Turnstile(train)
    return Program(turnstile.run, lambda rows, noise: turnstile.call(lambda: replay(rows, noise)))


if __name__ == "__main__":
    program.serve(build)
