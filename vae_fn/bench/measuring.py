"""The table: for each size, every row's first calls in new processes, then all rows in one process.

The data's way: a source and names of rows -> a cold and a warm process for each -> one process with windows in turn ->
rows.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from vae_fn.bench.compiled import FirstCall, calls_in
from vae_fn.bench.fresh import call
from vae_fn.bench.instructions import instructions
from vae_fn.bench.limit import Limit
from vae_fn.bench.rows import Cold, row_of
from vae_fn.bench.steady import Steady
from vae_fn.bench.subject import Source
from vae_fn.bench.variants import REFERENCE, VARIANTS

Progress = Callable[[str], None]
"""Hears of each unit of work that is done."""


class Settings(NamedTuple):
    """How much is measured.

    Attributes:
        windows: of each row, five or more.
        steps: of a window; None for as many as take the row a quarter of a second.
        instructions: whether they are counted too, which takes minutes for each row.
    """

    windows: int = 9
    steps: int | None = None
    instructions: bool = False


DEFAULT = Settings()


def measure(
    sources: Sequence[Source],
    names: Sequence[str],
    settings: Settings = DEFAULT,
    *,
    progress: Progress = lambda what: None,
) -> Iterator[dict[str, Any]]:
    """The rows, size by size, each as soon as all of its size are measured.

    Args:
        sources: of the step, at each size.
        names: of rows.
        settings: how much is measured.
        progress: hears of `units(...)` things in all.

    Raises:
        UserError: a step cannot be compiled, or a process did not survive it.
    """
    for source in sources:
        with tempfile.TemporaryDirectory(prefix="vae_fn-bench-") as folder:
            caches = {name: Path(folder) / name if VARIANTS[name].compiled else None for name in names}
            cold = {name: _cold(source, name, cache, settings, progress) for name, cache in caches.items()}
            places = {name: None if cache is None else str(cache / "inductor") for name, cache in caches.items()}
            request = {"source": source, "caches": places} | settings._asdict()
            told = call("vae_fn.bench.steady:steady", request, {}, progress)
        found = {name: Steady(**each | {"limit": Limit(*each["limit"])}) for name, each in told.items()}
        reference = found[REFERENCE].windows_ms if REFERENCE in found else None
        for name in names:
            yield row_of(name, VARIANTS[name], source, cold[name], found[name], reference)


def units(sources: Sequence[Source], names: Sequence[str], settings: Settings) -> int:
    """How often `measure` tells its progress."""
    processes = sum(2 if VARIANTS[name].compiled else 1 for name in names)
    return len(sources) * (processes + len(names) * (1 + settings.windows))


def _cold(source: Source, name: str, cache: Path | None, settings: Settings, progress: Progress) -> Cold:
    """A row's first call, and what it is the second time if it compiles."""
    request = {"source": source, "variant": name}

    def first(said: str) -> FirstCall:
        told = call("vae_fn.bench.compiled:first_call", request, cache_variables(cache))
        progress(f"{name}: {said}")
        return FirstCall(**told)

    if cache is None:
        cold = Cold(first("first call"), None, None)
    else:
        compiled = first("compiled, cold")
        calls = calls_in(cache / "inductor")
        cold = Cold(compiled, first("compiled, warm"), calls)
    if not settings.instructions:
        return cold
    counted, why = instructions(source, name, cache_variables(cache and cache / "counted"))
    return cold._replace(instructions=counted, uncounted=why)


def cache_variables(cache: Path | None) -> dict[str, str]:
    """The variables that put compile caches below a folder."""
    if cache is None:
        return {}
    return {"TORCHINDUCTOR_CACHE_DIR": str(cache / "inductor"), "TRITON_CACHE_DIR": str(cache / "triton")}
