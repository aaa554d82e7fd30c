"""Ways from one latent to another."""

import numpy as np
from jaxtyping import Float


def lerp(
    a: Float[np.ndarray, "*b d"], b: Float[np.ndarray, "*b d"], t: Float[np.ndarray, " k"]
) -> Float[np.ndarray, "k *b d"]:
    """The straight line (1 - t) a + t b at each of the k numbers t; exactly a at 0 and b at 1."""
    t = t.reshape(-1, *[1] * a.ndim)
    return ((1 - t) * a + t * b).astype(a.dtype)


def slerp(
    a: Float[np.ndarray, "*b d"], b: Float[np.ndarray, "*b d"], t: Float[np.ndarray, " k"]
) -> Float[np.ndarray, "k *b d"]:
    """The way from a to b whose direction follows the great circle (Shoemake 1985) and whose length changes linearly.

    A standard normal in many dimensions lies near a sphere, which a straight line leaves and this way does not. Exactly
    a at 0 and b at 1. Where there is no one great circle, because a vector is zero or the directions are opposite (to
    one part in a million), it is `lerp`; so it is for equal directions, where the two agree.
    """
    start, end = a.astype(np.float64), b.astype(np.float64)
    r, s = (np.linalg.norm(v, axis=-1, keepdims=True) for v in (start, end))
    u, v = (x / np.where(norm == 0, 1, norm) for x, norm in ((start, r), (end, s)))
    angle = 2 * np.arctan2(np.linalg.norm(u - v, axis=-1), np.linalg.norm(u + v, axis=-1))[..., None]
    sine = np.sin(angle)
    bent = (sine > 1e-6) & (r > 0) & (s > 0)
    t = t.astype(np.float64).reshape(-1, *[1] * a.ndim)
    length = (1 - t) * r + t * s
    safe_r, safe_s, safe_sine = (np.where(bent, x, 1) for x in (r, s, sine))
    from_start = np.sin((1 - t) * angle) / safe_sine * (length / safe_r)
    from_end = np.sin(t * angle) / safe_sine * (length / safe_s)
    return np.where(bent, from_start * start + from_end * end, lerp(start, end, t.ravel())).astype(a.dtype)
