"""Products by this package's own code, `tiles.cpp`, which is compiled once for a machine.

Of float32, and of bfloat16 where the processor has an instruction for it: sums are formed in float32 and rounded once.
"""

import hashlib
import subprocess
import sysconfig
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from importlib import import_module
from importlib.machinery import ExtensionFileLoader, ModuleSpec
from importlib.util import module_from_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from vae_fn.compiling.leaving import Leaving
from vae_fn.compiling.processor import has_avx_512_bf16

NAMES = ("tiles.cpp", "binding.cpp", "lanes.h", "lines.h", "numbers.h", "panels.h", "result.h", "tiles.h")
SOURCES = tuple(Path(__file__).with_name(name) for name in NAMES)

FLAGS = ("-O3", "-fPIC", "-shared", "-fvisibility=hidden", "-fopenmp", "-std=c++17")
FLOAT32_FLAGS = ("-mavx512f", "-mavx512vl", "-mfma", "-mclflushopt")
BFLOAT16_FLAGS = ("-mavx512bw", "-mavx512bf16")

DEEPEST = 2048
"""Terms of a sum of bfloat16 products: one of more would be rounded in between."""

Code = Callable[..., None]
"""The function of `binding.cpp`."""

Sizes: TypeAlias = tuple[int, int, int, int, int, int, int, int]
"""Of a product: m, n and k, of either factor the strides between rows and between columns, and a number's bytes."""

STAYING: Leaving = (False, False)

_lock = threading.Lock()


def product(
    a: Float[Tensor, "m k"],
    b: Float[Tensor, "k n"],
    *,
    out: Float[Tensor, "m n"],
    sizes: Sizes | None = None,
    leaving: Leaving = STAYING,
) -> Float[Tensor, "m n"]:
    """`a b`, written into `out`, which is dense and of the same dtype; no matrix is empty, and the sizes are `fitting`.

    The sizes are those of the factors: who compiles a call knows them, and a tensor takes longer to tell.

    The lines of factors that are `leaving` are given back to memory after it, by several threads and as far as the
    cores' own caches hold them: for what nothing reads before it is written anew (`lines.h`). It changes no number.

    Raises:
        ValueError: no sizes are given, and the code does not take such factors, or `out` is not as said.
    """
    code, sizes = _code(), sizes or _sizes_taken(a, b, out)
    if code is None:
        return torch.mm(a, b, out=out)
    code(a, b, None, out, *sizes, torch.get_num_threads(), *leaving)
    return out


def biased_product(
    bias: Float[Tensor, " n"],
    a: Float[Tensor, "m k"],
    b: Float[Tensor, "k n"],
    *,
    out: Float[Tensor, "m n"],
    sizes: Sizes | None = None,
    leaving: Leaving = STAYING,
) -> Float[Tensor, "m n"]:
    """`a b + bias`, as `product`; the bias is dense and of the same dtype too."""
    code, sizes = _code(), sizes or _sizes_taken(a, b, out, bias)
    if code is None:
        return torch.addmm(bias, a, b, out=out)
    code(a, b, bias, out, *sizes, torch.get_num_threads(), *leaving)
    return out


def dtypes() -> tuple[torch.dtype, ...]:
    """Those that the code multiplies on this processor."""
    return (torch.float32, torch.bfloat16) if has_avx_512_bf16() else (torch.float32,)


def takes(a: Tensor, b: Tensor) -> bool:
    """Whether the code, where it is there, multiplies these factors."""
    return a.device.type == "cpu" and a.dtype == b.dtype and a.dtype in dtypes() and fitting(sizes_of(a, b))


def fitting(sizes: Sizes) -> bool:
    """Whether the code knows factors of `dtypes` that lie so and, in bfloat16, sums of so many terms."""
    *lengths, a_down, a_right, b_down, b_right, size = sizes
    terms, lying = lengths[-1], 1 in (a_down, a_right) and (b_right == 1 or b_down == a_right == 1)
    return lying and 0 not in lengths and (size == 4 or (terms % 2 == 0 and terms <= DEEPEST))


def sizes_of(a: Tensor, b: Tensor) -> Sizes:
    """What a call is told of its factors."""
    (m, k), (_, n), (a_down, a_right), (b_down, b_right) = a.shape, b.shape, a.stride(), b.stride()
    return m, n, k, a_down, a_right, b_down, b_right, a.element_size()


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


def _sizes_taken(a: Tensor, b: Tensor, out: Tensor, bias: Tensor | None = None) -> Sizes:
    if not a.ndim == b.ndim == 2 or a.shape[1] != b.shape[0]:
        raise ValueError(
            f"factors of shapes {tuple(a.shape)} and {tuple(b.shape)} have no product: the first must have as many "
            "columns as the second has rows"
        )
    if not takes(a, b):
        raise ValueError(f"no own code multiplies {a.dtype} of strides {a.stride()} and {b.stride()}: use torch.mm")
    _check_dense("out", out, (a.shape[0], b.shape[1]), a)
    if bias is not None:
        _check_dense("bias", bias, (b.shape[1],), a)
    return sizes_of(a, b)


def _check_dense(what: str, tensor: Tensor, shape: tuple[int, ...], like: Tensor) -> None:
    alike = tensor.dtype == like.dtype and tensor.device == like.device
    if tensor.shape != shape or not alike or not tensor.is_contiguous():
        raise ValueError(
            f"{what} is {tensor.dtype} of shape {tuple(tensor.shape)} and strides {tensor.stride()} on "
            f"{tensor.device}: make it dense, {like.dtype} of shape {shape} on {like.device}"
        )


def _command() -> tuple[list[str], Path]:
    """How to compile, and the library that comes of it, beside the kernels of Inductor."""
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.runtime.cache_dir_utils import cache_dir

    folders = dict.fromkeys([sysconfig.get_path("include"), sysconfig.get_path("include", "posix_prefix")])
    flags = [*FLAGS, *FLOAT32_FLAGS, *(BFLOAT16_FLAGS if has_avx_512_bf16() else ())]
    command = [get_cpp_compiler(), *flags, *(f"-I{folder}" for folder in folders)]  # Debian's default has no Python.h
    texts = [source.read_text(encoding="utf-8") for source in SOURCES]
    name = hashlib.sha256("\0".join((*command, *texts)).encode()).hexdigest()
    command += [str(source) for source in SOURCES if source.suffix == ".cpp"]
    return command, Path(cache_dir()) / "vae_fn" / f"{name}.so"


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
