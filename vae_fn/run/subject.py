"""What the figures of a run are drawn from: its rows of metrics, and its test images as the model encodes them."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64, Integer
from torch import Tensor

from vae_fn import random, tree
from vae_fn.data import Split
from vae_fn.distributions import Distribution, central, has_closed_form, is_discrete, kl_by_dimension
from vae_fn.evaluation.latents import decode, encode_pixels, usage
from vae_fn.run.codes import Trained, load_trained, prepared
from vae_fn.run.config import TrainConfig
from vae_fn.run.folder import RunError
from vae_fn.run.metrics import read_metrics
from vae_fn.types import Key, Tree
from vae_fn.viz import Usage, most_active

TARGETS, DRAWS, ORDER, PRIOR = range(6, 10)
"""Children of the key `figures`, after those of `codes`: binarisation of the test images, draws of their latents, an
order of them, and draws from a prior of discrete latents."""

MOST_CLASSES = 50
"""That can be told apart by colour and marker."""


class Subject(NamedTuple):
    """A run, as its figures show it.

    Attributes:
        config: its settings.
        rows: of its `metrics.jsonl`.
        trained: its model, with the parameters and where it stood then.
        test: its test images under its protocol, on the CPU.
        means: of the posteriors of the test images; empty rows where the latents are discrete.
        draws: one from each of these posteriors; as well.
        kl: of each latent, in nats, as a mean over the test images; empty where it has no closed form.
        usage: of each layer of discrete latents; none where they are continuous.
    """

    config: TrainConfig
    rows: list[dict]
    trained: Trained
    test: Split
    means: Float[np.ndarray, "n z"]
    draws: Float[np.ndarray, "n z"]
    kl: Float[np.ndarray, " d"]
    usage: list[Usage]

    @property
    def latents(self) -> int:
        """How many numbers a code has; none where they are bits or classes."""
        return self.means.shape[1]

    @property
    def classes(self) -> Integer[np.ndarray, " n"] | None:
        """The classes of the test images, None without labels."""
        return None if self.test.labels is None else self.test.labels.numpy()

    @property
    def coloured(self) -> Integer[np.ndarray, " n"] | None:
        """The classes, None where there are too many to tell apart."""
        return None if self.classes is None or len(np.unique(self.classes)) > MOST_CLASSES else self.classes

    @property
    def plane(self) -> tuple[int, int]:
        """The two latents that are drawn against each other: of more than two the most active."""
        first, second = sorted(most_active(self.kl, 2))
        return first, second

    @property
    def shuffled(self) -> Int64[np.ndarray, " n"]:
        """An order of the test images in which no class comes last and hides the others."""
        return _array(random.permutation(random.fold_in(self.trained.key, ORDER), len(self.means)))

    def decoded(self, z: Float[np.ndarray, "*b z"]) -> Float[np.ndarray, "*b d"]:
        """The means of p(x | z)."""
        flat = torch.as_tensor(z.reshape(-1, self.latents), dtype=torch.float32, device=self.trained.key.device)
        return _array(decode(self.trained.vae, self.trained.params, flat)).reshape(*z.shape[:-1], -1)


def load_subject(run: Path, config: TrainConfig, checkpoint: str, key: int) -> Subject:
    """Load a run and encode its test images.

    Args:
        run: its folder.
        config: its settings, with the device to compute on.
        checkpoint: as in `choose_checkpoint`.
        key: seed of what is drawn.

    Raises:
        UserError: as `load_trained`, or a latent is not finite.
    """
    trained = load_trained(run, config, checkpoint, key)
    test = prepared(trained, config.data).dataset.test
    targets, draws = (random.fold_in(trained.key, i) for i in (TARGETS, DRAWS))
    q = encode_pixels(trained.vae, trained.params, test.images, trained.protocol, targets)
    noise, prior = random.draw(draws, q.noise_like()), trained.vae.prior(trained.params, None)
    codes = torch.zeros(2, len(test.images), 0) if is_discrete(q) else torch.stack([central(q), q.sample(noise)])
    kl = kl_by_dimension(q, prior).double().mean(0) if has_closed_form(q, prior) else torch.zeros(0)
    used = _usage(q, prior, noise, random.fold_in(trained.key, PRIOR)) if is_discrete(q) else []
    finite = (array.isfinite().all() for array in (codes, kl, *map(torch.from_numpy, tree.leaves(used))))
    if not all(finite):
        raise RunError(f"{trained.checkpoint} gives latents that are not finite: choose another --checkpoint")
    rows = read_metrics(run / "metrics.jsonl")
    return Subject(config, rows, trained, test, _array(codes[0]), _array(codes[1]), _array(kl), used)


def _usage(q: Distribution, prior: Distribution, noise: Tree, key: Key) -> list[Usage]:
    """How often each layer's values are taken in the posteriors at this noise, and in as many draws from the prior."""
    drawn = random.draw(key, prior.noise_like((len(tree.leaves(noise)[0]),)))
    pairs = zip(usage(q, noise), usage(prior, drawn), strict=True)
    return [Usage(_array(posterior), _array(of_prior)) for posterior, of_prior in pairs]


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()
