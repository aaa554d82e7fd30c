"""Which bits and classes a model of discrete latents uses, beside the prior."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from vae_fn.viz.style import SKY, VERMILLION, new_figure, styled

BINS = 25
"""Of the probabilities of a one."""

CONSTANT = 0.01
"""A bit that is a one, or a zero, in less than this share of images tells nothing."""


class Usage(NamedTuple):
    """How often a layer's values are taken: `(d,)` probabilities of a one, or `(v, c)` of each class.

    Attributes:
        posterior: means over a data set.
        prior: means over draws from the prior.
    """

    posterior: Float[np.ndarray, "..."]
    prior: Float[np.ndarray, "..."]


def constant_bits(ones: Float[np.ndarray, " d"]) -> int:
    """How many bits are nearly always the same, from the probability of a one of each."""
    return int((np.minimum(ones, 1 - ones) < CONSTANT).sum())


def used_classes(shares: Float[np.ndarray, "v c"]) -> Float[np.ndarray, " v"]:
    """How many classes of each variable are in use: the exponential of the entropy of their shares."""
    return np.exp(-(shares * np.log(np.maximum(shares, 1e-30))).sum(1))


@styled
def code_usage(layers: list[Usage]) -> Figure:
    """A row for each layer: histograms of its bits by their probability of a one, or the share of every class."""
    bits = layers[0].posterior.ndim == 1
    note = (
        "Bits by how often each is a one: in the codes of the images, and in draws from the prior."
        if bits
        else "How often each class of each variable is taken: in the codes of the images, and in draws from the prior."
    )
    rows = len(layers) if bits else 1
    height = 1.2 + 2.0 * rows if bits else 2.2 + 0.14 * len(layers[0].posterior)
    figure = new_figure("How the code is used", note, height)
    if bits:
        panels = figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0]
        for i, (axes, layer) in enumerate(zip(panels, layers, strict=True)):
            _draw_bits(axes, layer, f"layer {i + 1}" if rows > 1 else "")
        panels[-1].set_xlabel("probability of a one")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper right", ncols=2)
    else:
        _draw_classes(figure, layers[0])
    return figure


def _draw_bits(axes: Axes, layer: Usage, title: str) -> None:
    edges = np.linspace(0, 1, BINS + 1)
    axes.stairs(np.histogram(layer.posterior, edges)[0], edges, fill=True, color=SKY, label="codes of the images")
    axes.stairs(
        np.histogram(layer.prior, edges)[0], edges, color=VERMILLION, linewidth=1.4, label="draws from the prior"
    )
    axes.set(xlim=(0, 1), ylabel="bits", title=title)


def _draw_classes(figure: Figure, layer: Usage) -> None:
    panels = figure.subplots(1, 2, sharey=True)
    most = max(float(layer.posterior.max()), float(layer.prior.max()))
    shown = ScalarMappable(Normalize(0, most), "cividis")
    for axes, shares, title in zip(panels, layer, ("codes of the images", "draws from the prior"), strict=True):
        axes.imshow(shares, norm=shown.norm, cmap=shown.cmap, aspect="auto", interpolation="nearest")
        variables, classes = shares.shape
        axes.set_xticks(range(0, classes, -(-classes // 10)))
        axes.set_yticks(range(0, variables, -(-variables // 20)), range(1, variables + 1, -(-variables // 20)))
        axes.grid(visible=False)
        axes.set(xlabel="class", title=title)
    panels[0].set_ylabel("variable")
    figure.colorbar(shown, ax=panels, label="share")
