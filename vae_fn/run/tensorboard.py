"""What TensorBoard shows of a run: its curves, pictures, histograms and settings.

Events are written to their file at once, not by TensorBoard's own writer: that leaves them to a thread, which can fail
after the last look at it, and then what it held is lost without an error.
"""

import io
import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Shaped
from tensorboard.compat.proto.event_pb2 import Event, SessionLog  # pyright: ignore[reportAttributeAccessIssue]
from tensorboard.compat.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]
from tensorboard.summary.writer.record_writer import RecordWriter
from torch import Tensor
from torch.utils.tensorboard import summary

from vae_fn import random, tree
from vae_fn.distributions import Distribution, central, is_discrete
from vae_fn.evaluation.latents import decode, spread, targets, usage
from vae_fn.run.assemble import Parts
from vae_fn.run.codes import numbered
from vae_fn.run.config import to_toml
from vae_fn.run.folder import write_atomic
from vae_fn.types import Params, Shape, Tree

SCALARS = (
    "elbo",
    "loss",
    "reconstruction",
    "kl",
    "grad_norm",
    "learning_rate",
    "beta",
    "examples_per_second",
    "skipped",
)
"""The curves that a row of metrics adds to, under its split."""

EVENTS = "events.out.tfevents."
"""How the names of files of events begin; the settings are in number 0, and each sitting has the next."""

DIMENSIONS = 32
"""Latents that have a curve of their KL."""

IMAGES = 1_000
"""Images whose latents are counted, spread over the classes."""

PAIRS = 50
"""The first of them, which are shown beside their reconstructions."""

SAMPLES = 64
"""Pictures of draws from the prior."""

HISTOGRAMS = 16
"""Latents that have a histogram."""

BINS = 30
"""Bins of each."""

PRIOR, POSTERIOR, TARGETS = range(3)
"""Children of the key `figures`: the noise of the samples and of the latents, and that of the binarisation."""


class Board:
    """TensorBoard's files of a run.

    Images and noise are the same all through a run, resumed or not: pictures differ by the parameters alone.
    """

    def __init__(self, folder: Path, parts: Parts, step: int):
        """Start, or go on after `step`: TensorBoard drops what came later.

        Raises:
            OSError: The folder cannot be written, as in all methods.
        """
        self._vae, self._shape = parts.vae, parts.dataset.shape
        prior, posterior, binarise = (random.fold_in(parts.streams.figures, i) for i in (PRIOR, POSTERIOR, TARGETS))
        split = parts.dataset.validation or parts.dataset.test
        images = split.images[spread(split, IMAGES).to(split.images.device)]
        self._x = targets(images, parts.protocol, binarise)
        prior_like, posterior_like = _noise_like(parts, self._x)
        self._prior_noise = random.draw(prior, prior_like)
        self._posterior_noise = random.draw(posterior, posterior_like)
        folder.mkdir(exist_ok=True)
        settings = summary.text("config", f"```toml\n{to_toml(parts.config)}```")
        write_atomic(folder / f"{EVENTS}0", _records(_version(), _event(0, settings)))
        # TensorBoard drops nothing at the first START that it sees, so the first sitting writes one too.
        self._file = _next(folder).open("xb")
        self._write(_version(), Event(step=step + 1, session_log=SessionLog(status=SessionLog.START)))

    def scalars(self, row: Mapping[str, Any]) -> None:
        """Add a row of metrics to the curves; what is absent or not finite is left out, and so is no step skipped."""
        values = {name: row.get(name) for name in SCALARS} | {"skipped": row.get("skipped") or None}
        divergences = (row.get("kl_by_dimension") or ())[:DIMENSIONS]
        values |= {f"kl_by_dimension/{i}": kl for i, kl in enumerate(divergences)}
        self._write(
            *(
                _event(row["step"], summary.scalar(f"{row['split']}/{name}", value))
                for name, value in values.items()
                if value is not None and math.isfinite(value)
            )
        )

    def pictures(self, params: Params, step: int) -> None:
        """Show what the parameters make of the images and the noise; what is not finite is left out."""
        with torch.no_grad():
            posterior = self._vae.posterior(params, self._x, None)
        parts = (*self._images(params, posterior), *self._histograms(params, posterior))
        self._write(*(_event(step, part) for part in parts))

    def _images(self, params: Params, posterior: Distribution) -> Iterator[Summary]:
        with torch.no_grad():
            codes = tree.map(lambda each: each[:PAIRS], central(posterior))
            latents = self._vae.prior(params, None).sample(self._prior_noise)
        decoded = decode(self._vae, params, codes)
        pairs = torch.stack([self._x[:PAIRS], decoded], 1).flatten(0, 1)
        samples = decode(self._vae, params, latents)
        for name, rows, columns in (("originals_and_reconstructions", pairs, 10), ("prior_samples", samples, 8)):
            if rows.isfinite().all():
                yield _image(f"images/{name}", rows, self._shape, columns)

    def _histograms(self, params: Params, posterior: Distribution) -> Iterator[Summary]:
        if is_discrete(posterior):
            layers = usage(posterior, self._posterior_noise)
            latents = {f"latents/{name}": numbers for name, numbers in numbered("usage", layers)}
        else:
            z = posterior.sample(self._posterior_noise)
            latents = {f"latents/z{i}": numbers for i, numbers in enumerate(z.unbind(-1)[:HISTOGRAMS])}
        named = {f"parameters/{name}": leaf for name, leaf in tree.flat_names(params).items()}
        for tag, numbers in (latents | named).items():
            if histogram := _histogram(tag, numbers):
                yield histogram

    def _write(self, *events: Event) -> None:
        self._file.write(_records(*events))
        self._file.flush()

    def __enter__(self) -> "Board":
        return self

    def __exit__(self, kind: type | None, fault: BaseException | None, trace: TracebackType | None) -> None:
        """Close the file."""
        self._file.close()


