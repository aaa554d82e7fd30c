"""Compiling at the edge: the one place where something is compiled, on request."""

from vae_fn.compiling.epoch import compile_epoch as compile_epoch
from vae_fn.compiling.epoch import repeated as repeated
from vae_fn.compiling.factorised import Traced as Traced
from vae_fn.compiling.factorised import compile_factorised as compile_factorised
from vae_fn.compiling.factorised import trace_factorised as trace_factorised
from vae_fn.compiling.gemm import Gemm as Gemm
from vae_fn.compiling.gemm import default_gemm as default_gemm
from vae_fn.compiling.gemm import has_tiles as has_tiles
from vae_fn.compiling.gemm import used_gemm as used_gemm
from vae_fn.compiling.processor import has_avx_512 as has_avx_512
from vae_fn.compiling.pure import compile_pure as compile_pure
from vae_fn.compiling.replaying import CaptureError as CaptureError
from vae_fn.compiling.running import traced_by_running as traced_by_running
from vae_fn.compiling.step import compile_step as compile_step
