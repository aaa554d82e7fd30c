"""Adaptive panels against closed forms: kinks, jumps, poles, tails and separate masses, wherever they are."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vae_fn.verify.distributions.panels import NotIntegratedError, adapt, edges_around, find_peak

PLACES = st.sampled_from([0.0, 0.3, -7.0, 1e3])
WIDTHS = st.sampled_from([1e-4, 0.1, 1.0, 30.0])

SHAPES = {
    "normal": (lambda e: -0.5 * e**2 - 0.5 * math.log(2 * math.pi), 1.0),
    "kink": (lambda e: -e.abs() - math.log(2), 2.0),
    "jumps": (lambda e: torch.where(e.abs() < 0.5, 0 * e, -torch.inf), 1 / 12),
    "pole": (
        lambda e: torch.where((e > 0) & (e < 1), -0.5 * e.clamp(min=1e-300).log() - math.log(2), -torch.inf),
        None,
    ),
    "heavy tails": (lambda e: -2 * torch.log1p(e**2) + math.log(2 / math.pi), 1.0),
}


def integrate(log_density, start, unit, extra=()):
    start = torch.tensor([[start], *([x] for x in extra)], dtype=torch.float64)
    peak = find_peak(log_density, start, torch.tensor([unit], dtype=torch.float64))
    return adapt(lambda x: log_density(x).exp().unsqueeze(-1), edges_around(log_density, peak, start))


@pytest.mark.parametrize("shape", SHAPES)
@given(place=PLACES, width=WIDTHS, off=st.sampled_from([0.0, 0.2, -3.0]))
def test_mass_and_variance(shape, place, width, off):
    standard, variance = SHAPES[shape]

    def log_density(x):
        return standard((x - place) / width) - math.log(width)

    start = place + off * width if variance is None or shape != "jumps" else place + 0.1 * off * width
    start = place + 0.4 * width if shape == "pole" else start
    rule = integrate(log_density, start, 3 * width)
    mass = rule.weights * log_density(rule.nodes).exp()
    blur = 1e-14 * abs(place) / width
    blur = math.sqrt(blur) if shape == "pole" else blur
    assert mass.sum().item() == pytest.approx(1, abs=1e-9 + blur)
    if variance is not None:
        moment = (mass * ((rule.nodes - place) / width) ** 2).sum().item()
        assert moment == pytest.approx(variance, rel=1e-5 if shape == "heavy tails" else 1e-9 + 100 * blur)


def test_separate_masses_are_found_at_the_points_that_are_given():
    def log_density(x):
        return torch.logaddexp(-0.5 * x**2 + math.log(0.3), -0.5 * ((x - 50) / 0.01) ** 2 + math.log(0.7 / 0.01))

    def mass(*points):
        rule = integrate(log_density, 0.5, 1.0, points)
        return (rule.weights * log_density(rule.nodes).exp()).sum().item() / math.sqrt(2 * math.pi)

    assert mass(50.003) == pytest.approx(1, abs=1e-12)
    assert mass() == pytest.approx(0.3, abs=1e-6)


def test_lines_have_panels_of_their_own():
    places, widths = torch.tensor([0.0, 5.0, -3.0]).double(), torch.tensor([1.0, 1e-3, 40.0]).double()

    def log_density(x):
        return -((x - places) / widths).abs() - (2 * widths).log()

    peak = find_peak(log_density, places.unsqueeze(0) + 0.1, widths)
    rule = adapt(lambda x: log_density(x).exp().unsqueeze(-1), edges_around(log_density, peak, places.unsqueeze(0)))
    mass = (rule.weights * log_density(rule.nodes).exp()).sum(0)
    torch.testing.assert_close(mass, torch.ones(3).double(), rtol=0, atol=1e-12)


def test_a_panel_ends_at_every_cut():
    cuts = torch.tensor([[-0.37], [1.234]]).double()
    edges = torch.linspace(-8, 8, 9).double().unsqueeze(-1)
    rule = adapt(lambda x: torch.exp(-0.5 * x**2).unsqueeze(-1) / math.sqrt(2 * math.pi), edges, cuts)
    mass = rule.weights * torch.exp(-0.5 * rule.nodes**2) / math.sqrt(2 * math.pi)
    below = ((rule.nodes <= cuts.unsqueeze(1)) * mass).sum(1)
    torch.testing.assert_close(below, torch.special.ndtr(cuts), rtol=0, atol=1e-12)


def test_what_is_too_rough_is_refused():
    edges = torch.tensor([[0.0], [1.0]]).double()
    with pytest.raises(NotIntegratedError):
        adapt(lambda x: torch.sin(1e6 * x).unsqueeze(-1).sign(), edges)
