"""The clinic for runs whose numbers are lost: which step, which quantity first, and how to see it again."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import torch

from vae_fn.errors import UserError
from vae_fn.run.assemble import Parts
from vae_fn.run.cases import Case, Inputs, save_case
from vae_fn.run.findings import describe, report
from vae_fn.run.folder import RunError, write_atomic
from vae_fn.training.diagnosis import Finding, diagnose, first
from vae_fn.training.nonfinite import NonFiniteStep
from vae_fn.training.step import draw_noise


class NonFiniteError(UserError):
    """Training has left the numbers."""


def admit(parts: Parts, run: Path, fault: NonFiniteStep) -> NonFiniteError:
    """Take the step apart, save it with what was found, and say so in one line."""
    case = _case(parts, fault)
    findings = diagnose(parts.algorithm, parts.vae, case.inputs.state, case.inputs.batch, case.inputs.noise)
    return NonFiniteError(f"{_what(case, first(findings))}; {_save(run, case, findings)}")


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


def _save(run: Path, case: Case, findings: Sequence[Finding]) -> str:
    try:
        path = save_case(run, case)
        write_atomic(path.with_suffix(".json"), json.dumps(report(case, findings), indent=2, allow_nan=False) + "\n")
    except (OSError, RunError) as fault:
        return f"it could not be saved ({fault})"
    return f"saved in {path}; see it term by term with `vae-fn replay {run} --step {case.step}`"
