"""Heads: how many numbers they read, where they put them, and in which dtype."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional as F

from tests.models.toys import normals
from vae_fn import tree
from vae_fn.distributions import Bernoulli, Laplace, Logistic, MultivariateNormal, Normal
from vae_fn.models import heads

SEED = st.integers(0, 2**31)
BATCH = st.lists(st.integers(0, 3), max_size=2).map(tuple)
HEADS = {
    "normal": (heads.normal, Normal, lambda d: 2 * d),
    "laplace": (heads.laplace, Laplace, lambda d: 2 * d),
    "logistic": (heads.logistic, Logistic, lambda d: 2 * d),
    "bernoulli": (heads.bernoulli, Bernoulli, lambda d: d),
    "fixed_normal": (heads.fixed_normal(0.3), Normal, lambda d: d),
    "full_normal": (heads.full_normal, MultivariateNormal, lambda d: d + d * (d + 1) // 2),
}


@pytest.mark.parametrize("name", HEADS)
@given(d=st.integers(1, 6), batch=BATCH, seed=SEED)
def test_width_and_shapes(name, d, batch, seed):
    head, family, width = HEADS[name]
    assert head.width(d) == width(d)
    distribution = head.apply(normals(seed, *batch, width(d)))
    assert type(distribution) is family
    assert distribution.mean.shape == (*batch, d)
    assert all(leaf.dtype == torch.float64 for leaf in distribution)


@pytest.mark.parametrize("head", [heads.normal, heads.laplace, heads.logistic])
@given(d=st.integers(1, 6), batch=BATCH, seed=SEED)
def test_locations_come_first(head, d, batch, seed):
    raw = normals(seed, *batch, 2 * d)
    loc, scale = head.apply(raw)
    assert torch.equal(loc, raw[..., :d])
    torch.testing.assert_close(scale, F.softplus(raw[..., d:]) + 1e-8, rtol=1e-13, atol=0)


def test_logits_pass_unchanged():
    raw = normals(0, 4, 5)
    assert torch.equal(heads.bernoulli.apply(raw).logits, raw)


def check_factor(head, d, batch, seed):
    """Row by row: the strict entries of row i follow those of row i - 1."""
    raw = normals(seed, *batch, d + d * (d + 1) // 2)
    loc, factor = head.apply(raw)
    expected = torch.zeros(*batch, d, d, dtype=torch.float64)
    below = iter(range(2 * d, raw.shape[-1]))
    for i in range(d):
        expected[..., i, i] = F.softplus(raw[..., d + i]) + 1e-8
        for j in range(i):
            expected[..., i, j] = raw[..., next(below)]
    assert torch.equal(loc, raw[..., :d])
    torch.testing.assert_close(factor, expected, rtol=1e-13, atol=0)
    assert (factor.diagonal(dim1=-2, dim2=-1) > 0).all()


@given(d=st.integers(1, 6), batch=BATCH, seed=SEED)
def test_full_normal_is_lower_triangular_by_rows(d, batch, seed):
    check_factor(heads.full_normal, d, batch, seed)


def test_full_normal_by_columns_is_rejected():
    def by_columns(raw):
        loc, factor = heads.full_normal.apply(raw)
        strict = torch.flip(factor.tril(-1), (-2, -1)).mT
        return MultivariateNormal(loc, strict + torch.diag_embed(factor.diagonal(dim1=-2, dim2=-1)))

    check_factor(heads.full_normal._replace(apply=by_columns), 2, (2,), 0)
    with pytest.raises(AssertionError):
        check_factor(heads.full_normal._replace(apply=by_columns), 3, (2,), 0)


@given(scale=st.floats(1e-6, 1e6), seed=SEED)
def test_fixed_normal(scale, seed):
    raw = normals(seed, 3, 2)
    distribution = heads.fixed_normal(scale).apply(raw)
    assert torch.equal(distribution.loc, raw)
    assert torch.equal(distribution.scale, torch.full((3, 2), scale, dtype=torch.float64))


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan")])
def test_fixed_normal_refuses(scale):
    with pytest.raises(ValueError, match="a standard deviation is positive"):
        heads.fixed_normal(scale)


@pytest.mark.parametrize("name", HEADS)
def test_sixteen_bits(name):
    head, _, width = HEADS[name]
    raw = normals(0, 4, width(3))
    assert all(leaf.dtype == torch.float32 for leaf in head.apply(raw.bfloat16()))
    with pytest.raises(TypeError, match=r"float16 .* bfloat16 or float32"):
        head.apply(raw.half())


@pytest.mark.parametrize("name", HEADS)
def test_all_is_made_where_the_numbers_lie(name):
    """On an accelerator what is made elsewhere is waited for."""
    head, _, width = HEADS[name]
    traced = make_fx(lambda raw: tuple(head.apply(raw)))(torch.empty(2, width(3), device="meta"))
    assert all(leaf.is_meta for node in traced.graph.nodes for leaf in tree.leaves(node.meta.get("val")))
