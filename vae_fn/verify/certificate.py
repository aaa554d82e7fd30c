"""A certificate: what was checked, of which source, with which versions, and what was not."""

import hashlib
import importlib.metadata
import math
import platform
import textwrap
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tabulate import tabulate

from vae_fn import random
from vae_fn.verify.mutations.fates import Mutated
from vae_fn.verify.report import HEAD, Report
from vae_fn.verify.seeds import epoch, replay_line
from vae_fn.verify.subjects import Kind
from vae_fn.verify.verdict import Status

WIDTH = 120
"""Of lines, where they can be broken."""

NARROW = "\u00a0"
"""A space at which no line is broken."""


class Provenance(NamedTuple):
    """Of what, and with what.

    Attributes:
        target: `MODULE:OBJECT`.
        kind: of the object.
        file: the source file that defines it, which is what was hashed; None if it has none.
        blake2b: the digest of that file's bytes, 32 hexadecimal digits.
        versions: of vae_fn, torch and python, and the generator's name.
        epoch: that the keys were hashed with.
        replay: the command that repeats all of it bit for bit.
    """

    target: str
    kind: Kind
    file: str | None
    blake2b: str | None
    versions: dict[str, str]
    epoch: str
    replay: str


@dataclass(frozen=True)
class Certificate:
    """What is known of an object after its battery has run.

    Attributes:
        report: of the battery.
        mutated: what became of wrong versions of it; None if there were none.
        provenance: of what, and with what.
        mutants_asked: whether wrong versions were asked for: there are none of what does not pass itself.
    """

    report: Report
    mutated: Mutated | None
    provenance: Provenance
    mutants_asked: bool = False

    @property
    def status(self) -> Status:
        """The report's."""
        return self.report.status

    def to_dict(self) -> dict[str, Any]:
        """The certificate for machines: JSON types alone, None for a number that is not finite."""
        return _plain(
            {
                **self.provenance._asdict(),
                "status": self.status,
                "checks": [asdict(verdict) for verdict in self.report.verdicts],
                "mutants": None if self.mutated is None else self.mutated._asdict(),
                "not_covered": list(self.report.not_covered),
            }
        )

    def __str__(self) -> str:
        parts = (self._head(), self._table(), self._failures(), self._mutants(), self._not_covered(), self._origin())
        return "\n\n".join(part for part in parts if part)

    def _head(self) -> str:
        article = "an" if self.provenance.kind[0] in "aeiou" else "a"
        counts = [f"{count} {status}" for status, count in self._counts().items()]
        found = ", ".join(counts) or "no check applies"
        return f"{self.provenance.target}, {article} {self.provenance.kind}: {self.status} ({found})"

    def _counts(self) -> dict[str, int]:
        found = [verdict.status for verdict in self.report.verdicts]
        return {status: found.count(status) for status in sorted(set(found), key=found.index)}

    def _table(self) -> str:
        if not self.report.verdicts:
            return ""
        aligned = ("left",) * 4 + ("right",) * 3
        return tabulate(self.report.rows(), headers=HEAD, disable_numparse=True, colalign=aligned)

    def _failures(self) -> str:
        failed = [str(replace(verdict, replay=None)) for verdict in self.report.verdicts if not verdict.passed]
        return "\n".join([*failed, f"replay: {self.provenance.replay}"]) if failed else ""

    def _mutants(self) -> str:
        if self.mutated is None:
            return "mutants: none were made, as not every check passed" if self.mutants_asked else ""
        fates = [_wrapped(fate, names) for fate, names in self.mutated._asdict().items() if names]
        return "\n".join([self.mutated.headline, *fates])

    def _not_covered(self) -> str:
        return "\n".join(["not covered:", *(f"  {sentence}" for sentence in self.report.not_covered)])

    def _origin(self) -> str:
        where = self.provenance
        source = f"blake2b {where.blake2b} of the file {where.file}, without what it imports" if where.file else "none"
        versions = ", ".join(f"{name} {version}" for name, version in where.versions.items())
        return f"source: {source}\nversions: {versions}\nepoch: {where.epoch}"


def provenance(target: str, kind: Kind, file: Path | None, shown: str | None) -> Provenance:
    """The provenance of an object that is defined in a file, here and now; `shown` is how the file is called."""
    digest = None if file is None else hashlib.blake2b(file.read_bytes(), digest_size=16).hexdigest()
    versions = {
        "vae_fn": importlib.metadata.version("vae-fn"),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "generator": random.GENERATOR,
    }
    return Provenance(target, kind, shown, digest, versions, epoch(), replay_line())


def _wrapped(fate: str, names: tuple[str, ...]) -> str:
    """The names in lines of `WIDTH`, none of them broken."""
    whole = "; ".join(names).replace(" ", NARROW).replace(f";{NARROW}", "; ")
    return textwrap.fill(f"  {fate}: {whole}", WIDTH, subsequent_indent="    ").replace(NARROW, " ")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
