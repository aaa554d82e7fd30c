"""All that can be seen of a call: its result, and what it does beside."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from vae_fn import tree
from vae_fn.types import Tree
from vae_fn.verify.coordinates import as_tensors
from vae_fn.verify.properties.generators import watched_generators


def effects(fn: Callable[..., Any], args: tuple[Tree, ...]) -> tuple[Any, list[Tensor]]:
    """The result of a call on copies of the arguments, and every number that tells two functions apart.

    Those are the result, the arguments after the call, which leaves of the result lie in an argument's memory, and
    which global generators were used; those are put back.
    """
    own = tree.map(lambda leaf: leaf.clone() if isinstance(leaf, Tensor) else leaf, args)
    with watched_generators() as used:
        result = fn(*own)
    after = [leaf.clone() for leaf in tree.leaves(own) if isinstance(leaf, Tensor)]
    leaves = tree.leaves(as_tensors(result))
    places = {leaf.untyped_storage().data_ptr() for leaf in tree.leaves(own) if isinstance(leaf, Tensor)}
    shared = [leaf.numel() > 0 and leaf.untyped_storage().data_ptr() in places for leaf in leaves]
    flags = torch.tensor([*shared, len(used) > 0])
    return tree.map(torch.clone, as_tensors(result)), [*(leaf.clone() for leaf in leaves), *after, flags]
