"""What all figures share: style, colours and names, and how a figure becomes bytes."""

import functools
import io
import textwrap
from collections.abc import Callable, Iterable
from typing import ParamSpec, TypeVar

import numpy as np
from jaxtyping import Float
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

WIDTH = 6.4
"""Inches, of every figure."""

BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILLION, PURPLE = OKABE_ITO = (
    "#000000",
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#F0E442",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
)
"""Colours that are told apart whatever the colour vision (Okabe & Ito 2008)."""

CLASSES = (
    "#3f90da",
    "#ffa90e",
    "#bd1f01",
    "#94a4a2",
    "#832db6",
    "#a96b59",
    "#e76300",
    "#b9ac70",
    "#222222",
    "#92dadd",
)
"""Ten colours for classes, chosen for the same (Petroff 2021, arXiv:2107.02270), but for the second of its two greys,
which small dots do not tell from the first."""

STYLE = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.labelsize": 8.5,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 9,
    "figure.dpi": 150,
    "figure.titlesize": 11,
    "figure.titleweight": "bold",
    "font.size": 8.5,
    "grid.color": "0.9",
    "legend.fontsize": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "svg.hashsalt": "vae_fn",
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
}

ROOM = 0.06
"""The part of what is shown that a logarithmic axis leaves free at either end."""

_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
_METADATA: dict[str, dict[str, str | None]] = {"png": {}, "svg": {"Date": None}}

P = ParamSpec("P")
R = TypeVar("R")


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Inside the function matplotlib has this style, whatever the user's is; outside it nothing changes."""

    @functools.wraps(draw)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        with style.context(["default", STYLE]):
            return draw(*args, **kwargs)

    return wrapped


def new_figure(title: str, note: str = "", height: float = 4.0) -> Figure:
    """An empty figure with its title above and a note below; `height` in inches."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    figure.suptitle(title, x=0.01, ha="left")
    figure.supxlabel(textwrap.fill(note, 110), x=0.01, ha="left", fontsize=7.5, color="0.3")
    return figure


@styled
def save_figure(figure: Figure) -> dict[str, bytes]:
    """A figure as the bytes of a `png` and of an `svg` file: the same figure, the same bytes.

    The layout is made once and kept, because each making of it would move things by a fraction of a pixel.
    """
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    return {kind: _render(figure, kind, metadata) for kind, metadata in _METADATA.items()}


class RoundNumbers(LogLocator):
    """Ticks of a logarithmic axis at 1, 2, 5, 10, ...

    They are at closer round numbers where fewer than three of these are seen, and at powers of ten alone where the axis
    spans more than three of them.
    """

    def __init__(self) -> None:
        super().__init__(subs=(1, 2, 5))
        self._powers = LogLocator(numticks=8)

    def tick_values(self, vmin: float, vmax: float) -> list[float]:
        """The ticks from `vmin` to `vmax`, both positive, and a few beyond."""
        low, high = sorted((vmin, vmax))
        if high > 1e3 * low * (1 + 1e-9):
            return [*self._powers.tick_values(low, high)]
        tries = [super().tick_values(low, high)] if high > 5 * low else []
        tries += [MaxNLocator(bins, steps=[1, 2, 5, 10]).tick_values(low, high) for bins in (5, 8, 12)]
        enough = (found for found in tries if sum(low <= tick <= high for tick in found) >= 3)
        return [tick for tick in next(enough, tries[-1]) if tick > 0]


def logarithmic(axes: Axes, *names: str) -> None:
    """Make the axes of these names, `x` or `y`, logarithmic, with round ticks and numbers as they are written."""
    for name in names:
        axes.set(**{f"{name}scale": "log"})
        axis = getattr(axes, f"{name}axis")
        axis.set_major_locator(RoundNumbers())
        axis.set_major_formatter(lambda value, position: written(float(value)))
        axis.set_minor_locator(NullLocator())


def written(value: float) -> str:
    """A positive number plain, or with a power of ten below 1e-4, and from 1e6 on where one digit is all there is."""
    digits, exponent = f"{value:.9e}".split("e")
    digits, power = digits.rstrip("0").rstrip("."), f"10^{{{int(exponent)}}}"
    if value >= 1e-4 and (value < 1e6 or len(digits) > 1):
        return f"{value:.10g}"
    return f"${power}$" if digits == "1" else f"${digits} \\times {power}$"


def frame(values: Iterable[float], below: float = ROOM) -> tuple[float, float]:
    """Limits of a logarithmic axis that show positive values, a factor of two apart at least.

    Args:
        values: to be shown.
        below: the part of the span that is left free under the least of them.
    """
    logs = np.log2([*values])
    narrow = max(0.0, 1.0 - float(np.ptp(logs))) / 2
    low, high = float(logs.min()) - narrow, float(logs.max()) + narrow
    return 2 ** (low - below * (high - low)), 2 ** (high + ROOM * (high - low))


def latent_name(dimension: int) -> str:
    """The name of a latent in figures, counted from one: z₁ for dimension 0."""
    return "z" + str(dimension + 1).translate(_SUBSCRIPTS)


def latent_axis(dimension: int) -> str:
    """The label of an axis along a latent, with its unit."""
    return f"{latent_name(dimension)} (prior standard deviations)"


def signed(value: float, digits: int) -> str:
    """A number with that many decimals and a proper minus sign; none before zero."""
    return f"{value:z.{digits}f}".replace("-", "\N{MINUS SIGN}")


def reach(z: Float[np.ndarray, "..."]) -> float:
    """Half the width of a view centred on the prior's mean: three standard deviations and 99.9 % of the numbers."""
    return max(3.4, 1.05 * float(np.quantile(np.abs(z), 0.999)))


def _render(figure: Figure, kind: str, metadata: dict[str, str | None]) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format=kind, metadata=metadata)
    return file.getvalue()
