"""The words that every signature uses."""

from typing import Any, TypeAlias

from jaxtyping import Float32, Shaped, UInt8
from torch import Tensor

Key: TypeAlias = Shaped[Tensor, "*keys 2"]
"""A key of the generator in `vae_fn.random`; a leading shape makes a batch of keys."""

Shape: TypeAlias = tuple[int, ...]

Tree: TypeAlias = Any
"""A pytree (nested dicts, tuples, NamedTuples) of tensors."""

Params: TypeAlias = dict[str, Any]
"""For a VAE a dict per network (`encoder`, `decoder`, ...), each flat with `functional_call`'s dotted names."""

Context: TypeAlias = Any
"""What a model is conditioned on: a pytree of tensors with the batch in front, or None."""

Pixels: TypeAlias = UInt8[Tensor, "..."] | Float32[Tensor, "..."]
"""Pixel intensities: uint8 from 0 to 255, or float32 in [0, 1]; `data.scale` makes both the same."""
