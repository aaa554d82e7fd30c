"""What was measured, in words and tables."""

import csv
import io
import math
from collections.abc import Iterable, Mapping
from typing import Any

from tabulate import DataRow, TableFormat, tabulate

from vae_fn.viz.gradient_rows import BEYOND, Rows, biased, with_noise, work

NARROW = TableFormat(None, None, None, None, DataRow("", " ", ""), DataRow("", " ", ""), 0, None)
"""Columns with one space between them."""

HEAD = {
    "estimator": "estimator",
    "samples": "K",
    "target": "target",
    "bias": "bias",
    "relative": "relative",
    "variance": "variance",
    "exact": "exact",
    "split": "split",
    "snr": "SNR",
    "cosine": "cosine",
    "evaluations": "f+df",
    "milliseconds": "ms",
    "by_time": "x ms",
    "by_evaluations": "x f",
}
"""The columns of the tables; one that is empty in all rows is left out."""

TARGETS = {"the ELBO": "ELBO", "the K-sample bound": "bound"}
"""What a bias is held against, as it stands in a table where several are."""

NOTES = f"""bias: the length of mean - exact, less what noise alone gives (+-), * where it is over {BEYOND} times that;
target: whether exact is the ELBO's or the K-sample bound's. variance: of a mini-batch's gradient, summed over
coordinates; exact: of its noise, by integration; split: into per cent of noise/batch. f+df: evaluations of f and of its
derivative. x ms: the noise's variance times the time, 1 for the best: one of 2 takes twice the time to as little noise,
and - has none; x f: times evaluations instead."""


def groups(rows: Rows) -> dict[str, list[Mapping[str, Any]]]:
    """The rows of each group of parameters, those of least variance x milliseconds first."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["group"], []).append(row)
    return {group: sorted(own, key=work) for group, own in found.items()}


def table(rows: Rows) -> str:
    """A table for each group, at most 120 columns wide up to K = 1000, and 127 where there are several targets."""
    return "\n\n".join([*(f"{group}\n{_narrow(own)}" for group, own in groups(rows).items()), NOTES])


def _narrow(own: Rows) -> str:
    head, cells = _filled(HEAD.values(), _cells(own))
    rule = ["-" * max(map(len, column)) for column in zip(head, *cells, strict=True)]
    return tabulate([head, rule, *cells], tablefmt=NARROW, disable_numparse=True, colalign=_align(head))


def latex(rows: Rows) -> str:
    """The same as one LaTeX table with booktabs' rules, of all steps."""
    cells = [
        [group, "" if row["step"] is None else str(row["step"]), *cells]
        for group, own in groups(rows).items()
        for row, cells in zip(own, _cells(own), strict=True)
    ]
    head, cells = _filled(["group", "step", *HEAD.values()], cells)
    return tabulate(cells, head, tablefmt="latex_booktabs", disable_numparse=True, colalign=_align(head)) + "\n"


def csv_text(rows: Rows) -> str:
    """Every number of every row; what cannot be had is empty."""
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def oracle_lines(oracles: Iterable[Mapping[str, Any]]) -> list[str]:
    """Every exact value and gradient, and once for every target why there is none."""
    lines = []
    for oracle in oracles:
        at = f", K = {oracle['samples']}" if oracle["target"] == "the K-sample bound" else ""
        if oracle["method"] is None:
            lines.append(f"{oracle['target']}: no exact gradient ({oracle['reason']})")
        else:
            lines.append(
                f"{oracle['target']}{at}: {oracle['value']:.6g} nats, gradient of length "
                f"{oracle['gradient_norm']:.4g} (each entry to {oracle['error_bound']:.0e}), by {oracle['method']}"
            )
    return list(dict.fromkeys(lines))


def false_claims(rows: Rows, follows: Iterable[str] = ()) -> list[str]:
    """A line for each estimator whose bias contradicts what it claims; q's group may follow something else."""
    found = {}
    for row in rows:
        other = row["estimator"] in follows and row["group"].partition("/")[0] in ("encoder", "q")
        claims = not row["unbiased_for"].startswith("nothing") and not other
        if claims and biased(row):
            found.setdefault(row["estimator"], row)
    return [
        f"{name} says that it is unbiased for {row['unbiased_for']}, and in {row['group']} its bias at K = "
        f"{row['samples']} is {row['bias'] / row['bias_se']:.0f} times what noise gives: see `vae-fn verify`"
        for name, row in found.items()
    ]


