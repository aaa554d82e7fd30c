"""What was found in a step that was not finite: in words, as a table, for machines."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import torch
from tabulate import tabulate

from vae_fn import tree
from vae_fn.run.cases import Case, rebuild
from vae_fn.training.diagnosis import Finding, diagnose, first


def examine(case: Case, dtype: torch.dtype = torch.float32) -> tuple[Finding, ...]:
    """Take the step of a case apart as it was trained, or throughout in float64."""

    def cast(leaf: torch.Tensor) -> torch.Tensor:
        return leaf.to(dtype) if leaf.is_floating_point() else leaf

    inputs = case.inputs
    config = replace(case.config, precision="float32") if dtype == torch.float64 else case.config
    vae, algorithm = rebuild(config, case.shape, inputs.learning_rate, inputs.beta)
    return diagnose(algorithm, vae, tree.map(cast, inputs.state), inputs.batch, tree.map(cast, inputs.noise))


def describe(finding: Finding) -> str:
    """Which entries of a quantity are not finite, as in `3 NaN, 1 +inf`; or `finite`."""
    counts = {"NaN": finding.nan, "+inf": finding.inf, "-inf": finding.minus_inf}
    return ", ".join(f"{count} {kind}" for kind, count in counts.items() if count) or "finite"


def verdict(findings: Sequence[Finding], wide: Sequence[Finding]) -> str:
    """What is not finite first, and whether it is in float64, `wide`."""
    lost, lost_in_wide = first(findings), first(wide)
    if lost is None:
        return "everything is finite here"
    elsewhere = f"{lost_in_wide.name} is" if lost_in_wide else "nothing is: float32 overflows"
    return f"{lost.name} is the first that is not finite; in float64 {elsewhere}"


def report(case: Case, findings: Sequence[Finding]) -> dict[str, Any]:
    """What was found, for machines to read."""
    lost = first(findings)
    return {
        "step": case.step,
        "found": case.found,
        "first": lost.name if lost else None,
        "findings": [finding._asdict() for finding in findings],
    }


def table(findings: Sequence[Finding], wide: Sequence[Finding]) -> str:
    """The quantities in order, with `>` at the first that is not finite; kinds without it are folded into one row."""
    lost, rows = first(findings), []
    for kind, pairs in groupby(zip(findings, wide, strict=True), key=lambda pair: pair[0].kind):
        both = [list(found) for found in zip(*pairs, strict=True)]
        if lost not in both[0] and len(both[0]) > 1:
            both = [[_fold(kind, found)] for found in both]
        rows += [_row(found, in_wide, found is lost) for found, in_wide in zip(*both, strict=True)]
    heads = ("", "quantity", "shape", "in float32", "lowest", "highest", "examples", "in float64")
    return tabulate(rows, heads, disable_numparse=True)


def _row(found: Finding, in_wide: Finding, lost: bool) -> list[str]:
    low, high = ("" if bound is None else f"{bound:.4g}" for bound in (found.low, found.high))
    shape, examples = "x".join(map(str, found.shape)), ", ".join(map(str, found.examples))
    return [">" if lost else "", found.name, shape, describe(found), low, high, examples, describe(in_wide)]


def _fold(kind: str, findings: Sequence[Finding]) -> Finding:
    """All quantities of a kind as one, which has no shape and no examples."""
    nan, inf, minus_inf = (sum(getattr(found, name) for found in findings) for name in ("nan", "inf", "minus_inf"))
    lows = [found.low for found in findings if found.low is not None]
    highs = [found.high for found in findings if found.high is not None]
    low, high = min(lows, default=None), max(highs, default=None)
    return Finding(f"{kind} ({len(findings)})", (), nan, inf, minus_inf, low, high, ())
