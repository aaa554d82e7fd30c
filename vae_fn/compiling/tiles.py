"""Products by this package's own code, `tiles.cpp`, which is compiled once for a machine."""

import ctypes
import hashlib
import os
import subprocess
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

SOURCE = Path(__file__).with_name("tiles.cpp")

FLAGS = ("-O3", "-fPIC", "-shared", "-fopenmp")

SIZE, FLOATS = ctypes.c_long, ctypes.c_void_p

SIGNATURE = (SIZE, SIZE, SIZE, FLOATS, SIZE, SIZE, FLOATS, SIZE, SIZE, FLOATS, FLOATS, ctypes.c_int)


def product(a: Tensor, b: Tensor, *, out: Tensor) -> Tensor:
    """`a b`, of float32 matrices `(m, k)` and `(k, n)` whose strides are `fitting`."""
    return _call(a, b, None, out)


def biased_product(bias: Tensor, a: Tensor, b: Tensor, *, out: Tensor) -> Tensor:
    """`a b + bias`, the bias being `(n,)` and dense."""
    return _call(a, b, bias.data_ptr(), out)


def fitting(a_strides: tuple[int, ...], b_strides: tuple[int, ...]) -> bool:
    """Whether the code knows factors with such strides between rows and columns."""
    return 1 in a_strides and (b_strides[1] == 1 or (b_strides[0] == 1 and a_strides[1] == 1))


@cache
def begin() -> Future[Callable[..., None]]:
    """The compiled code, compiled in the background where no earlier process has left it on the disk.

    Its result raises a `RuntimeError` or an `OSError` where it cannot be compiled or loaded.
    """
    pool = ThreadPoolExecutor(1, thread_name_prefix="tiles")
    try:
        return pool.submit(_load, *_command())
    finally:
        pool.shutdown(wait=False)


def _call(a: Tensor, b: Tensor, bias: int | None, out: Tensor) -> Tensor:
    (m, k), n = a.shape, b.shape[1]
    threads = torch.get_num_threads()
    _code()(m, n, k, a.data_ptr(), *a.stride(), b.data_ptr(), *b.stride(), bias, out.data_ptr(), threads)
    return out


@cache
def _code() -> Callable[..., None]:
    return begin().result()  # once: a lock less at every call


def _command() -> tuple[list[str], Path]:
    """How to compile, and the library that comes of it, beside the kernels of Inductor."""
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.runtime.cache_dir_utils import cache_dir

    command = [get_cpp_compiler(), *FLAGS, str(SOURCE)]
    name = hashlib.sha256("\0".join((*command[:-1], SOURCE.read_text(encoding="utf-8"))).encode()).hexdigest()
    return command, Path(cache_dir()) / "vae_fn" / f"{name}.so"


def _load(command: list[str], library: Path) -> Callable[..., None]:
    if not library.exists():
        library.parent.mkdir(parents=True, exist_ok=True)
        fresh = library.with_suffix(f".{os.getpid()}.so")
        done = subprocess.run([*command, "-o", str(fresh)], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{command[0]} does not compile {SOURCE.name}: {done.stderr.strip()[:500]}")
        fresh.replace(library)
    code: Any = ctypes.CDLL(str(library)).vae_fn_product
    code.argtypes, code.restype = SIGNATURE, None
    return code
