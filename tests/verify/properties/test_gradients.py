"""Derivatives: right ones, wrong ones by little, and points where there is none."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.models.toys import small_vae
from tests.verify.properties.functions import AWKWARD, normals
from vae_fn import random, verify
from vae_fn.models import objectives
from vae_fn.verify.properties.differences import slope

X = torch.tensor([0.3, -1.2, 2.0, 0.7])


@pytest.mark.parametrize("name", AWKWARD)
def test_right_functions_pass(name):
    fn, args = AWKWARD[name]
    verdict = verify.gradients(fn, *args).check()
    assert 0 <= verdict.gap <= verdict.resolvable


SMOOTH = {
    "curved": lambda x: torch.sin(1000 * x),
    "steep": lambda x: torch.exp(50 * x),
    "constant": lambda x: torch.ones(3, dtype=x.dtype),
    "flat": lambda x: (x > 0.5).to(x.dtype),
    "logarithms": lambda x: torch.log(x.abs()) + torch.log1p(x.sigmoid().neg()),
    "a square root": lambda x: x.abs().sqrt(),
    "rounded": lambda x: (x + 1e8) - 1e8,
    "scales apart": lambda x: {"large": 1e9 * x, "small": 1e-9 * x.sin()},
}


@pytest.mark.parametrize("name", SMOOTH)
def test_hard_but_smooth_functions_pass(name):
    verify.gradients(SMOOTH[name], X).check()


@pytest.mark.parametrize("objective", [objectives.elbo, objectives.iwae])
def test_an_objective_in_all_its_arguments(objective):
    vae = small_vae()
    args = vae.init(random.key(0)), (normals(1, 4, 3) > 0).float(), normals(2, 5, 4, 2)
    verify.gradients(lambda params, x, noise: objective(vae, params, x, noise), *args).check()


@given(
    st.integers(0, 2**32),
    st.sampled_from([1, 3, 30]),
    st.sampled_from([torch.relu, torch.abs, torch.nn.functional.hardtanh]),
)
def test_kinks_near_the_point_are_no_faults(seed, width, kinked):
    """A network of many kinks, some of which are always near."""
    x, weight, other = normals(seed, 4, width), normals(seed + 1, width, 40), normals(seed + 2, 40, 2)
    assert verify.gradients(lambda x, w: kinked(kinked(x @ w) @ other.double()), x, weight).status != "rejected"


@given(st.integers(0, 2**32))
def test_a_fault_is_seen_beside_kinks(seed):
    x, weight = normals(seed, 8, 3), normals(seed + 1, 3, 60).double()
    wrong = verify.gradients(lambda x: torch.relu(x @ weight) * (1 + 1e-3 * (x - x.detach()).sum()), x)
    assert wrong.status == "rejected"


def test_kinks_at_the_point():
    """A derivative of either side passes, one between the sides is not judged, one outside is rejected."""
    zero = torch.zeros(1)
    assert verify.gradients(torch.relu, zero).passed
    between = verify.gradients(lambda x: torch.relu(x) + 0.3 * (x - x.detach()), zero)
    assert between.status == "inconclusive"
    assert "a kink" in between.detail
    outside = verify.gradients(lambda x: torch.relu(x) + (x - x.detach()) * 2, zero)
    assert outside.status == "rejected"


def test_jumps_and_edges_are_not_judged():
    for fn, at in [(lambda x: (x > 0.5) * x, 0.5), (torch.sqrt, 0.0), (lambda x: x.float().sin().double(), 0.3)]:
        assert verify.gradients(fn, torch.tensor([at, 1.0])).status == "inconclusive"


@pytest.mark.parametrize("size", [1e-2, 1e-4, 1e-6])
def test_small_faults_are_seen_in_one_number_of_many(size):
    def function(x):
        factor = torch.zeros(30, dtype=x.dtype).index_fill(0, torch.tensor([17]), size)
        return (x.sin() + factor * (x - x.detach())).sum()

    verdict = verify.gradients(function, normals(0, 30))
    assert verdict.status == "rejected"
    assert verdict.gap == pytest.approx(size, rel=2)


class Halved(torch.autograd.Function):
    """A backward of half the slope, which forward mode knows nothing of."""

    generate_vmap_rule = True
    forward = staticmethod(lambda x: x.clone())
    setup_context = staticmethod(lambda ctx, inputs, output: None)
    backward = staticmethod(lambda ctx, slope: slope / 2)


class OneWay(Halved):
    """The same with the right slope in forward mode."""

    jvp = staticmethod(lambda ctx, step: step.clone())


def test_reverse_mode_is_held_against_forward_mode_or_differences():
    assert "by reverse mode" in verify.gradients(Halved.apply, X).detail
    verdict = verify.gradients(OneWay.apply, X)
    assert verdict.status == "rejected"
    assert "by forward mode" in verdict.detail


def test_the_guilty_argument_is_named():
    verdict = verify.gradients(lambda a, b: a["w"].sin() * b.detach(), {"w": X}, X)
    assert "along b" in verdict.detail
    assert verdict.coordinate.startswith("value[")


def test_not_a_number_behind_where():
    def function(x):
        return torch.where(x > 0, x.sqrt(), 0)

    assert verify.gradients(function, X).status == "rejected"
    assert verify.gradients(function, X.abs()).passed


def test_nothing_to_differentiate():
    with pytest.raises(ValueError, match="nothing to differentiate"):
        verify.gradients(torch.neg, torch.arange(3))


@given(st.floats(-2, 2), st.sampled_from([1e-3, 1.0, 30.0]))
def test_errors_of_differences_are_honest(t, rate):
    """Against closed forms, of slow and fast functions."""

    def line(step):
        u = rate * torch.tensor(t + step, dtype=torch.float64)
        return torch.stack([u.sin(), u.exp(), 1 / (1 + u**2), u**3])

    u = rate * torch.tensor(t, dtype=torch.float64)
    exact = rate * torch.stack([u.cos(), u.exp(), -2 * u / (1 + u**2) ** 2, 3 * u**2])
    found = slope(line)
    assert ((found.value[0] - exact).abs() <= found.error[0]).all()
    assert (found.error[0] <= 1e-5 * (1 + exact.abs())).all()


@pytest.mark.parametrize("fn", [lambda x: x > 0, lambda x: None])
def test_a_result_without_numbers_is_refused(fn):
    with pytest.raises(ValueError, match="no floating-point numbers"):
        verify.gradients(fn, torch.ones(2))


def test_both_parts_of_a_complex_result_have_gradients():
    x = torch.tensor([0.3, -1.2])
    assert verify.gradients(lambda x: torch.polar(torch.ones_like(x), x), x).passed
    assert verify.gradients(lambda x: torch.complex(x, x * x.detach()), x).coordinate == "value[1, 1]"
