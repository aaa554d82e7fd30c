"""Four ways of one function; what is compiled here goes through Dynamo alone, but for one example."""

import re

import pytest
import torch

from tests.models.toys import small_vae
from tests.verify.properties.functions import AWKWARD, normals
from vae_fn import random, verify
from vae_fn.models import objectives
from vae_fn.verify.properties.arguments import arguments
from vae_fn.verify.properties.conditioning import reference


def parity(fn, *args, **settings):
    return verify.parity(fn, *args, **{"backend": "eager", **settings})


@pytest.mark.parametrize("name", AWKWARD)
def test_right_functions_pass(name, fresh_compiler):
    fn, args = AWKWARD[name]
    verdict = parity(fn, *args).check()
    assert (verdict.claim, verdict.tier) == ("parity", "deterministic")
    assert 0 <= verdict.gap <= verdict.resolvable


@pytest.mark.parametrize("objective", [objectives.elbo, objectives.iwae])
def test_an_objective_and_its_gradient(objective, fresh_compiler):
    """Noise has its batch behind the samples; parameters have none."""
    vae = small_vae()
    params, x, noise = vae.init(random.key(0)), (normals(1, 4, 3) > 0).float(), normals(2, 5, 4, 2)

    def both(params, x, noise):
        def total(params):
            terms = objective(vae, params, x, noise)
            return terms.objective.sum(), terms

        return torch.func.grad(total, has_aux=True)(params)

    parity(both, params, x, noise, in_dims=(None, 0, 1)).check()


def test_inductor_too(fresh_compiler):
    x = normals(0, 64)
    assert verify.parity(lambda x: torch.logsumexp(3 * x, -1) + torch.nn.functional.softplus(x), x).check().passed


def test_conditioning_excuses_and_cancellation_does_not(fresh_compiler):
    """tan near its pole is as badly conditioned as it can be; log(1 + x) loses what log1p keeps."""
    pole = torch.tensor([1.5707])
    assert parity(torch.tan, pole).passed
    assert parity(lambda x: torch.tan(x) * (1 + 1e-4), pole).passed, "the same factor in float64"
    assert not parity(lambda x: torch.log(1 + x), torch.tensor([1e-4])).passed


def test_what_one_rounding_of_the_argument_does_is_known():
    x = torch.tensor([3.0])
    value, attainable = reference(lambda x: 1e3 * x, arguments(torch.sin, (x,)), "test")
    assert value == 3e3
    ulp = 2.0**-22
    torch.testing.assert_close(attainable, torch.tensor([1e3 * ulp + 3e3 * 2.0**-23], dtype=torch.float64))


@pytest.mark.parametrize("bits", [6.0, 20.0])
def test_excess_bits_are_measured_and_asked_for(bits, fresh_compiler):
    """1 - cos x at 1e-3 loses log2(1e6) = 20 bits, less the few that the rounding of one number may happen to leave."""
    verdict = parity(lambda x: (1 - x.cos()) / x**2, torch.tensor([1e-3, 1.3e-3]), excess_bits=bits)
    assert verdict.passed == (bits == 20.0)
    excess = float(verdict.detail.split("eager ")[-1].split(",")[0])
    assert 14 < excess < 20


def sorted_by_value(x):
    return x if x.sum() > 0 else -x


@pytest.mark.parametrize(
    ("fn", "way"),
    [
        (sorted_by_value, "cannot be compiled: .*Data-dependent"),
        (lambda x: x * x.sum().item(), r"cannot be vmapped: .*item.* \(.*test_parity\.py, line \d+\)$"),
        (lambda x: x.double() if torch.compiler.is_compiling() else x, "compiled: the result is .*float64"),
        (lambda x: x * (1.0 - 1e-4 * torch.compiler.is_compiling()), "^compiled: .* where .* is expected, at value"),
    ],
)
def test_what_is_wrong_is_said(fn, way, fresh_compiler):
    verdict = parity(fn, normals(0, 3))
    assert verdict.status == "rejected"
    with pytest.raises(verify.Rejected, match="parity of "):
        verdict.check()

    assert re.search(way, verdict.detail), verdict.detail


@pytest.mark.parametrize(
    "fn", [lambda x: x.float().sin(), lambda x: x @ torch.ones(3, 3)], ids=["narrowed", "a constant of one dtype"]
)
def test_without_float64_nothing_is_said(fn, fresh_compiler):
    verdict = parity(fn, normals(0, 3))
    assert verdict.status == "inconclusive"
    assert "float64" in verdict.detail


def test_dimensions(fresh_compiler):
    x, y = normals(0, 3), normals(1, 3)
    assert "vmapped" not in parity(torch.mul, x, y, in_dims=None).detail
    assert parity(torch.mul, x, y, in_dims=(1, None)).check().passed
    with pytest.raises(ValueError, match="3 batch dimensions are given for 2 parts"):
        parity(torch.mul, x, y, in_dims=(0, 0, 0))


def test_at_a_jump_and_at_what_is_not_a_number_nothing_is_claimed(fresh_compiler):
    for fn, x in ((torch.round, [0.5, 0.2]), (lambda x: (x - 0.3).sign(), [0.3]), (torch.log, [-1.0, 1.0])):
        assert parity(fn, torch.tensor(x)).status == "inconclusive"
    assert parity(torch.round, torch.tensor([0.4, 1.6])).passed


def test_an_imaginary_part_counts(fresh_compiler):
    x, wrong = torch.tensor([0.3, 2.0]), 1.5
    found = parity(lambda x: torch.complex(x, x * (wrong if torch.compiler.is_compiling() else 1)), x)
    assert (found.status, found.coordinate) == ("rejected", "value[1, 1]")
