"""Normal noise on every parameter, and a key of its own for everything that is drawn."""

import pytest
import torch

from vae_fn import random, tree, verify
from vae_fn.gradients.published import LinearVAE, Rainforth
from vae_fn.gradients.published.perturbation import perturb


def around(scale: float):
    """Two parameters of n numbers each, perturbed, with their squares and their product."""

    def draw(key, n):
        params = {"part": {"a": torch.full((n,), 3.0), "b": torch.zeros(n)}}
        a, b = (leaf / scale for leaf in tree.leaves(tree.add(perturb(params, scale, key), tree.scale(params, -1.0))))
        return torch.stack([a, b, a**2, b**2, a * b], -1)

    return draw


def test_noise_is_normal_and_independent():
    expected = torch.tensor([0.0, 0.0, 1.0, 1.0, 0.0])
    verify.mean(around(0.25), expected, name="perturbation").check()
    assert not verify.mean(around(0.25), expected + torch.tensor([0, 0, 0, 0, 1.0]), name="one noise for all").passed


@pytest.mark.parametrize("options", [Rainforth(2, 3), LinearVAE(1, dim=3, count=9, at="initial")])
def test_a_key_is_drawn_from_once_or_derived_from(options, monkeypatch):
    drawn, parents = [], []

    def noting(fn, seen):
        return lambda key, *args: (seen.append(tuple(key.tolist())), fn(key, *args))[1]

    for name, seen in (("normal", drawn), ("uniform", drawn), ("split", parents), ("fold_in", parents)):
        monkeypatch.setattr(random, name, noting(getattr(random, name), seen))
    options.make()
    assert len(drawn) >= 6
    assert len(set(drawn)) == len(drawn)
    assert not set(drawn) & set(parents)
