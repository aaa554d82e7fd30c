"""Instructions of a step, counted by valgrind: a number that load does not change, and that takes minutes."""

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch.utils.benchmark import Timer

from vae_fn.bench.fresh import Say, call
from vae_fn.bench.subject import Source
from vae_fn.errors import UserError

STEPS = 5
"""Over which the count is taken."""

SETUP = """
from vae_fn.bench.subject import Source, clone
from vae_fn.bench.variants import VARIANTS
variant = VARIANTS[{variant!r}]
subject = Source(*{source!r}).subject(variant.settings)
advance = variant.make(subject)
state = advance(clone(subject.state), 1)
"""


def instructions(source: Source, name: str, variables: Mapping[str, str]) -> tuple[float | None, str | None]:
    """Instructions of a step, or why there is no count.

    Args:
        source: of the step.
        name: of the row.
        variables: that say where its compile cache is.
    """
    if shutil.which("valgrind") is None:
        return None, "valgrind is not there"
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])  # it runs `python`
    try:
        request = {"source": source, "variant": name}
        return call("vae_fn.bench.instructions:count", request, {**variables, "PATH": path}), None
    except (UserError, RuntimeError) as fault:
        lines = [line for line in str(fault).splitlines() if line.strip()]
        return None, f"valgrind did not run it: {lines[-1][:200]}"


def count(request: Mapping[str, Any], say: Say) -> float:
    """In a new process: instructions of a step by `Timer.collect_callgrind`, after one step that compiles."""
    del say
    setup = SETUP.format(variant=request["variant"], source=tuple(request["source"]))
    timer = Timer(f"advance(state, {STEPS})", setup)
    stats = timer.collect_callgrind(number=1, repeats=None, collect_baseline=False, retain_out_file=False)
    return stats.counts() / STEPS
