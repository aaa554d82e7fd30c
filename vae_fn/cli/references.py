"""What `vae-fn gradients --list`, `--list-problems` and `--bibtex` print."""

import re
from collections.abc import Iterable
from dataclasses import fields
from importlib import resources

import torch
from tabulate import tabulate

from vae_fn.distributions import Bernoulli, Normal
from vae_fn.gradients.estimator import Estimator
from vae_fn.gradients.estimators import CATALOGUE
from vae_fn.gradients.published import PROBLEMS

SAMPLES = 4
"""With which evaluations are listed; the latents are 2."""

NOTE = """`vae-fn gradients --problem NAME --help` explains the options. Those that the command has too, such as --key,
are --problem-key and so on of the problem."""


def estimators_text() -> str:
    """Every estimator: the latents it takes, its evaluations of f, what it is unbiased for, its papers."""
    rows = []
    for name, entry in CATALOGUE.items():
        estimator = entry.make()
        claim, _, reason = estimator.unbiased_for.partition(": ")
        follows = f"; q follows {estimator.q_follows}" if estimator.q_follows else ""
        detail = f"{claim}: {reason}" if reason else claim + follows
        papers = ", ".join(cited(key) for key in entry.papers)
        rows.append([name, estimator.latents, _evaluations(estimator), detail, papers])
    head = ["estimator", "latents", f"f, df\n(K = {SAMPLES})", "unbiased for", "papers"]
    note = "f, df: evaluations of f and of its derivative, for 2 latents. --bibtex prints the papers' entries."
    return f"{tabulate(rows, head, maxcolwidths=[None, None, None, 32, 36])}\n\n{note}"


def problems_text() -> str:
    """Every problem: what it is, its options, its papers."""
    lines = []
    for name, problem in PROBLEMS.items():
        papers = ", ".join(cited(key) for key in problem.papers)
        options = [f"--{field.name.replace('_', '-')}" for field in fields(problem.options)] if problem.options else []  # type: ignore[arg-type]
        how = " ".join(options) if options else "--run RUN"
        lines += [name, f"  {problem.about}", f"  options: {how}", *([f"  papers: {papers}"] if papers else [])]
    return "\n".join([*lines, "", NOTE])


def bibtex(keys: Iterable[str]) -> str:
    """The entries of these keys as they stand in `references.bib`, each once."""
    return "\n\n".join(_entry(key) for key in dict.fromkeys(keys))


def cited(key: str) -> str:
    """A paper in words, as `Tucker et al. 2019`."""
    authors, year = (_field(key, name) for name in ("author", "year"))
    last = [author.partition(",")[0].strip("{} ") for author in authors.split(" and ")]
    who = last[0] if len(last) == 1 else " & ".join(last) if len(last) == 2 else f"{last[0]} et al."
    return f"{who} {year}"


def _entry(key: str) -> str:
    found = re.search(rf"^@\w+\{{{re.escape(key)},.*?^\}}", _references(), re.MULTILINE | re.DOTALL)
    assert found is not None, key
    return found.group()


def _field(key: str, name: str) -> str:
    found = re.search(rf"^  {name} = \{{(.*)\}},?$", _entry(key), re.MULTILINE)
    assert found is not None, (key, name)
    return found.group(1)


def _references() -> str:
    return resources.files("vae_fn.gradients").joinpath("references.bib").read_text(encoding="utf-8")


def _evaluations(estimator: Estimator) -> str:
    two = torch.zeros(2)
    q = Bernoulli(two) if estimator.latents == "discrete" else Normal(two, two + 1)
    return ", ".join(map(str, estimator.evaluations(q, SAMPLES)))
