"""Keys, shapes, tensors and parameters are what they say, find planted bugs, and shrink."""

import hypothesis
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor

from vae_fn import tree
from vae_fn.verify import strategies
from vae_fn.verify.strategies import KINDS, contents

DTYPES = st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.float16])
MANY = settings(max_examples=300, database=None, deadline=None, derandomize=True)


def find(strategy, condition):
    """The simplest example that Hypothesis finds."""
    return hypothesis.find(strategy, condition, settings=MANY)


def is_drawn(strategy, condition) -> bool:
    """Whether Hypothesis finds any."""
    return hypothesis.find(strategy, condition, settings=settings(MANY, phases=[Phase.generate])) is not None


@given(strategies.keys(), strategies.shapes(min_dims=1, max_dims=2, min_side=2, max_side=4))
def test_keys_and_shapes(key, shape):
    assert key.shape == (2,)
    assert key.dtype == torch.uint64
    assert 1 <= len(shape) <= 2
    assert all(2 <= side <= 4 for side in shape)


@given(strategies.tensors(dtype=DTYPES))
def test_tensors_are_finite(x):
    assert bool(x.isfinite().all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16], ids=str)
def test_every_dtype_is_drawn(dtype):
    assert is_drawn(strategies.tensors(dtype=DTYPES), lambda x: x.dtype == dtype)


@given(strategies.tensors((3, 2), torch.float64, kinds=["normal"], scales=[10.0]))
def test_a_shape_and_a_kind_can_be_asked_for(x):
    assert x.shape == (3, 2)
    assert 0 < x.abs().max() < 70


def promised(kind: str, x: Tensor, scale: float) -> bool:
    limits, size = torch.finfo(x.dtype), x.abs().double()
    return bool(
        {
            "normal": (size < 7 * scale).all() and len(x.unique()) == x.numel(),
            "zeros": (x == 0).all(),
            "constant": (x == torch.tensor(scale, dtype=x.dtype)).all(),
            "spike": (x != 0).sum() == 1 and size.max() == 1000 * scale,
            "subnormal": ((size > 0) & (size < limits.smallest_normal)).all(),
            "extreme": (size == limits.max / 2).all(),
            "nonfinite": not x.isfinite().all() and x.flatten()[0].isnan(),
        }[kind]
    )


@pytest.mark.parametrize("kind", [*KINDS, "nonfinite"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@given(seed=strategies.seeds())
def test_every_kind_is_what_it_says(kind, dtype, seed):
    x = contents(seed, (4, 5), dtype, kind, 2.0)
    assert promised(kind, x, 2.0)
    assert torch.equal(x.nan_to_num(), contents(seed, (4, 5), dtype, kind, 2.0).nan_to_num())
    others = [other for other in (*KINDS, "nonfinite") if other != kind]
    assert not any(promised(other, x, 2.0) for other in others)


@pytest.mark.parametrize("kind", [*KINDS, "nonfinite"])
@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3), (1,)])
def test_every_kind_has_every_shape(kind, shape):
    assert contents(1, shape, torch.float32, kind, 1.0).shape == shape


def test_kinds_scales_and_nonfinite_numbers_are_all_drawn():
    assert is_drawn(strategies.tensors((3,)), lambda x: x.abs().max() > 1e30)
    assert is_drawn(strategies.tensors((3,)), lambda x: 0 < x.abs().max() < 1e-30)
    assert is_drawn(strategies.tensors((3,)), lambda x: bool((x == 0).all()))
    assert is_drawn(strategies.tensors((3,), kinds=[*KINDS, "nonfinite"]), lambda x: bool(x.isinf().any()))
    with pytest.raises(hypothesis.errors.NoSuchExample):
        find(strategies.tensors((3,)), lambda x: not bool(x.isfinite().all()))


def test_what_a_narrow_dtype_cannot_hold_is_its_largest_number():
    assert contents(0, (3,), torch.float16, "spike", 1e3).abs().max() == torch.finfo(torch.float16).max


def test_integers_are_refused():
    with pytest.raises(TypeError, match=r"torch\.int64 is not"):
        contents(0, (2,), torch.int64)


def test_a_bug_is_found_and_shrunk():
    """A softmax without its shift: it fails at large numbers alone."""

    def wrong(x):
        return not bool((x.exp() / x.exp().sum()).isfinite().all())

    found = find(strategies.tensors(strategies.shapes(min_dims=1, min_side=1)), wrong)
    assert found.numel() <= 2


def is_tree(node):
    return isinstance(node, Tensor) or all(map(is_tree, node.values() if isinstance(node, dict) else node))


@given(strategies.params(DTYPES))
def test_params_are_trees_of_one_dtype(params):
    leaves = tree.leaves(params)
    assert isinstance(params, dict)
    assert is_tree(params)
    assert 1 <= len(leaves) <= 20
    assert len({leaf.dtype for leaf in leaves}) == 1
    assert tree.from_names(tree.flat_names(params), params).keys() == params.keys()


def test_params_of_every_form_are_drawn_and_shrink():
    def nested(node, depth=0):
        return depth if isinstance(node, Tensor) else max(nested(n, depth + 1) for n in _children(node))

    def _children(node):
        return node.values() if isinstance(node, dict) else node

    assert is_drawn(strategies.params(), lambda params: nested(params) >= 3)
    assert is_drawn(strategies.params(), lambda params: any(leaf.numel() == 0 for leaf in tree.leaves(params)))
    assert is_drawn(strategies.params(), lambda params: any(isinstance(v, tuple) for v in params.values()))
    assert tree.size(find(strategies.params(), lambda params: True)) <= 1


def test_leaves_differ():
    params = find(strategies.params(), lambda params: len([x for x in tree.leaves(params) if x.numel() > 2]) > 1)
    first, second, *_ = [x.flatten() for x in tree.leaves(params) if x.numel() > 2]
    assert not torch.equal(first[:3], second[:3])
