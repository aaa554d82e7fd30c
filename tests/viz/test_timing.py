import pytest

from tests.bench.canned import row
from vae_fn.viz import save_figure
from vae_fn.viz.timing import timing_figure


def rows(sizes):
    reference = [9.0, 8.0, 10.0, 9.0, 9.5]
    return [
        row([9.0, 8.0, 10.0, 9.0, 9.5], reference, name) | {"batch": size}
        for size in sizes
        for name in ("eager", "donated")
    ]


@pytest.mark.parametrize("sizes", [[None], [128], [256, 64, 128]])
def test_it_shows_every_row(sizes):
    figure = timing_figure(rows(sizes))
    left, right = figure.axes
    assert left.get_xscale() == left.get_yscale() == "log"
    lines = {line.get_label(): line for line in left.lines}
    assert {"eager", "donated"} <= lines.keys()
    assert list(lines["donated"].get_xdata()) == sorted(size or 1 for size in sizes)
    assert [text.get_text() for text in right.get_yticklabels()] == ["eager", "donated"]
    assert [bar.get_width() for bar in right.patches] == [9.0, 9.0]
    assert save_figure(figure)["png"].startswith(b"\x89PNG")


def test_the_size_counts_what_differs_between_rows():
    given = [each | {"samples": 4, "members": members} for members in (1, 8) for each in rows([32])]
    left, _ = timing_figure(given).axes
    assert left.get_xlabel() == "batch x members"
    lines = {line.get_label(): line for line in left.lines}
    assert list(lines["donated"].get_xdata()) == [32, 256]
