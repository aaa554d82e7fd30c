"""Clipping against `torch.nn.utils.clip_grad_norm_`."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vae_fn import tree
from vae_fn.training.clipping import clip_by_global_norm

SHAPES = st.lists(st.lists(st.integers(1, 4), max_size=3).map(tuple), min_size=1, max_size=4)
SCALES = st.sampled_from([1e-8, 1e-3, 1.0, 1e4])
MAX_NORMS = st.floats(1e-4, 1e4)


def gradients(shapes, scale, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    leaves = [scale * torch.randn(shape, generator=generator, dtype=dtype) for shape in shapes]
    return {"encoder": dict(enumerate(leaves[:1])), "decoder": dict(enumerate(leaves[1:]))}


def torch_clipped(grads, max_norm):
    params = [torch.zeros_like(grad, requires_grad=True) for grad in tree.leaves(grads)]
    for param, grad in zip(params, tree.leaves(grads), strict=True):
        param.grad = grad.clone()
    norm = torch.nn.utils.clip_grad_norm_(params, max_norm)
    return [param.grad for param in params], norm


def check_clip(clip, grads, max_norm):
    clipped, norm = clip(grads, max_norm)
    expected, expected_norm = torch_clipped(grads, max_norm)
    torch.testing.assert_close(tree.leaves(clipped), expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(norm, expected_norm, rtol=1e-12, atol=0)


@given(SHAPES, SCALES, MAX_NORMS, st.integers(0, 2**32))
def test_clipping_is_torchs(shapes, scale, max_norm, seed):
    check_clip(clip_by_global_norm, gradients(shapes, scale, seed), max_norm)


@given(SHAPES, SCALES, MAX_NORMS, st.integers(0, 2**32))
def test_the_clipped_norm_is_bounded_and_the_direction_kept(shapes, scale, max_norm, seed):
    grads = gradients(shapes, scale, seed)
    clipped, norm = clip_by_global_norm(grads, max_norm)
    assert tree.global_norm(clipped) <= min(max_norm, norm) * (1 + 1e-14)
    unit = tree.scale(grads, 1 / norm)
    unit_clipped = tree.scale(clipped, 1 / tree.global_norm(clipped))
    torch.testing.assert_close(unit_clipped, unit, rtol=1e-13, atol=0)


def without_margin(grads, max_norm):
    norm = tree.global_norm(grads)
    return tree.scale(grads, (max_norm / norm).clamp(max=1.0)), norm


def by_largest_entry(grads, max_norm):
    norm = torch.stack([grad.abs().max() for grad in tree.leaves(grads)]).max()
    return tree.scale(grads, (max_norm / (norm + 1e-6)).clamp(max=1.0)), norm


def by_leaf(grads, max_norm):
    clipped = tree.map(lambda grad: clip_by_global_norm(grad, max_norm)[0], grads)
    return clipped, tree.global_norm(grads)


def norm_after(grads, max_norm):
    clipped, _ = clip_by_global_norm(grads, max_norm)
    return clipped, tree.global_norm(clipped)


def always_scaled(grads, max_norm):
    norm = tree.global_norm(grads)
    return tree.scale(grads, max_norm / (norm + 1e-6)), norm


@pytest.mark.parametrize("mutant", [without_margin, by_largest_entry, by_leaf, norm_after, always_scaled])
def test_wrong_clipping_is_rejected(mutant):
    def check(clip):
        for max_norm in (0.1, 100.0):
            check_clip(clip, gradients([(3, 2), (4,), ()], 1.0), max_norm)

    check(clip_by_global_norm)
    with pytest.raises(AssertionError):
        check(mutant)


def test_zero_gradients_stay_zero():
    clipped, norm = clip_by_global_norm(gradients([(3,), ()], 0.0), 1.0)
    assert norm == 0
    assert all((grad == 0).all() for grad in tree.leaves(clipped))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_stays_visible(bad):
    grads = gradients([(3,), (2,)], 1.0)
    grads["encoder"][0][1] = bad
    clipped, norm = clip_by_global_norm(grads, 1.0)
    assert not norm.isfinite()
    assert clipped["encoder"][0][1].isnan()
    torch.testing.assert_close(tree.leaves(clipped), torch_clipped(grads, 1.0)[0], equal_nan=True)


@pytest.mark.parametrize("infinity", [math.inf, torch.tensor(math.inf)], ids=["float", "tensor"])
def test_infinity_never_clips(infinity):
    for bad in (1e20, math.inf):
        grads = {"a": torch.tensor([1.0, bad]), "b": torch.tensor(2.0)}
        clipped, norm = clip_by_global_norm(grads, infinity)
        assert norm == math.inf
        torch.testing.assert_close(clipped, grads, rtol=0, atol=0)
    clipped, norm = clip_by_global_norm({"a": torch.tensor([1.0, math.nan]), "b": torch.tensor(2.0)}, infinity)
    assert all(leaf.isnan().all() for leaf in (norm, *tree.leaves(clipped)))


def test_squares_that_overflow_make_finite_gradients_zero():
    grads = {"a": torch.tensor([1e20, -2.0]), "b": torch.tensor([3.0])}
    clipped, norm = clip_by_global_norm(grads, 1e6)
    assert norm == math.inf
    torch.testing.assert_close(clipped, tree.zeros_like(grads), rtol=0, atol=0)
    wide, norm = clip_by_global_norm(tree.map(torch.Tensor.double, grads), 1e6)
    assert float(norm) == pytest.approx(1e20)
    assert float(wide["a"][0]) == pytest.approx(1e6)


def test_gradients_keep_their_dtypes_and_are_not_changed():
    grads = {
        "wide": torch.ones(2, 2, dtype=torch.float64),
        "scalar": torch.tensor(3.0),
        "low": torch.ones(3, dtype=torch.bfloat16),
    }
    before = tree.clone(grads)
    for max_norm in (1.0, torch.tensor(1.0, dtype=torch.float64), math.inf):
        clipped, _ = clip_by_global_norm(grads, max_norm)
        assert tree.map(lambda grad: grad.dtype, clipped) == tree.map(lambda grad: grad.dtype, grads)
        assert all(
            a.untyped_storage().data_ptr() != b.untyped_storage().data_ptr()
            for a, b in zip(tree.leaves(clipped), tree.leaves(grads), strict=True)
        )
    torch.testing.assert_close(grads, before, rtol=0, atol=0)


def test_clipping_under_vmap_is_a_loop():
    batched = gradients([(4, 3, 2), (4,)], 2.0)
    clipped, norm = torch.func.vmap(clip_by_global_norm, in_dims=(0, None))(batched, 1.0)
    for index in range(4):
        one, one_norm = clip_by_global_norm(tree.map(lambda grad, i=index: grad[i], batched), 1.0)
        torch.testing.assert_close(tree.map(lambda grad, i=index: grad[i], clipped), one, rtol=1e-14, atol=0)
        torch.testing.assert_close(norm[index], one_norm, rtol=1e-14, atol=0)


def test_compiled_clipping_is_eager_clipping(fresh_compiler):
    grads = gradients([(5, 3), (7,)], 1.0)
    compiled = torch.compile(clip_by_global_norm, fullgraph=True)
    for dtype, rtol in ((torch.float64, 1e-14), (torch.float32, 1e-6)):
        cast = tree.map(lambda grad, dtype=dtype: grad.to(dtype), grads)
        clipped, norm = compiled(cast, 0.5)
        expected, expected_norm = clip_by_global_norm(grads, 0.5)
        as_cast = tree.map(lambda grad: grad.to(torch.float64), clipped)
        torch.testing.assert_close(as_cast, expected, rtol=rtol, atol=0)
        torch.testing.assert_close(norm.to(torch.float64), expected_norm, rtol=rtol, atol=0)


@pytest.mark.parametrize("max_norm", [0.0, -1.0, math.nan])
def test_a_norm_that_is_not_positive_is_refused(max_norm):
    with pytest.raises(ValueError, match="give a positive number"):
        clip_by_global_norm(gradients([(2,)], 1.0), max_norm)
