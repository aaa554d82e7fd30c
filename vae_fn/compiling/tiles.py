"""Products by this package's own code, `tiles.cpp`, which is compiled once for a machine."""

import ctypes
import hashlib
import subprocess
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from jaxtyping import Float32
from torch import Tensor

SOURCE = Path(__file__).with_name("tiles.cpp")

FLAGS = ("-O3", "-fPIC", "-shared", "-fopenmp", "-std=c++17", "-mavx512f", "-mavx512vl", "-mfma")

Code = Callable[..., None]
"""The function of `tiles.cpp`."""

SIZE, FLOATS = ctypes.c_long, ctypes.c_void_p

SIGNATURE = (SIZE, SIZE, SIZE, FLOATS, SIZE, SIZE, FLOATS, SIZE, SIZE, FLOATS, FLOATS, ctypes.c_int)

_lock = threading.Lock()


def product(
    a: Float32[Tensor, "m k"], b: Float32[Tensor, "k n"], *, out: Float32[Tensor, "m n"]
) -> Float32[Tensor, "m n"]:
    """`a b`, written into `out`, which is dense; no matrix is empty, and their strides are `fitting`."""
    code = _code()
    if code is None:
        return torch.mm(a, b, out=out)
    return _call(code, a, b, None, out)


def biased_product(
    bias: Float32[Tensor, " n"], a: Float32[Tensor, "m k"], b: Float32[Tensor, "k n"], *, out: Float32[Tensor, "m n"]
) -> Float32[Tensor, "m n"]:
    """`a b + bias`, as `product`; the bias is dense too."""
    code = _code()
    if code is None:
        return torch.addmm(bias, a, b, out=out)
    return _call(code, a, b, bias.data_ptr(), out)


def fitting(a_strides: Sequence[Any], b_strides: Sequence[Any]) -> bool:
    """Whether the code knows factors with such strides between rows and columns."""
    return 1 in a_strides and (b_strides[1] == 1 or (b_strides[0] == 1 and a_strides[1] == 1))


def begin() -> Future[Code]:
    """The compiled code, compiled in the background where no earlier process has left it on the disk."""
    with _lock:
        return _begun()


def failure() -> str | None:
    """Why there is no compiled code, or None when it is there; waits for it."""
    try:
        begin().result()
    except (RuntimeError, OSError) as fault:
        return str(fault)
    return None


@cache
def _begun() -> Future[Code]:
    pool = ThreadPoolExecutor(1, thread_name_prefix="tiles")
    try:
        return pool.submit(lambda: _load(*_command()))
    finally:
        pool.shutdown(wait=False)


@cache
def _code() -> Code | None:
    """The code, or None where a graph from Inductor's cache asks for what this process could not compile."""
    return begin().result() if failure() is None else None


def _call(code: Code, a: Tensor, b: Tensor, bias: int | None, out: Tensor) -> Tensor:
    (m, k), n = a.shape, b.shape[1]
    threads = torch.get_num_threads()
    code(m, n, k, a.data_ptr(), *a.stride(), b.data_ptr(), *b.stride(), bias, out.data_ptr(), threads)
    return out


def _command() -> tuple[list[str], Path]:
    """How to compile, and the library that comes of it, beside the kernels of Inductor."""
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.runtime.cache_dir_utils import cache_dir

    command = [get_cpp_compiler(), *FLAGS, str(SOURCE)]
    name = hashlib.sha256("\0".join((*command[:-1], SOURCE.read_text(encoding="utf-8"))).encode()).hexdigest()
    return command, Path(cache_dir()) / "vae_fn" / f"{name}.so"


def _load(command: list[str], library: Path) -> Code:
    if not library.exists():
        library.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=library.parent) as folder:  # from which the whole library moves to its place
            fresh = Path(folder) / library.name
            done = subprocess.run([*command, "-o", str(fresh)], capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(f"{command[0]} does not compile {SOURCE.name}: {done.stderr.strip()[:500]}")
            fresh.replace(library)
    code: Any = ctypes.CDLL(str(library)).vae_fn_product
    code.argtypes, code.restype = SIGNATURE, None
    return code
