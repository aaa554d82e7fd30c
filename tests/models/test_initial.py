"""Initial parameters follow the default laws of torch.nn, each from noise of its own.

The distribution checks use the Dvoretzky-Kiefer-Wolfowitz band, hence a false-alarm probability of at most ALPHA each.
"""

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

ALPHA = 1e-9
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


def check_uniform(values, bound):
    ordered = values.flatten().double().sort().values
    count = len(ordered)
    steps = torch.arange(count + 1, dtype=torch.float64) / count
    cdf = ((ordered + bound) / (2 * bound)).clamp(0, 1)
    distance = torch.maximum((steps[1:] - cdf).max(), (cdf - steps[:-1]).max())
    assert distance <= math.sqrt(math.log(2 / ALPHA) / (2 * count))
    assert ordered.abs().max() < bound


@pytest.mark.parametrize("name", UNIFORM)
@pytest.mark.parametrize("parameter", ["weight", "bias"])
def test_uniform_by_fan_in(name, parameter):
    layer, fan_in = UNIFORM[name]
    bound = 1 / math.sqrt(fan_in)
    init = initial_parameters(layer)
    drawn = torch.cat([init(key)[parameter].flatten() for key in random.split(random.key(11), 20)])
    check_uniform(drawn, bound)
    # Torch's own layers obey the same law; their draws are taken off the global generator's record.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = []
        for _ in range(20):
            layer.reset_parameters()
            layers.append(layer.get_parameter(parameter).detach().flatten().clone())
    check_uniform(torch.cat(layers), bound)


@pytest.mark.parametrize("wrong", [math.sqrt(3), math.sqrt(6), 1.05], ids=["kaiming a=0", "he", "5 percent"])
def test_other_bounds_are_rejected(wrong):
    drawn = wrong * uniform_fan_in(48)(random.key(0), (300, 48))
    with pytest.raises(AssertionError):
        check_uniform(drawn, 48**-0.5)


def test_fan_in_of_the_wrong_side_is_rejected():
    with pytest.raises(AssertionError):
        check_uniform(uniform_fan_in(5 * 9)(random.key(0), (5, 300, 3, 3)), (300 * 9) ** -0.5)


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
    drawn = initial_parameters(EMBEDDING)(random.key(5))["weight"]
    check_uniform(torch.special.ndtr(drawn.double()) * 2 - 1, 1.0)
    with pytest.raises(AssertionError):
        check_uniform(torch.special.ndtr(1.05 * drawn.double()) * 2 - 1, 1.0)


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
