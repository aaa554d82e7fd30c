"""The figure of the calibration: levels on the left, power on the right."""

from collections import defaultdict

import numpy as np
import scipy.stats
from matplotlib.axes import Axes
from torch import Tensor

from vae_fn.viz.style import BLACK, BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILLION, new_figure, save_figure, styled

COLOURS = (BLUE, VERMILLION, ORANGE, GREEN, PURPLE)
LINES = {
    "mean, detect 0.1": (BLUE, "-", "o"),
    "mean, detect 0.05": (SKY, "-", "s"),
    "mean_bounded, detect 0.1": (GREEN, "-", "^"),
    "mcunit, level 1e-5 (its default)": (ORANGE, "--", "v"),
    "mcunit, level 1e-9": (VERMILLION, "--", "D"),
    "TFP's DKWM, level 1e-9": (PURPLE, ":", "P"),
}
LEVELS = np.geomspace(1e-4, 1, 60)


@styled
def draw(p_values: dict[str, dict[str, Tensor]], curves: list[dict], stage_draws: int) -> bytes:
    """The PNG.

    Args:
        p_values: of one stage on right claims, by estimator and by statistic.
        curves: rows of the power against the size of a bias.
        stage_draws: draws of that stage.
    """
    figure = new_figure(
        "Calibration of the sampled tiers",
        f"Left: share of right claims that a stage of {stage_draws:,} draws rejects, in any of 5 coordinates "
        "(Bonferroni, so below the diagonal where they are correlated). Bars: 95 % (Clopper-Pearson); faint: without "
        "the correction for skewness; grey: 95 % of the counts at the nominal level. Right: rejections of a claim that "
        "is off in one coordinate of the pathwise gradient.",
        height=4.4,
    )
    figure.set_size_inches(11, 5.0)
    left, right = figure.subplots(1, 2)
    _levels(left, p_values)
    _power(right, curves)
    return save_figure(figure)["png"]


def _levels(axes: Axes, p_values: dict[str, dict[str, Tensor]]) -> None:
    runs = len(next(iter(next(iter(p_values.values())).values())))
    low, high = scipy.stats.binom.interval(0.95, runs, LEVELS)
    axes.fill_between(LEVELS, np.maximum(low, 0.3) / runs, high / runs, color="0.88", lw=0, label="nominal level")
    axes.plot(LEVELS, LEVELS, color=BLACK, lw=0.8)
    for number, (colour, (name, found)) in enumerate(zip(COLOURS, p_values.items(), strict=True)):
        plain, corrected = (np.array(found[f"stage, {which}"]) for which in ("plain t", "skew-corrected"))
        axes.plot(LEVELS, _shares(plain), color=colour, alpha=0.3, lw=1)
        axes.plot(LEVELS, _shares(corrected), color=colour, label=name)
        nominal = np.array([1e-3, 1e-2, 1e-1]) * 1.12 ** (number - 2)
        counts = (corrected[:, None] <= nominal).sum(0)
        more = np.array([[0], [1]])
        bar = scipy.stats.beta.ppf([[0.025], [0.975]], counts + more, runs - counts + 1 - more)
        axes.vlines(nominal, np.nan_to_num(bar[0], nan=1e-5).clip(1e-5), bar[1], color=colour, lw=1)
    axes.set(xscale="log", yscale="log", xlim=(1e-4, 1), ylim=(5e-5, 1))
    axes.set(title="One stage on right claims", xlabel="nominal level", ylabel="share of runs that reject")
    axes.legend(loc="upper left")


def _shares(p: np.ndarray) -> np.ndarray:
    """The share of p-values at each level; nothing is drawn where there is none."""
    found = (p[:, None] <= LEVELS).mean(0)
    return np.where(found > 0, found, np.nan)


def _power(axes: Axes, curves: list[dict]) -> None:
    lines: dict[str, list[dict]] = defaultdict(list)
    for row in curves:
        lines[row["procedure"]].append(row)
    for name, rows in lines.items():
        colour, style, marker = LINES[name]
        rows = sorted(rows, key=lambda row: row["bias_sd"])
        bias = [row["bias_sd"] for row in rows if row["bias_sd"] > 0]
        share = [row["rejected"] / row["runs"] for row in rows if row["bias_sd"] > 0]
        draws = f"{rows[0]['draws']:,.0f} / {rows[-1]['draws']:,.0f}"
        axes.plot(bias, share, style, color=colour, marker=marker, ms=3.5, label=f"{name}: {draws}")
    axes.set(xscale="log", ylim=(-0.03, 1.03))
    axes.set(
        title="Power of whole procedures",
        xlabel="bias (standard deviations of one draw)",
        ylabel="share of runs that reject",
    )
    axes.legend(
        title="procedure: mean draws on a right claim / at the largest bias shown",
        loc="upper center",
        bbox_to_anchor=(0.5, -0.14),
        ncols=2,
        fontsize=7,
        title_fontsize=7,
    )
