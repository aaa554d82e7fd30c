import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae_fn.viz import lerp, slerp

T = np.linspace(0, 1, 9)
vectors = st.lists(st.floats(-10, 10, allow_subnormal=False), min_size=3, max_size=3).map(np.array)


def rotation(a, b, t):
    """From a towards b in their plane, by an orthonormal basis: the direction turns evenly, the length is linear."""
    r, s = np.linalg.norm(a), np.linalg.norm(b)
    first = a / r
    second = b / s - (b / s @ first) * first
    second /= np.linalg.norm(second)
    angle = np.arccos(np.clip(a @ b / (r * s), -1, 1))
    turned = np.outer(np.cos(t * angle), first) + np.outer(np.sin(t * angle), second)
    return ((1 - t) * r + t * s)[:, None] * turned


def is_spherical(way, a, b):
    return np.allclose(way(a, b, T), rotation(a, b, T), rtol=1e-7, atol=1e-7)


PAIRS = [np.random.default_rng(i).normal(size=(2, 3)) * [[1], [3]] for i in range(20)]


def test_it_is_the_rotation_in_the_plane_of_both():
    assert all(is_spherical(slerp, a, b) for a, b in PAIRS)


def without_norms(a, b, t):
    """Shoemake's weights on vectors that are not of unit length."""
    angle = np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    return (np.outer(np.sin((1 - t) * angle), a) + np.outer(np.sin(t * angle), b)) / np.sin(angle)


@pytest.mark.parametrize("mutant", [lerp, without_norms])
def test_other_ways_are_rejected(mutant):
    assert not any(is_spherical(mutant, a, b) for a, b in PAIRS)


@given(vectors, vectors)
def test_lengths_are_linear_and_nothing_is_nan(a, b):
    way = slerp(a, b, T)
    assert np.isfinite(way).all()
    r, s = np.linalg.norm(a), np.linalg.norm(b)
    straight = np.linalg.norm(np.cross(a, b)) <= 2e-6 * r * s
    if not straight or a @ b > 0:
        assert np.allclose(np.linalg.norm(way, axis=-1), (1 - T) * r + T * s, rtol=1e-9, atol=1e-9)


@given(vectors, vectors, st.sampled_from([np.float32, np.float64]))
def test_the_ends_are_exact(a, b, dtype):
    a, b = a.astype(dtype), b.astype(dtype)
    for way in (lerp, slerp):
        found = way(a, b, np.array([0.0, 1.0]))
        assert found.dtype == dtype
        assert np.array_equal(found, [a, b])


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ([0.0, 0.0], [0.0, 0.0]),
        ([0.0, 0.0], [1.0, 2.0]),
        ([1.0, 2.0], [0.0, 0.0]),
        ([1.0, 2.0], [1.0, 2.0]),
        ([1.0, 2.0], [3.0, 6.0]),
        ([1.0, 2.0], [-1.0, -2.0]),
        ([1.0, 0.0], [-3.0, 1e-9]),
    ],
)
def test_where_no_one_great_circle_exists_the_way_is_straight(a, b):
    a, b = np.array(a), np.array(b)
    assert np.array_equal(slerp(a, b, T), lerp(a, b, T))


@pytest.mark.parametrize("angle", [3e-6, 1e-5, 1e-3, np.pi - 1e-3, np.pi - 1e-5])
def test_small_and_large_angles_are_exact(angle):
    """In the plane the way is known by its angle."""
    way = slerp(np.array([1.0, 0.0]), np.array([np.cos(angle), np.sin(angle)]), T)
    assert np.allclose(way, np.stack([np.cos(T * angle), np.sin(T * angle)], 1), atol=1e-9)


def test_a_batch_is_its_members():
    a, b = np.random.default_rng(0).normal(size=(2, 4, 5, 3))
    for way in (lerp, slerp):
        found = way(a, b, T)
        assert found.shape == (9, 4, 5, 3)
        assert np.allclose(found[:, 1, 2], way(a[1, 2], b[1, 2], T), rtol=0, atol=1e-15)


def test_a_straight_line_has_equal_steps():
    a, b = PAIRS[0]
    assert np.allclose(np.diff(lerp(a, b, T), axis=0), (b - a) / 8)
