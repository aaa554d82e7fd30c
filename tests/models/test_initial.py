"""Initial parameters follow the default laws of torch.nn, each from noise of its own."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tests.models.toys import built
from vae_fn import random
from vae_fn.models import mlp
from vae_fn.models.initial import UnknownLayerError, constant, initial_parameters, uniform_fan_in
from vae_fn.verify import Rejected, law, seeded

EMBEDDING = nn.Embedding(1000, 200)
UNIFORM = {
    "linear": (nn.Linear(48, 300), 48),
    "convolution": (nn.Conv2d(6, 300, (3, 2)), 6 * 6),
    "grouped": (nn.Conv2d(8, 300, 3, groups=4), 2 * 9),
    "line": (nn.Conv1d(5, 300, 7), 5 * 7),
    # Torch's convention for a transposed convolution counts its *output* channels.
    "transposed": (nn.ConvTranspose2d(5, 300, 3), 300 * 9),
    "transposed, grouped": (nn.ConvTranspose2d(8, 300, 3, groups=2), 150 * 9),
}


def values_of(make, size):
    """Draws of the numbers of a parameter, of which `make(key)` gives `size` at a time."""
    return lambda key, n: torch.cat([make(one).flatten() for one in random.split(key, -(-n // size))])[:n]


def check_uniform(draw, bound, name, resolve=0.01):
    def cdf(x):
        assert x.abs().max() < bound
        return (x + bound) / (2 * bound)

    law(draw, cdf, name=name, resolve=resolve).check()


def torch_s_own(layer, parameter):
    """The numbers of a parameter that torch initialises, from its global generator."""
    size = layer.get_parameter(parameter).numel()

    def draw(n):
        values = []
        for _ in range(-(-n // size)):
            layer.reset_parameters()
            values.append(layer.get_parameter(parameter).detach().flatten().clone())
        return torch.cat(values)[:n]

    return seeded(draw)


@pytest.mark.parametrize("name", UNIFORM)
@pytest.mark.parametrize("parameter", ["weight", "bias"])
def test_uniform_by_fan_in(name, parameter):
    layer, fan_in = UNIFORM[name]
    bound, init, size = 1 / math.sqrt(fan_in), initial_parameters(layer), layer.get_parameter(parameter).numel()
    resolve = 0.01 if size > 4000 else 0.03
    ours = values_of(lambda key: init(key)[parameter], size)
    check_uniform(ours, bound, f"{parameter} of {name}", resolve)
    check_uniform(torch_s_own(layer, parameter), bound, f"torch's {parameter} of {name}", resolve)


@pytest.mark.parametrize("wrong", [math.sqrt(3), math.sqrt(6), 1.05], ids=["kaiming a=0", "he", "5 percent"])
def test_other_bounds_are_rejected(wrong):
    draw = values_of(lambda key: uniform_fan_in(48)(key, (300, 48)), 300 * 48)
    check_uniform(draw, 48**-0.5, "uniform by fan-in")
    with pytest.raises(Rejected):
        law(lambda key, n: wrong * draw(key, n), lambda x: (x * 48**0.5 / 2 + 0.5).clamp(0, 1), name=str(wrong)).check()


def test_fan_in_of_the_wrong_side_is_rejected():
    bound = (300 * 9) ** -0.5
    draw = values_of(lambda key: uniform_fan_in(5 * 9)(key, (5, 300, 3, 3)), 5 * 300 * 9)
    with pytest.raises(Rejected):
        law(draw, lambda x: (x / bound / 2 + 0.5).clamp(0, 1), name="fan-in of the wrong side").check()


@pytest.mark.parametrize(
    "layer",
    [nn.LayerNorm((2, 3)), nn.GroupNorm(2, 4), nn.RMSNorm(3), nn.InstanceNorm2d(3, affine=True), nn.PReLU(3)],
    ids=lambda layer: type(layer).__name__,
)
def test_constants_are_torch_s(layer):
    drawn = initial_parameters(layer)(random.key(0))
    assert drawn.keys() == dict(layer.named_parameters()).keys()
    for name, parameter in layer.named_parameters():
        assert torch.equal(drawn[name], parameter)


def test_embedding_is_standard_normal():
    init = initial_parameters(EMBEDDING)
    draw = values_of(lambda key: init(key)["weight"], EMBEDDING.weight.numel())
    law(draw, torch.special.ndtr, name="embedding").check()
    with pytest.raises(Rejected):
        law(lambda key, n: 1.05 * draw(key, n), torch.special.ndtr, name="embedding, 5 percent").check()


@given(seed=st.integers(0, 2**64 - 1))
def test_same_key_same_bits(seed):
    init = initial_parameters(mlp([3, 5, 2]))
    first, again = init(random.key(seed)), init(random.key(seed))
    other = init(random.key(seed ^ 1))
    assert list(first) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    for name, value in first.items():
        assert value.dtype == torch.float32
        assert torch.equal(value, again[name])
        assert not torch.equal(value, other[name])


class Twins(nn.Module):
    """Many parameters of one shape: what would coincide if they shared noise."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(16, 16) for _ in range(4)] + [nn.Embedding(16, 16)])


def check_own_noise(parameters):
    """The ranks of two parameters that share noise agree; those of independent ones agree at about one place."""
    for one, other in itertools.combinations(parameters.values(), 2):
        size = min(one.numel(), other.numel())
        agree = one.flatten()[:size].argsort() == other.flatten()[:size].argsort()
        assert agree.double().sum() < 12


def test_no_two_parameters_share_noise():
    check_own_noise(initial_parameters(built(Twins))(random.key(3)))


def test_shared_noise_is_rejected():
    shared = {name: uniform_fan_in(16)(random.key(3), tuple(p.shape)) for name, p in built(Twins).named_parameters()}
    with pytest.raises(AssertionError):
        check_own_noise(shared)


class Scaled(nn.Linear):
    def __init__(self):
        super().__init__(2, 2)
        self.gain = nn.Parameter(torch.ones(2))


@pytest.mark.parametrize(
    ("module", "path", "kind"),
    [
        (nn.Sequential(nn.Linear(2, 2), nn.Bilinear(2, 2, 2)), "1.weight", "Bilinear"),
        (nn.Sequential(Scaled()), "0.gain", "Scaled"),
        (nn.Embedding(3, 2, padding_idx=0), "weight", "Embedding"),
        (nn.GRU(2, 2), "weight_ih_l0", "GRU"),
    ],
)
def test_unknown_laws_are_named(module, path, kind):
    with pytest.raises(UnknownLayerError, match=rf"parameter '{path}' of {kind}.*Network\(init, apply\)"):
        initial_parameters(module)


def test_constant_follows_the_key_s_device():
    assert constant(2.0)(random.key(0, device="meta"), (3,)).device.type == "meta"
