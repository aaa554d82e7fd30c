"""The tutorial's program, as its reader would write it: what the compiled step is timed against.

An `nn.Module` with `MultivariateNormal` and probabilities, `torch.optim.AdamW`, clipping, and for the whole loop a
`DataLoader` over torchvision's MNIST with its transforms. Kept as it is: its faults are part of what is measured.
"""

import itertools
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path

import torch
from torch import Tensor, distributions, nn
from torchvision import datasets
from torchvision.transforms import v2

from vae_fn.data.idx import read_content

BATCH = 128


class TutorialVAE(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = _perceptron([784, 512, 256, 128, 64, 4])
        self.decoder = _perceptron([2, 64, 128, 256, 512, 784])

    def forward(self, centred: Tensor) -> Tensor:
        loc, raw = self.encoder(centred).chunk(2, dim=-1)
        scale = nn.functional.softplus(raw) + 1e-8
        posterior = distributions.MultivariateNormal(loc, scale_tril=torch.diag_embed(scale))
        prior = distributions.MultivariateNormal(torch.zeros_like(loc), scale_tril=torch.eye(2).expand(len(loc), 2, 2))
        probabilities = torch.sigmoid(self.decoder(posterior.rsample()))
        cross_entropy = nn.functional.binary_cross_entropy(probabilities, centred + 0.5, reduction="none").sum(-1)
        return (cross_entropy + distributions.kl_divergence(posterior, prior)).mean()


def _perceptron(widths: list[int]) -> nn.Sequential:
    layers = [(nn.Linear(i, o), nn.SiLU()) for i, o in itertools.pairwise(widths)]
    return nn.Sequential(*list(itertools.chain(*layers))[:-1])


def stepper(batches: Iterator[Tensor]) -> Callable[[], None]:
    """One training step a call, on the next batch of centred images."""
    torch.manual_seed(0)
    model = TutorialVAE()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-2)

    def step() -> None:
        optimizer.zero_grad()
        loss = model(next(batches))
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step


def batches_in_memory(pixels: Tensor) -> Iterator[Tensor]:
    """Full batches of floats made beforehand, in a fixed order: no work is left but the step's."""
    images = (pixels.float() / 255 - 0.5).split(BATCH)[:-1]
    return itertools.cycle(images)


def batches_from_loader(folder: Path) -> Iterator[Tensor]:
    """The tutorial's data loader; `folder` receives MNIST's raw files, as torchvision wants them."""
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for source in (resources.files("vae_fn.data") / "mnist").iterdir():
        if source.name.endswith(".xz"):
            (raw / source.name.removesuffix(".xz")).write_bytes(read_content(Path(str(source))))
    transform = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Lambda(_flat_and_centred)])
    data = datasets.MNIST(str(folder), train=True, transform=transform)
    loader = torch.utils.data.DataLoader(data, batch_size=BATCH, shuffle=True, drop_last=True)
    return (images for _ in itertools.count() for images, _ in loader)


def _flat_and_centred(image: Tensor) -> Tensor:
    return image.view(-1) - 0.5
