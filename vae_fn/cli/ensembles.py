"""`vae-fn train` with several keys, betas or learning rates: an ensemble, and what it comes to."""

import json
import resource
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tabulate import tabulate

from vae_fn.cli.output import write_json
from vae_fn.run.members import TERMS, member_settings, setting_names

if TYPE_CHECKING:
    from vae_fn.cli.train import TrainOptions

HEADERS = ("member", "test ELBO", "reconstruction", "KL")

NOTE = "mean \N{PLUS-MINUS SIGN} standard deviation over keys"
"""What the rows of `means` hold."""


def train_members(options: "TrainOptions") -> None:
    """Train an ensemble or go on with one, then print where the results are and what they are.

    Raises:
        UserError: As the training does; a member that was not finite is reported after the results of the others.
    """
    from vae_fn.run.ensemble import resume_ensemble, train_ensemble

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # every member keeps a few files open
    if options.resume is None:
        settings = member_settings(options.settings, options.varied)
        folder, fault = train_ensemble(settings, overwrite=options.overwrite, quiet=options.quiet)
    else:
        folder, fault = resume_ensemble(options.resume, options.settings, exact=options.exact, quiet=options.quiet)
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    if options.json is not None:
        write_json(options.json, summary | {"run": str(folder)})
    if not options.quiet:
        print(f"results in {folder}")
        print(results(folder, summary))
    if fault is not None:
        raise fault


def results(folder: Path, summary: Mapping[str, Any]) -> str:
    """The members, and mean and standard deviation over the keys of each setting, as a table."""
    members, settings = summary["members"], summary["settings"]
    rows = [[each["name"], *(_nats((each["test"] or {}).get(term)) for term in TERMS)] for each in members]
    rows += means(settings, TERMS)
    protocols = {each["test"]["protocol"] for each in members if each["test"]}
    protocol = f", protocol {protocols.pop()}" if protocols else ""
    note = f"in nats per image{protocol}; {NOTE}"
    table = tabulate(rows, HEADERS, disable_numparse=True, colalign=("left", *["right"] * len(TERMS)))
    return f"{table}\n{note}; curves in {folder / 'curves.png'}"


def means(settings: Sequence[Mapping[str, Any]], terms: Sequence[str]) -> list[list[str]]:
    """Rows for a table: the name of each setting, then mean and standard deviation of each term, in nats per image.

    Args:
        settings: as `summarised` has them.
        terms: of them, in the order of the columns.
    """
    names = setting_names([(each["beta"], each["learning_rate"]) for each in settings])
    counted = [f"mean of {each['elbo']['count']}" for each in settings]
    named = [", ".join(filter(None, each)) for each in zip(names, counted, strict=True)]
    return [[name, *(_spread(each[term]) for term in terms)] for name, each in zip(named, settings, strict=True)]


def _spread(found: Mapping[str, Any]) -> str:
    spread = found["standard_deviation"]
    return _nats(found["mean"]) + ("" if spread is None else f" \N{PLUS-MINUS SIGN} {spread:.2f}")


def _nats(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