def _next(folder: Path) -> Path:
    """The file of the next sitting: TensorBoard reads files in the order of their names, as texts."""
    numbers = (path.name.removeprefix(EVENTS) for path in folder.glob(f"{EVENTS}*"))
    last = max(int(number) for number in numbers if number.isdecimal())
    return folder / f"{EVENTS}{last + 1:019d}"


def _noise_like(parts: Parts, x: Float[Tensor, "n d"]) -> tuple[Tree, Tree]:
    """The noise of `SAMPLES` draws from the prior, and of one draw from the posterior of each image."""

    def distributions() -> tuple[Distribution, Distribution]:
        params = parts.vae.init(parts.streams.init)
        return parts.vae.prior(params, None), parts.vae.posterior(params, x, None)

    prior, posterior = tree.shapes_of(distributions)
    return prior.noise_like((SAMPLES,)), posterior.noise_like()


def _image(tag: str, rows: Float[Tensor, "n d"], shape: Shape, columns: int) -> Summary:
    """Images in [0, 1] side by side: 0 is black, 1 is white."""
    from vae_fn.viz.grids import mosaic  # with it comes matplotlib, which the first step need not wait for

    picture = np.rint(255 * mosaic(rows.cpu().numpy(), shape, columns)).astype(np.uint8)
    return summary.image(tag, picture, dataformats="HWC"[: picture.ndim])


def _histogram(tag: str, values: Shaped[Tensor, "..."]) -> Summary | None:
    """Counts in bins of equal width from the smallest number to the largest; None where a number is not finite."""
    numbers = values.cpu().double().numpy().ravel()
    if not np.isfinite(numbers).all():
        return None
    counts, edges = np.histogram(numbers, BINS)
    total, squares = numbers.sum(), numbers @ numbers
    return summary.histogram_raw(tag, edges[0], edges[-1], numbers.size, total, squares, edges[1:], counts)


def _version() -> Event:
    return Event(wall_time=time.time(), file_version="brain.Event:2")


def _event(step: int, content: Summary) -> Event:
    return Event(wall_time=time.time(), step=step, summary=content)


def _records(*events: Event) -> bytes:
    """Events in the form in which they are kept in files."""
    buffer = io.BytesIO()
    writer = RecordWriter(buffer)
    for event in events:
        writer.write(event.SerializeToString())
    return buffer.getvalue()