def not_finite(rows: Rows) -> list[str]:
    """A line for each estimator whose gradients were not all numbers."""
    found: dict[str, dict[str, None]] = {}
    for row in rows:
        if row["variance"] is None:
            found.setdefault(f"{row['estimator']} (K = {row['samples']})", {})[row["group"]] = None
    return [
        f"{name}: its gradient is not finite in {', '.join(groups)}: see `vae-fn verify`"
        for name, groups in found.items()
    ]


def advice(rows: Rows) -> list[str]:
    """For each group, what doubling K or the batch would buy its best estimator that has noise."""
    lines = []
    for group, own in groups(rows).items():
        noisy = with_noise(own)
        if noisy:
            lines.append(_bought(group, noisy[0], noisy))
    return lines


def _bought(group: str, best: Mapping[str, Any], own: Rows) -> str:
    who = f"{group} ({best['estimator']}, K = {best['samples']})"
    share = best["variance_noise"] / best["variance"]
    measured = _slope([row for row in own if row["estimator"] == best["estimator"]])
    kept = "" if measured is None else f", {100 * share * (1 - 2 ** measured[0]):.0f} % as measured {measured[1]}"
    if best["variance_batch"] is None:
        return f"{who}: all of the variance is noise; doubling K takes off 50 % if it falls as 1/K{kept}"
    return (
        f"{who}: {100 * share:.0f} % of the variance is noise; doubling the batch takes off 50 %, "
        f"doubling K {50 * share:.0f} % if the noise falls as 1/K{kept}"
    )


def _slope(rows: Rows) -> tuple[float, str] | None:
    """The exponent of the noise's variance in K, from the two largest K, and which they are."""
    noise = {row["samples"]: row["variance_noise"] for row in rows}
    if len(noise) < 2:
        return None
    low, high = sorted(noise)[-2:]
    return math.log(noise[high] / noise[low]) / math.log(high / low), f"from K = {low} to {high}"


def _cells(own: Rows) -> list[list[str]]:
    noisy = with_noise(own)
    best = {by: min((work(row, by) for row in noisy), default=1.0) for by in ("milliseconds", "f")}
    several = len({row["target"] for row in own}) > 1
    return [
        [
            row["estimator"],
            str(row["samples"]),
            TARGETS[row["target"]] if several else "",
            _bias(row),
            _percent(row["relative_bias"]),
            _number(row["variance"]),
            _number(row["variance_exact"]),
            _split(row),
            _number(row["snr"]),
            "" if row["cosine"] is None else f"{row['cosine']:z.3f}",
            f"{row['forward']}+{row['backward']}",
            _number(row["milliseconds"]),
            *(_number(work(row, by) / best[by]) if row in noisy else "-" for by in best),
        ]
        for row in own
    ]


def _bias(row: Mapping[str, Any]) -> str:
    if row["bias"] is None:
        return ""
    return f"{_number(row['bias'])} +- {_number(row['bias_se'])}{'*' if biased(row) else ' '}"


def _split(row: Mapping[str, Any]) -> str:
    if row["variance_batch"] is None or not row["variance"]:
        return ""
    noise = 100 * row["variance_noise"] / row["variance"]
    return f"{noise:.0f}/{100 - noise:.0f}"


def _percent(share: float | None) -> str:
    if share is None:
        return ""
    return "<0.01%" if 0 < share < 1e-4 else f"{_number(100 * share)}%"


def _number(value: float | None) -> str:
    """Two digits, three where they fit."""
    if value is None or not math.isfinite(value):
        return ""
    if value == 0:
        return "0"
    return (
        f"{value:.3g}"
        if 1e-3 <= abs(value) < 1e3
        else f"{value:.1e}".replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")
    )


def _filled(head: Iterable[str], cells: list[list[str]]) -> tuple[list[str], list[list[str]]]:
    """The columns in which some row has something."""
    kept = [i for i, column in enumerate(zip(*cells, strict=True)) if any(column)]
    titles = list(head)
    return [titles[i] for i in kept], [[row[i] for i in kept] for row in cells]


def _align(head: Iterable[str]) -> list[str]:
    return ["left" if name in ("group", "estimator", "target") else "right" for name in head]
