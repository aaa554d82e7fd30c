import io
import itertools
import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.text import Text

from tests.viz.cases import FIGURES, PICTURES
from vae_fn import viz
from vae_fn.viz.style import (
    CLASSES,
    OKABE_ITO,
    WIDTH,
    RoundNumbers,
    frame,
    latent_name,
    logarithmic,
    new_figure,
    reach,
    signed,
    written,
)

EVERY = FIGURES | PICTURES

IMPORT = """
import sys, warnings
import matplotlib, numpy, torch

def state():
    settings = {name: matplotlib.rcParams[name] for name in matplotlib.rcParams if name != "backend"}
    numbers = numpy.get_printoptions(), numpy.geterr(), numpy.random.get_state()[1].tolist()
    return settings, numbers, torch.get_rng_state().tolist(), torch.get_default_dtype(), list(warnings.filters)

import jaxtyping, jinja2, matplotlib.style, matplotlib.figure
before = state()
import vae_fn.viz
assert state() == before
assert "matplotlib.pyplot" not in sys.modules
"""


def test_importing_changes_nothing_global_and_needs_no_pyplot():
    subprocess.run([sys.executable, "-c", IMPORT], check=True)


def is_cut_off(figure):
    """Whether what is drawn reaches beyond the figure, by more than a hundredth of an inch."""
    figure.draw_without_rendering()
    drawn, frame = figure.get_tightbbox(), figure.bbox_inches.padded(0.01)
    return not (frame.contains(drawn.x0, drawn.y0) and frame.contains(drawn.x1, drawn.y1))


def overlaps_title(figure):
    """Whether a legend lies over the title."""
    figure.draw_without_rendering()
    title = figure.findobj(lambda artist: isinstance(artist, Text) and artist.get_text() == figure.get_suptitle())[0]
    return any(title.get_window_extent().overlaps(legend.get_window_extent()) for legend in figure.legends)


@pytest.mark.parametrize("name", EVERY)
def test_every_figure_is_titled_and_whole_and_its_files_are_small_and_equal_each_time(name):
    figure = EVERY[name]()
    assert figure.get_suptitle()
    assert figure.get_figwidth() == WIDTH
    assert figure.get_figheight() <= 9.5
    first = viz.save_figure(figure)
    assert not is_cut_off(figure)
    assert not overlaps_title(figure)
    assert viz.save_figure(figure) == first
    assert all(len(data) < 1_000_000 for data in first.values())
    assert first["png"].startswith(b"\x89PNG")
    assert b"<dc:date>" not in first["svg"]


def test_a_text_cut_off_and_a_covered_title_are_seen():
    figure = new_figure("A title " * 20)
    assert is_cut_off(figure)
    figure = new_figure("A title " * 12)
    figure.subplots().plot([0, 1], label="a line with a label")
    figure.legend(loc="outside upper right")
    assert overlaps_title(figure)


def unlabelled(figure):
    """Axes that show numbers along an axis without naming it; in a column the lowest names it for all."""
    drawn = [axes for axes in figure.axes if axes.axison and axes.get_label() != "<colorbar>"]
    names = [
        bool(axes.get_xlabel()) or not any(label.get_visible() for label in axes.get_xticklabels()) for axes in drawn
    ]
    return [axes for axes, named in zip(drawn, names, strict=True) if not named] + [
        axes for axes in drawn if axes.get_subplotspec().is_first_col() and not axes.get_ylabel()
    ]


@pytest.mark.parametrize("name", FIGURES)
def test_every_axis_is_named_with_its_unit(name):
    figure = FIGURES[name]()
    assert not unlabelled(figure)
    units = ("nats per image", "training step", "prior standard deviations", "images per square", "density", "latent")
    units += ("probability of a one", "bits", "class", "variable", "share")
    for axes in figure.axes:
        for label in filter(None, (axes.get_xlabel(), axes.get_ylabel())):
            assert any(unit in label for unit in units), label


def test_an_axis_without_a_name_is_seen():
    figure = FIGURES["gradient_norm"]()
    figure.axes[0].set_xlabel("")
    assert unlabelled(figure)


def test_a_figure_drawn_twice_gives_equal_bytes_and_plain_saving_does_not():
    draw = FIGURES["kl_by_dimension"]
    assert viz.save_figure(draw()) == viz.save_figure(draw())
    plain = [io.BytesIO(), io.BytesIO()]
    for file in plain:
        draw().savefig(file, format="svg", metadata={"Date": None})
    assert plain[0].getvalue() != plain[1].getvalue()


