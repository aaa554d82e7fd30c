import numpy as np
import pytest
from matplotlib.patches import StepPatch
from scipy import stats

from tests.viz.cases import Z
from vae_fn import viz


def panels(figure):
    return [axes for axes in figure.axes if axes.axison]


def test_a_panel_for_each_latent_in_the_order_given_and_the_rest_is_named():
    figure = viz.marginals(Z, [13, 0, 4, 2, 1])
    assert [axes.get_title() for axes in panels(figure)] == ["z₁₄", "z₁", "z₅", "z₃", "z₂"]
    assert "The 5 most active of 14 latents" in figure.get_supxlabel()
    assert "most active" not in viz.marginals(Z[:, :2], [0, 1]).get_supxlabel()


def test_each_panel_has_its_numbers():
    figure = viz.marginals(Z, [5, 3])
    deviations = viz.deviation_from_prior(Z)
    for axes, dim in zip(panels(figure), [5, 3], strict=True):
        row = deviations[dim]
        (text,) = axes.texts
        assert text.get_text() == f"KS {row.ks:.3f}\nmean {row.mean:.2f}\nvar. {row.variance:.2f}"


def test_bars_are_a_density_and_the_line_is_the_priors():
    z = np.concatenate([Z[:, :1], [[50.0]]])
    (axes,) = panels(viz.marginals(z, [0]))
    (bars,) = [patch for patch in axes.patches if isinstance(patch, StepPatch)]
    density, edges, _ = bars.get_data()
    inside = ((z >= edges[0]) & (z <= edges[-1])).mean()
    assert inside < 1
    assert (density * np.diff(edges)).sum() == pytest.approx(inside)
    assert axes.get_xlim() == (edges[0], edges[-1])
    x, y = axes.lines[0].get_data()
    assert np.allclose(y, stats.norm.pdf(x))


@pytest.mark.parametrize("dims", [[], list(range(13))])
def test_no_latents_or_too_many_are_refused(dims):
    with pytest.raises(ValueError, match="give 1 to 12"):
        viz.marginals(Z, dims)
