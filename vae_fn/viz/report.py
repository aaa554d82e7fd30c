"""The report of a run: one HTML page that needs nothing else."""

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import resources
from typing import Any, NamedTuple

from jinja2 import Environment, StrictUndefined

from vae_fn.viz.deviation import Deviation
from vae_fn.viz.style import latent_name, signed

PROTOCOLS = {
    "grey": "Grey: the targets are pixel intensities, a bound for images binarised afresh each time.",
    "dynamic": "Dynamic: each pixel's intensity is the probability that it was drawn white.",
    "fixed": "Fixed: the images were binarised once.",
}

WORDS = {
    "elbo": "ELBO",
    "kl": "KL",
    "kl_by_dimension": "KL by dimension",
    "se_noise": "standard error from the noise",
    "nonfinite": "not finite",
    "skipped": "skipped steps",
    "vae_fn": "vae_fn",
}
"""What keys of summary and environment are called, where that is not the key with spaces."""


class ReportFigure(NamedTuple):
    """A picture of the report: `name` in snake_case, what is to be said below it, and a PNG file."""

    name: str
    caption: str
    png: bytes


def report_html(
    title: str,
    *,
    config: Mapping[str, Any],
    summary: Mapping[str, Any],
    environment: Mapping[str, Any],
    deviations: Sequence[Deviation],
    figures: Sequence[ReportFigure],
    notes: Sequence[str],
) -> str:
    """A self-contained page: results first, then figures, deviations, settings and environment. All texts are escaped.

    Args:
        title: of the page.
        config: every setting.
        summary: as in `summary.json`, or empty where there is none yet; the results are its `test`, and what else it
            holds follows the figures.
        environment: as in `environment.json`.
        deviations: of the latents from the prior; none, and the table is left out.
        figures: in their order on the page.
        notes: sentences to stand below the results.
    """
    test = summary.get("test")
    template = Environment(autoescape=True, trim_blocks=True, undefined=StrictUndefined).from_string(_template())
    return template.render(
        title=title,
        result=test and [_nats(test[key]) for key in ("elbo", "reconstruction", "kl")],
        protocol=test and test["protocol"],
        protocols=PROTOCOLS,
        notes=notes,
        deviations=[(latent_name(row.dimension), *(signed(value, 3) for value in row[1:])) for row in deviations],
        figures=[_embedded(figure) for figure in figures],
        tables=[
            (heading, note, list(_entries(table, name)))
            for heading, note, table, name in (
                ("Summary", "Bounds in nats per image", summary, _in_words),
                ("Settings", "As config.toml names them; `vae-fn train --help` explains each", config, str),
                ("Environment", "", environment, _in_words),
            )
            if table
        ],
    )


def _template() -> str:
    return resources.files("vae_fn.viz").joinpath("report.html.j2").read_text(encoding="utf-8")


def _embedded(figure: ReportFigure) -> dict[str, str]:
    data = base64.b64encode(figure.png).decode("ascii")
    return {"name": figure.name, "title": figure.name.replace("_", " "), "caption": figure.caption, "data": data}


def _entries(table: Mapping[str, Any], name: Callable[[str], str], prefix: str = "") -> Iterator[tuple[str, str]]:
    """The names of the keys of a table, after those of the table where tables are nested, and their values as text."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _entries(value, name, f"{prefix}{name(key)} ")
        else:
            yield f"{prefix}{name(key)}", _text(value)


def _in_words(key: str) -> str:
    return WORDS.get(key, key.replace("_", " "))


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return " ".join(map(_text, value)) or "none"
    if isinstance(value, bool | None):
        return str(value).lower()
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _nats(value: float | None) -> str:
    return "not finite" if value is None else signed(value, 2)
