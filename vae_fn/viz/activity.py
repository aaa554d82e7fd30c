"""Which latents are used: the KL of each over training."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from vae_fn.viz.style import OKABE_ITO, latent_name, new_figure, styled

ACTIVE = 0.01
"""Nats: a latent whose KL is less tells nothing of the image."""

_MARKERS = "os^Dv<>P"
_CIVIDIS = colormaps["cividis"].with_extremes(under="0.8")


def active_units(kl: Float[np.ndarray, " d"]) -> int:
    """How many latents have a KL of at least 0.01 nats, from the mean KL of each over a data set."""
    return int((kl >= ACTIVE).sum())


def most_active(kl: Float[np.ndarray, " d"], most: int) -> list[int]:
    """The latents of largest KL, at most `most`, largest first; of equal ones the first."""
    return np.argsort(-kl, kind="stable")[:most].tolist()


@styled
def kl_by_dimension(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """The KL of each latent over training: lines for up to eight latents, beyond that a heat map.

    Args:
        rows: `step`, `split` and `kl_by_dimension`, a number of nats per latent and None where it is not finite; rows
            without are passed over, and so are those of another split than the first row's that has it.

    Raises:
        ValueError: No row has `kl_by_dimension`.
    """
    own = [row for row in rows if row.get("kl_by_dimension") is not None]
    if not own:
        raise ValueError("no row has kl_by_dimension: give rows of evaluation")
    split = own[0]["split"]
    steps, kl = (
        np.array([row[key] for row in own if row["split"] == split], dtype=float) for key in ("step", "kl_by_dimension")
    )
    dims = kl.shape[1]
    figure = new_figure(
        f"KL of each latent: {active_units(kl[-1])} of {dims} active",
        f"Means over the {split} split. Active: at least {ACTIVE} nats at the end.",
        height=4.0 if dims <= len(OKABE_ITO) else min(1.6 + 0.16 * dims, 7.0),
    )
    axes = figure.subplots()
    draw = _draw_lines if dims <= len(OKABE_ITO) else _draw_heat_map
    draw(axes, steps, kl, most_active(np.nan_to_num(kl[-1]), dims))
    axes.set_xlabel("training step")
    return figure


def _draw_lines(axes: Axes, steps: Float[np.ndarray, " n"], kl: Float[np.ndarray, "n d"], order: Sequence[int]) -> None:
    for rank, dim in enumerate(order):
        axes.plot(steps, kl[:, dim], color=OKABE_ITO[rank], marker=_MARKERS[rank], markersize=4, label=latent_name(dim))
    axes.set(xlim=(0, None), ylim=(0, None))
    axes.set_ylabel("KL (nats per image)")
    axes.figure.legend(loc="outside right center")


def _draw_heat_map(
    axes: Axes, steps: Float[np.ndarray, " n"], kl: Float[np.ndarray, "n d"], order: Sequence[int]
) -> None:
    """Rows sorted by the KL at the end, a column from each row's step back to the one before; not active is grey."""
    norm = LogNorm(ACTIVE, max(10 * ACTIVE, float(np.nan_to_num(kl).max())))
    mesh = axes.pcolormesh(
        np.concatenate([[0.0], steps]),
        np.arange(len(order) + 1),
        kl[:, order].T,
        cmap=_CIVIDIS,
        norm=norm,
        rasterized=True,
    )
    axes.invert_yaxis()
    axes.grid(visible=False)
    every = -(-len(order) // 32)
    axes.set_yticks(np.arange(len(order))[::every] + 0.5, [latent_name(dim) for dim in order[::every]])
    axes.tick_params(axis="y", length=0)
    axes.set_ylabel("latent, largest KL at the end first")
    axes.figure.colorbar(mesh, ax=axes, label="KL (nats per image; grey: not active)", extend="min")
