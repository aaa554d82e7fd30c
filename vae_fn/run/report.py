"""All figures of a run and the page that shows them, from its folder alone."""

import functools
import json
import operator
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tqdm import tqdm

from vae_fn import viz
from vae_fn.run.config import TrainConfig
from vae_fn.run.figures import FIGURES, which
from vae_fn.run.folder import RunError, write_atomic
from vae_fn.run.subject import MOST_CLASSES, Subject, load_subject
from vae_fn.words import counted

RESULT = {
    "steps": int,
    **dict.fromkeys(("test.elbo", "test.reconstruction", "test.kl"), int | float | None),
    "test.protocol": str,
}
"""What the summary of a run has at least, and its kind."""


def draw_run(run: Path, config: TrainConfig, checkpoint: str, key: int, *, quiet: bool) -> dict[str, Any]:
    """Write `RUN/figures/NAME.png` and `.svg`, `RUN/figures/deviations.json` and `RUN/report.html`.

    Args:
        run: the run's folder.
        config: its settings, with the device to compute on.
        checkpoint: as in `choose_checkpoint`.
        key: seed of what is drawn at random.
        quiet: show no progress.

    Returns:
        What was drawn and from what, and how far the latents are from the prior.

    Raises:
        UserError: nothing can be written there, or as `load_subject`; a file of the run is damaged.
    """
    folder = _writable(run)
    summary, environment = _read(run / "summary.json", RESULT), _read(run / "environment.json", {})
    subject = load_subject(run, config, checkpoint, key)
    figures = [
        _draw(subject, name, folder) for name in tqdm(which(subject), unit="figure", dynamic_ncols=True, disable=quiet)
    ]
    deviations = viz.deviation_from_prior(subject.draws)
    result = {
        "checkpoint": subject.trained.checkpoint.name,
        "step": subject.trained.record.step,
        "key": key,
        "examples": len(subject.draws),
        "kl_by_dimension": subject.kl.tolist(),
        "deviations": [row._asdict() for row in deviations],
    }
    write_atomic(folder / "deviations.json", json.dumps(result, indent=2, allow_nan=False) + "\n")
    page = viz.report_html(
        f"Run {run.resolve().name}",
        config=asdict(config) | {"name": config.run_name},
        summary=summary,
        environment=environment,
        deviations=deviations,
        figures=figures,
        notes=notes(subject, summary),
    )
    report = run / "report.html"
    write_atomic(report, page.encode("utf-8", "backslashreplace"))
    return {"run": str(run), "report": str(report), "figures": [figure.name for figure in figures], **result}


def notes(subject: Subject, summary: Mapping[str, Any]) -> list[str]:
    """What a reader of the report has to know besides the figures."""
    checkpoint, record, config = subject.trained.checkpoint.name, subject.trained.record, subject.config
    texts = [
        f"The figures show the parameters of {checkpoint}, after step {record.step:,}, which is epoch "
        f"{record.epoch} of {config.epochs}, on {counted(len(subject.means), 'test image')}."
    ]
    if not summary:
        texts.append("The run is not finished, so there is no result yet.")
    elif summary["steps"] != record.step:
        texts.append(f"The result is not of these parameters, but of the last ones, after step {summary['steps']:,}.")
    if subject.latents == 1:
        texts.append("One latent makes no plane: there is no scatter, no histogram of two latents and no manifold.")
    if subject.usage:
        texts.append(
            "The latents are discrete: there is no plane of them to draw, no way between two codes, and no deviation "
            "from N(0, 1)."
        )
    elif subject.classes is None:
        texts.append("The images have no labels, so that nothing is coloured by class.")
    elif subject.coloured is None:
        texts.append(f"There are more than {MOST_CLASSES} classes, which are too many to tell apart by colour.")
    return texts


def _draw(subject: Subject, name: str, folder: Path) -> viz.ReportFigure:
    figure, caption = FIGURES[name](subject)
    files = viz.save_figure(figure)
    for ending, content in files.items():
        write_atomic(folder / f"{name}.{ending}", content)
    return viz.ReportFigure(name, caption, files["png"])


def _writable(run: Path) -> Path:
    """The folder for the figures, which is made."""
    folder = run / "figures"
    try:
        folder.mkdir(exist_ok=True)
        writable = all(os.access(place, os.W_OK) for place in (run, folder))
    except OSError:
        writable = False
    if not writable:
        raise RunError(f"{folder} must be a folder that you may write to, as must {run}: copy the run to such a place")
    return folder


def _read(path: Path, needed: Mapping[str, Any]) -> dict[str, Any]:
    """What stands in a JSON file of a run; nothing where there is no such file yet.

    Args:
        path: the file.
        needed: keys, dotted where tables are nested, that must be there, and the kind of what is there.

    Raises:
        RunError: it is damaged.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("it is no table")
        for key, kind in needed.items():
            if not isinstance(functools.reduce(operator.getitem, key.split("."), content), kind):
                raise ValueError(f"{key} is of the wrong kind")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as fault:
        raise RunError(f"{path} is damaged ({fault}): restore it or delete it") from fault
    return content
