"""The clinic for runs whose numbers are lost: which step, which quantity first, and how to see it again."""

import contextlib
import json
import math
from collections.abc import Sequence
from pathlib import Path

import torch

from vae_fn.errors import UserError
from vae_fn.run.assemble import Parts
from vae_fn.run.cases import Case, Inputs, case_file, save_case
from vae_fn.run.findings import describe, examine, report
from vae_fn.run.folder import RunError, write_atomic
from vae_fn.training.diagnosis import Finding, first
from vae_fn.training.nonfinite import NonFiniteStep
from vae_fn.training.step import draw_noise


class NonFiniteError(UserError):
    """Training has left the numbers."""


def admit(parts: Parts, run: Path, fault: NonFiniteStep) -> NonFiniteError:
    """Save the step, take it apart, and say in one line what was found; whatever fails, the rest is said."""
    case = _case(parts, fault)
    saved = _save(run, case)  # before the rest, which may not fit into memory
    try:
        findings = examine(case)
    except Exception as failure:
        why = " ".join(f"{type(failure).__name__} {failure}".split())
        return NonFiniteError(f"step {case.step} is not finite, and taking it apart failed ({why}); {saved}")
    with contextlib.suppress(OSError, RunError):  # a replay finds them again
        _save_findings(run, case, findings)
    return NonFiniteError(f"{_what(case, first(findings))}; {saved}")


def _case(parts: Parts, fault: NonFiniteStep) -> Case:
    state, batch = fault.state, fault.batch
    noise = draw_noise(parts.streams, state.step, parts.algorithm.noise_like(batch), torch.float32)
    inputs = Inputs(state, batch, noise, parts.learning_rate(state.optimizer.step), parts.beta(state.step))
    return Case(int(state.step) + 1, fault.found, parts.config, parts.dataset.shape, inputs)


def _what(case: Case, lost: Finding | None) -> str:
    if not case.found:
        return (
            f"step {case.step} or one shortly before it was not finite, but running them again gave finite numbers: "
            "the device errs, or a step does not give the same numbers twice"
        )
    if lost is None:
        return f"step {case.step} is not finite as it was run, but is term by term: try --no-compile"
    where = f"{lost.name} ({describe(lost)} of {math.prod(lost.shape)})"
    return (
        f"step {case.step} is not finite, first in {where}: {REMEDIES.get(lost.kind, 'try a smaller --learning-rate')}"
    )


REMEDIES = {
    **dict.fromkeys(("params", "optimizer", "estimator"), "it was so before the step: start from another --key"),
    **dict.fromkeys(("pixels", "context", "noise", "targets"), "look at the data"),
    **dict.fromkeys(
        ("gradient", "grad_norm"), "try a smaller --learning-rate, or --skip-nonfinite if it is one step of many"
    ),
}
"""What is likely to help, by the kind of quantity that is not finite first."""


def _save_findings(run: Path, case: Case, findings: Sequence[Finding]) -> None:
    path = case_file(run, case.step).with_suffix(".json")
    write_atomic(path, json.dumps(report(case, findings), indent=2, allow_nan=False) + "\n")


def _save(run: Path, case: Case) -> str:
    try:
        path = save_case(run, case)
    except (OSError, RunError) as fault:
        return f"it could not be saved ({fault})"
    return f"saved in {path}; see it term by term with `vae-fn replay {run} --step {case.step}`"
