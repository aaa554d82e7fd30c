"""What the model of a run makes of latents and images."""

from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from vae_fn import random, tree
from vae_fn.data import GREY, Binarisation, DataError, Split, binarisation
from vae_fn.data.stored import Stored, in_order, load_stored
from vae_fn.distributions import central
from vae_fn.evaluation.elbo import Evaluation, evaluate_elbo
from vae_fn.evaluation.latents import decode, encode, encode_pixels, layers_of, spread, targets
from vae_fn.models import VAE
from vae_fn.run.assemble import DATA_SEED, make_model
from vae_fn.run.checkpoints import BEST, Record, newest, read_model
from vae_fn.run.config import TrainConfig
from vae_fn.run.folder import CHECKPOINTS, RunError
from vae_fn.run.machine import check_device
from vae_fn.types import Key, Params, Shape, Tree

SAMPLE, RECONSTRUCT, ENCODE = range(3, 6)
"""Children of the key `figures`, after those of `tensorboard`."""


class Trained(NamedTuple):
    """A trained model.

    Attributes:
        vae: the model.
        params: its parameters, on the device to compute on.
        protocol: how pixels become what it is shown.
        source: of the images that it was trained on.
        shape: of one of them.
        key: the stream `figures` of a key, on that device.
        checkpoint: the file with the parameters.
        record: where the run stood then.
    """

    vae: VAE
    params: Params
    protocol: Binarisation
    source: str
    shape: Shape
    key: Key
    checkpoint: Path
    record: Record


class Samples(NamedTuple):
    """Latents from the prior, of several layers a tuple, and the means of p(x | z) at them."""

    latents: Tree
    images: Float[Tensor, "n d"]


class Reconstructions(NamedTuple):
    """Images and what becomes of them.

    Attributes:
        places: of the images in their split.
        images: what the model was shown.
        latents: their codes, `central` of their posteriors: means, or the most probable bits and classes.
        decoded: the means of p(x | z) at these latents.
        evaluation: the ELBO of what was shown, with its terms.
    """

    places: Int64[Tensor, " n"]
    images: Float[Tensor, "n d"]
    latents: Tree
    decoded: Float[Tensor, "n d"]
    evaluation: Evaluation


def choose_checkpoint(run: Path, which: str) -> Path:
    """The checkpoint that a user names.

    Args:
        run: the run's folder.
        which: `newest`, `best`, or a file in the run's folder of checkpoints, by its name or path.

    Raises:
        RunError: there is no such checkpoint of this run.
    """
    if which == "newest":
        return newest(run)
    folder = run / CHECKPOINTS
    path = folder / BEST if which == "best" else folder / which if Path(which).name == which else Path(which)
    if path.resolve().parent != folder.resolve():
        raise RunError(f"{which} is not in {folder}: give newest, best, or the name of a file there")
    if path.is_file():
        return path
    if which == "best":
        raise RunError(f"{run} has no best checkpoint, which takes a run with --held-out: use --checkpoint newest")
    raise RunError(f"{path} does not exist: the newest checkpoint is {newest(run).name}")


def load_trained(run: Path, config: TrainConfig, checkpoint: str, key: int) -> Trained:
    """The model of a run.

    Args:
        run: its folder.
        config: its settings, with the device to compute on.
        checkpoint: as in `choose_checkpoint`.
        key: seed of what is drawn.

    Raises:
        UserError: the device or the checkpoint cannot be used.
    """
    check_device(config)
    path = choose_checkpoint(run, checkpoint)
    vae, stored, record = read_model(path, lambda shape: make_model(config, shape))
    params = tree.map(lambda leaf: leaf.to(config.device), stored)
    if not all(leaf.isfinite().all() for leaf in tree.leaves(params)):
        raise RunError(f"{path} has parameters that are not finite: choose another --checkpoint")
    figures = random.streams(random.key(key, config.device)).figures
    protocol, shape = binarisation(config.binarise), tuple(record.shape)
    return Trained(vae, params, protocol, config.data, shape, figures, path, record)


def prepared(trained: Trained, source: str | None) -> Stored:
    """The images of a source, or of the run, as its protocol has them: under `fixed` binarised once, as in training.

    Raises:
        DataError: there are no such images, or they are of another shape than those that the model was trained on.
    """
    source = source or trained.source
    data = load_stored(source)
    if data.dataset.shape != trained.shape:
        raise DataError(
            f"{source}: images of shape {data.dataset.shape}, but the run was trained on images of {trained.shape}: "
            "give them that shape"
        )
    binarise_key, _ = random.split(random.key(DATA_SEED))
    return data._replace(dataset=trained.protocol.prepare(data.dataset, binarise_key))


def select(data: Stored, split: Literal["train", "test", "all"]) -> Split:
    """A part of a data set; all of it is in the order of its source."""
    return in_order(data) if split == "all" else getattr(data.dataset, split)


def sample(trained: Trained, count: int) -> Samples:
    """Draw from the prior and decode; each draw has a key of its own, so that more draws begin with the same ones."""
    prior, keys = trained.vae.prior(trained.params, None), random.split(random.fold_in(trained.key, SAMPLE), count)
    with torch.no_grad():
        z = prior.sample(random.draw(keys, prior.noise_like()))
    return Samples(z, decode(trained.vae, trained.params, z))


def reconstruct(trained: Trained, split: Split, count: int, draws: int) -> Reconstructions:
    """Encode and decode images of every class in turn.

    Args:
        trained: the model.
        split: the images to choose from, as from `prepared`.
        count: how many to choose.
        draws: noise draws per image for the ELBO.
    """
    vae, params = trained.vae, trained.params
    target_key, noise_key = random.split(random.fold_in(trained.key, RECONSTRUCT))
    places = spread(split, count)
    x = targets(split.images[places].to(trained.key.device), trained.protocol, target_key)
    z = central(encode(vae, params, x))
    evaluation = evaluate_elbo(vae, params, x, GREY, noise_key, draws=draws)._replace(protocol=trained.protocol.name)
    return Reconstructions(places, x, z, decode(vae, params, z), evaluation)


def codes(trained: Trained, split: Split) -> dict[str, Tensor]:
    """The posteriors of images, as from `prepared`: their means and the other parameters, by name, and the labels.

    A location is left out: it is the mean. Of layers there are those of each, `mean_1` of the layer nearest to the
    data, given the code of the layer before. Under `dynamic` each image is binarised once.
    """
    key = random.fold_in(trained.key, ENCODE)
    q = encode_pixels(trained.vae, trained.params, split.images, trained.protocol, key)
    with torch.no_grad():
        layers: Any = layers_of(q, central(q))
        each = {name: tuple(getattr(layer, name) for layer in layers) for name in ("mean", *layers[0]._fields)}
    fields = {
        name: array for field, arrays in each.items() if field != "loc" for name, array in numbered(field, arrays)
    }
    return fields if split.labels is None else fields | {"labels": split.labels}


def numbered(name: str, layers: Tree) -> list[tuple[str, Tensor]]:
    """What layers have of a kind under names of their own, `name_1`, `name_2`, ...; one alone under the name itself."""
    values = layers if isinstance(layers, tuple) else (layers,)
    return [(name if len(values) == 1 else f"{name}_{i + 1}", value) for i, value in enumerate(values)]
