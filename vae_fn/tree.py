"""The few pytree operations that the package needs, as pure functions."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._C._functorch import is_batchedtensor
from torch._guards import detect_fake_mode
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils import _pytree as pytree

from vae_fn.types import Tree


def map(fn: Callable[..., Any], tree: Tree, *trees: Tree) -> Tree:
    """The tree of `fn(leaf, *leaves)`; None stands for an absent part and stays None.

    Raises:
        ValueError: a part that is absent is there in another tree, or their structures differ otherwise.
    """
    return pytree.tree_map(lambda leaf, *rest: _absent(rest) if leaf is None else fn(leaf, *rest), tree, *trees)


def _absent(rest: Sequence[Any]) -> None:
    """What becomes of an absent part, which is so in all trees."""
    if any(other is not None for other in rest):
        raise ValueError("a part is absent (None) in one tree and there in another: give trees with the same parts")


def leaves(tree: Tree) -> list[Any]:
    """The leaves in flattening order (dicts in insertion order), without absent parts."""
    return [leaf for leaf in pytree.tree_leaves(tree) if leaf is not None]


def with_leaves(tree: Tree, leaves: Sequence[Any]) -> Tree:
    """The tree with other leaves, given in flattening order; absent parts stay absent."""
    given = iter(leaves)
    return map(lambda _: next(given), tree)


def add(*trees: Tree) -> Tree:
    """The leaf-wise sum of trees of one structure."""
    return map(lambda first, *rest: sum(rest, start=first), *trees)


def scale(tree: Tree, factor: float | Tensor) -> Tree:
    """Every leaf times `factor`."""
    return map(lambda leaf: leaf * factor, tree)


def zeros_like(tree: Tree) -> Tree:
    """The tree of zeros with the same shapes and dtypes."""
    return map(torch.zeros_like, tree)


def clone(tree: Tree) -> Tree:
    """A copy that shares no storage: what a caller keeps of a state that it donates."""
    return map(torch.clone, tree)


def size(tree: Tree) -> int:
    """The number of elements in all leaves: the number of parameters of a model."""
    return sum(leaf.numel() for leaf in leaves(tree))


def global_norm(tree: Tree) -> Tensor:
    """The Euclidean norm of all leaves together, shape (), in float32 at least; its derivatives at 0 are 0."""
    total = torch.stack([_squares(leaf) for leaf in leaves(tree)]).sum()
    zero = total == 0
    return torch.where(zero, total, torch.where(zero, 1, total).sqrt())


def _squares(leaf: Tensor) -> Tensor:
    """The sum of squares; row by row, as Inductor makes slow code of long sums."""
    real = torch.view_as_real(leaf) if leaf.is_complex() else leaf
    squares = real.to(torch.promote_types(real.dtype, torch.float32)).square()
    return (squares.flatten(1).sum(1) if squares.ndim > 1 else squares).sum()


def flat_names(tree: Tree) -> dict[str, Any]:
    """The leaves by path, as in `{"encoder/0.weight": ...}`: the form in which a tree is saved.

    Raises:
        ValueError: two leaves have one name, as those of `{"a/b": ..., "a": {"b": ...}}` do.
    """
    pairs, _ = pytree.tree_flatten_with_path(tree)
    named = [(_name(path), leaf) for path, leaf in pairs if leaf is not None]
    found = dict(named)
    if len(found) < len(named):
        name = next(name for name, count in Counter(name for name, _ in named).items() if count > 1)
        raise ValueError(f"two leaves of a tree are named {name!r}: rename one, as trees are saved and read by name")
    return found


def from_names(named: Mapping[str, Any], like: Tree) -> Tree:
    """The tree of the structure of `like` with the leaves that `flat_names` gave; absent parts stay absent.

    Raises:
        KeyError: a leaf's name is missing.
        ValueError: two leaves of `like` have one name.
    """
    return with_leaves(like, [named[name] for name in flat_names(like)])


def _name(path: tuple[Any, ...]) -> str:
    return "/".join(_step_name(step) for step in path)


def _step_name(step: Any) -> str:
    return str(next(getattr(step, field) for field in ("name", "key", "idx") if hasattr(step, field)))


def shapes_of(fn: Callable[..., Tree], *args: Tree) -> Tree:
    """What `fn(*args)` would return, as tensors that have shape, dtype and device but no data.

    Nothing is computed: this is how the shape of a posterior, hence of its noise, is known without running a network.
    In a trace for compiling no tensor has data, and what is not used afterwards is left out of the program.
    """
    if torch.compiler.is_compiling():
        return fn(*args)
    from torch.fx.experimental.symbolic_shapes import ShapeEnv  # slow to import, and here it is needed anyway

    # With an environment for shapes that depend on values a loop operator is followed once.
    with FakeTensorMode(allow_non_fake_inputs=True, shape_env=ShapeEnv(), static_shapes=True):
        return fn(*args)


def has_values(tensor: Tensor) -> bool:
    """Whether the numbers of a tensor can be read: not in `shapes_of`, a trace or `vmap`, nor on the meta device."""
    if torch.compiler.is_compiling() or tensor.is_meta or is_batchedtensor(tensor):
        return False
    return detect_fake_mode([tensor]) is None
