"""Compiling at the edge: the one place where something is compiled, on request."""

from vae_fn.compiling.pure import compile_pure as compile_pure
from vae_fn.compiling.step import compile_step as compile_step
