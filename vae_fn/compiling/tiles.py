"""Products by this package's own code, `tiles.cpp`, which is compiled once for a machine."""

import hashlib
import subprocess
import sysconfig
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from importlib import import_module
from importlib.machinery import ExtensionFileLoader, ModuleSpec
from importlib.util import module_from_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import torch
from jaxtyping import Float32
from torch import Tensor

SOURCES = tuple(Path(__file__).with_name(name) for name in ("tiles.cpp", "binding.cpp"))

FLAGS = ("-O3", "-fPIC", "-shared", "-fopenmp", "-std=c++17", "-mavx512f", "-mavx512vl", "-mfma")

Code = Callable[..., None]
"""The function of `binding.cpp`."""

Sizes: TypeAlias = tuple[int, int, int, int, int, int, int]
"""Of a product: m, n and k, then of either factor the strides between rows and between columns."""

_lock = threading.Lock()


def product(
    a: Float32[Tensor, "m k"], b: Float32[Tensor, "k n"], *, out: Float32[Tensor, "m n"], sizes: Sizes | None = None
) -> Float32[Tensor, "m n"]:
    """`a b`, written into `out`, which is dense; no matrix is empty, and their strides are `fitting`.

    The sizes are those of the factors: who compiles a call knows them, and a tensor takes longer to tell.
    """
    code = _code()
    if code is None:
        return torch.mm(a, b, out=out)
    code(a, b, None, out, *(sizes or _sizes(a, b)), torch.get_num_threads())
    return out


def biased_product(
    bias: Float32[Tensor, " n"],
    a: Float32[Tensor, "m k"],
    b: Float32[Tensor, "k n"],
    *,
    out: Float32[Tensor, "m n"],
    sizes: Sizes | None = None,
) -> Float32[Tensor, "m n"]:
    """`a b + bias`, as `product`; the bias is dense too."""
    code = _code()
    if code is None:
        return torch.addmm(bias, a, b, out=out)
    code(a, b, bias, out, *(sizes or _sizes(a, b)), torch.get_num_threads())
    return out


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
    except (RuntimeError, OSError, ImportError, AttributeError) as fault:
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


def _sizes(a: Tensor, b: Tensor) -> Sizes:
    (m, k), (_, n), (a_down, a_right), (b_down, b_right) = a.shape, b.shape, a.stride(), b.stride()
    return m, n, k, a_down, a_right, b_down, b_right


def _command() -> tuple[list[str], Path]:
    """How to compile, and the library that comes of it, beside the kernels of Inductor."""
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.runtime.cache_dir_utils import cache_dir

    folders = dict.fromkeys([sysconfig.get_path("include"), sysconfig.get_path("include", "posix_prefix")])
    command = [get_cpp_compiler(), *FLAGS, *(f"-I{folder}" for folder in folders)]  # Debian's default has no Python.h
    texts = [source.read_text(encoding="utf-8") for source in SOURCES]
    name = hashlib.sha256("\0".join((*command, *texts)).encode()).hexdigest()
    return [*command, *map(str, SOURCES)], Path(cache_dir()) / "vae_fn" / f"{name}.so"


def _load(command: list[str], library: Path) -> Code:
    if not library.exists():
        library.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=library.parent) as folder:  # from which the whole library moves to its place
            fresh = Path(folder) / library.name
            done = subprocess.run([*command, "-o", str(fresh)], capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(f"{command[0]} does not compile {SOURCES[0].name}: {done.stderr.strip()[:500]}")
            fresh.replace(library)
    loader = ExtensionFileLoader("tiles", str(library))
    module: Any = module_from_spec(ModuleSpec("tiles", loader, origin=str(library)))
    loader.exec_module(module)
    guards: Any = import_module("torch._C._dynamo.guards")
    module.ask(guards._torchinductor_pyobject_tensor_data_ptr)
    return module.product
