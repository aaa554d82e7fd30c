"""What is no function of parameters and input is refused, with the layer's name and the alternative."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.models.toys import built
from vae_fn import random
from vae_fn.models import network
from vae_fn.models.refusals import ImpureModuleError

LINEAR = nn.Linear(3, 3)


def refusal(module, shape):
    with pytest.raises(ImpureModuleError) as caught:
        network(module, shape)
    return str(caught.value)


NORMS = {
    "BatchNorm1d": (nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)), "1", (3,)),
    "BatchNorm2d": (nn.Sequential(nn.Sequential(nn.Conv2d(1, 2, 2), nn.BatchNorm2d(2))), "0.1", (1, 4, 4)),
    "InstanceNorm1d": (nn.Sequential(nn.InstanceNorm1d(2, track_running_stats=True)), "0", (2, 4)),
}


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("kind", NORMS)
def test_norms_that_mix_examples_or_remember(kind, training):
    module, layer, shape = NORMS[kind]
    message = refusal(module.train(training), shape)
    assert f"layer '{layer}' ({kind})" in message
    assert "use LayerNorm or GroupNorm" in message


def test_batchnorm_without_buffers_is_refused_and_instance_norm_is_not():
    assert "layer 'the module' (BatchNorm1d)" in refusal(nn.BatchNorm1d(3, track_running_stats=False), (3,))
    network(nn.InstanceNorm1d(3), (3, 4))


@pytest.mark.parametrize("kind", [nn.Dropout, nn.Dropout2d, nn.AlphaDropout, nn.FeatureAlphaDropout])
def test_dropout_is_refused_in_training_mode(kind):
    module = nn.Sequential(built(lambda: nn.Conv2d(1, 2, 1)), kind(0.5))
    message = refusal(module, (1, 2, 2))
    assert f"layer '1' ({kind.__name__}) draws random numbers" in message
    assert "call .eval()" in message
    network(module.eval(), (1, 2, 2))
    network(nn.Sequential(kind(0.0)), (1, 2, 2))


class Block(nn.Module):
    """A module around a function, with a buffer."""

    def __init__(self, forward, **buffers):
        super().__init__()
        self.function = forward
        for name, value in buffers.items():
            self.register_buffer(name, value)

    def forward(self, x):
        return self.function(self, x)


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8, torch.bool])
def test_integer_buffers(dtype):
    module = nn.Sequential(LINEAR, Block(lambda self, x: x, steps=torch.zeros(2, dtype=dtype)))
    message = refusal(module, (3,))
    assert f"buffer '1.steps' is {dtype}" in message
    assert "compute it in forward or drop it" in message


def in_place(self, x):
    self.mean.mul_(0.9).add_(0.1 * x.mean(0))
    return x - self.mean


def reassigned(self, x):
    self.mean = 0.9 * self.mean + 0.1 * x.mean(0)
    return x - self.mean


@pytest.mark.parametrize("forward", [in_place, reassigned])
def test_buffers_that_change(forward):
    message = refusal(nn.Sequential(LINEAR, Block(forward, mean=torch.zeros(3))), (3,))
    assert "buffer '1.mean' changes in forward" in message
    assert "as an input, or as state" in message


def test_a_buffer_made_in_forward():
    def forward(self, x):
        self.register_buffer("late", torch.zeros(3, device=x.device))
        return x

    assert "buffer 'late' changes in forward" in refusal(Block(forward), (3,))


RANDOM = {
    "randn": lambda self, x: x + torch.randn(x.shape[-1], device=x.device),
    "randn_like": lambda self, x: x + torch.randn_like(x),
    "bernoulli": lambda self, x: torch.bernoulli(torch.sigmoid(x)),
    "rand": lambda self, x: x * (torch.rand(3) > 0.5).to(x),
    "normal_": lambda self, x: x + torch.empty_like(x).normal_(),
    "randperm": lambda self, x: x[..., torch.randperm(3)],
    "dropout": lambda self, x: F.dropout(x),
    "rrelu": lambda self, x: F.rrelu(x, training=True),
}


@pytest.mark.parametrize("name", RANDOM)
def test_random_numbers_in_forward(name):
    message = refusal(nn.Sequential(LINEAR, nn.Sequential(Block(RANDOM[name]))), (3,))
    assert "layer '1.0' draws random numbers" in message
    assert "draw noise from a key and pass it as an input" in message


class Noisy(nn.Module):
    """Draws after its layer has run: the layer is not to blame."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Sequential(LINEAR)

    def forward(self, x):
        return self.layer(x) + torch.randn_like(x)


def test_the_innermost_layer_still_running_is_named():
    assert "layer '1' draws random numbers" in refusal(nn.Sequential(LINEAR, Noisy()), (3,))
    assert "layer 'the module' draws random numbers" in refusal(Noisy(), (3,))


def test_hooks_leave_nothing_behind():
    module = Block(lambda self, x: 2 * x)
    net = network(nn.Sequential(module), (3,))
    assert torch.equal(net.apply(net.init(random.key(0)), torch.ones(3)), torch.full((3,), 2.0))


def test_wrong_input_size():
    message = refusal(nn.Sequential(built(lambda: nn.Linear(4, 4)), nn.Sequential(nn.SiLU(), LINEAR)), (4,))
    assert "cannot be run on a batch of inputs of shape (4,)" in message
    assert "at '1.1'" in message
    assert "shape (5,)" in refusal(nn.Sequential(nn.Unflatten(-1, (2, 2))), (5,))


def test_buffers_without_a_value():
    with torch.device("meta"):
        module = nn.Sequential(Block(lambda self, x: x * self.gain, gain=torch.ones(3)))
    message = refusal(module, (3,))
    assert "buffer '0.gain' is on the meta device" in message
    assert "build the module on the CPU" in message