def test_ten_thousand_points_are_a_small_svg_because_they_are_rasterised():
    z = np.random.default_rng(0).normal(size=(10_000, 2))
    figure = viz.latent_scatter(z, np.arange(10_000) % 10)
    assert len(viz.save_figure(figure)["svg"]) < 1_000_000
    for points in figure.axes[0].collections:
        points.set_rasterized(False)
    assert len(viz.save_figure(figure)["svg"]) > 1_000_000


def test_the_users_settings_neither_change_a_figure_nor_are_changed():
    mine = {"font.size": 20, "axes.grid": False, "image.cmap": "jet", "svg.hashsalt": "other"}
    ours = viz.save_figure(FIGURES["gradient_norm"]())
    with matplotlib.rc_context(mine):
        assert viz.save_figure(FIGURES["gradient_norm"]()) == ours
        assert {name: matplotlib.rcParams[name] for name in mine} == mine


def test_names_and_numbers():
    assert latent_name(0) == "z₁"
    assert latent_name(119) == "z₁₂₀"
    assert signed(-0.125, 1) == "\N{MINUS SIGN}0.1"
    assert signed(-0.001, 2) == "0.00"
    assert len(set(OKABE_ITO)) == 8
    assert reach(np.zeros(5)) == 3.4
    assert reach(np.full(5, -10.0)) == pytest.approx(10.5)


VISION = {
    "usual": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "no red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "no blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
"""What is seen of linear red, green and blue (Machado, Oliveira & Fernandes 2009)."""

LMS = [[0.41222147, 0.53633254, 0.05144599], [0.2119035, 0.68069955, 0.10739696], [0.08830246, 0.28171884, 0.62997870]]
OKLAB = [
    [0.21045426, 0.79361779, -0.00407205],
    [1.9779985, -2.4285922, 0.45059371],
    [0.02590404, 0.78277177, -0.80867577],
]
"""Oklab (Ottosson 2020), in which distances are about those that are seen; white is at 1 from black."""


def nearest(colours, vision):
    """The least distance of two colours."""
    srgb = np.array([to_rgb(colour) for colour in colours])
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.transpose(VISION[vision]), 0, 1)
    lab = np.cbrt(seen @ np.transpose(LMS)) @ np.transpose(OKLAB)
    return min(np.linalg.norm(a - b) for a, b in itertools.combinations(lab, 2))


@pytest.mark.parametrize("vision", VISION)
def test_colours_of_classes_are_told_apart_whatever_the_colour_vision(vision):
    assert nearest(CLASSES, vision) > 0.07


def test_colours_that_are_alike_are_seen():
    assert nearest([*CLASSES[:8], "#717581", CLASSES[9]], "no red") < 0.07


@pytest.mark.parametrize(
    ("low", "high", "seen"),
    [
        (3.0, 1200.0, [5, 10, 20, 50, 100, 200, 500, 1000]),
        (1.5, 13.0, [2, 5, 10]),
        (660.0, 940.0, [700, 800, 900]),
        (64.0, 178.0, [80, 100, 120, 140, 160]),
        (3e-4, 2.0, [0.001, 0.01, 0.1, 1]),
        (1e-6, 1e4, [1e-6, 1e-4, 0.01, 1, 100, 1e4]),
    ],
)
def test_ticks_of_a_logarithmic_axis_are_round_and_enough(low, high, seen):
    ticks = RoundNumbers().tick_values(low, high)
    assert [tick for tick in ticks if low <= tick <= high] == pytest.approx(seen, rel=1e-12)
    assert min(ticks) > 0


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (1.0, "1"),
        (0.0005, "0.0005"),
        (1e-4, "0.0001"),
        (1e-5, "$10^{-5}$"),
        (2e-6, r"$2 \times 10^{-6}$"),
        (500000.0, "500000"),
        (1e6, "$10^{6}$"),
        (1048576.0, "1048576"),
    ],
)
def test_numbers_are_plain_as_long_as_they_are_short(value, said):
    assert written(value) == said


@pytest.mark.parametrize("values", [[3.0], [0.05677567511781946, 0.056775675117819474], [1.0, 1.1], [1e-6, 1e3]])
def test_a_frame_holds_its_values_with_room_and_is_a_factor_of_two_wide(values):
    low, high = frame(values, below=0.2)
    span = np.log(high / low)
    assert np.log(min(values) / low) > 0.15 * span
    assert np.log(high / max(values)) > 0.04 * span
    assert high > 2 * low


def test_a_logarithmic_axis_has_plain_numbers():
    axes = new_figure("a title").subplots()
    axes.plot([1, 1048576], [0.5, 20])
    logarithmic(axes, "x", "y")
    axes.set_xticks([1, 1048576])
    axes.figure.draw_without_rendering()
    assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "1048576"]
    assert {"1", "10"} <= {label.get_text() for label in axes.get_yticklabels()}
