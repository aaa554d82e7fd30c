"""Parameters as files: safetensors, written atomically, checked against the model that reads them."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor
from torch.utils import _pytree as pytree

from vae_fn import random, tree
from vae_fn.models import VAE
from vae_fn.run.folder import RunError, write_atomic
from vae_fn.types import Params


def save_parameters(path: Path, params: Params) -> None:
    """Write parameters under their paths, as in `encoder/0.weight`."""
    named = {name: leaf.detach().cpu().contiguous() for name, leaf in tree.flat_names(params).items()}
    write_atomic(path, save(named))


def load_parameters(path: Path, vae: VAE) -> Params:
    """Read the parameters of a model.

    Raises:
        RunError: the file is missing, damaged, or holds the parameters of another model.
    """
    try:
        stored = load(path.read_bytes())
    except FileNotFoundError as error:
        raise RunError(f"{path} is missing: the run has not finished, or was not saved; train it again") from error
    except (OSError, SafetensorError) as error:
        raise RunError(f"{path} cannot be read ({error}): restore the file, or train again") from error
    expected = tree.shapes_of(vae.init, random.key(0))
    names = tree.flat_names(expected)
    for name in names.keys() | stored.keys():
        _check(path, name, names.get(name), stored.get(name))
    return pytree.tree_unflatten([stored[name] for name in names], pytree.tree_structure(expected))


def _check(path: Path, name: str, expected: Tensor | None, stored: Tensor | None) -> None:
    def describe(tensor: Tensor | None) -> str:
        return "nothing" if tensor is None else f"{tensor.dtype} {tuple(tensor.shape)}"

    if describe(expected) != describe(stored):
        raise RunError(
            f"{path} holds another model: under '{name}' it has {describe(stored)}, "
            f"config.toml says {describe(expected)}"
        )
