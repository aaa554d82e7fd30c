"""A module as a pure function: the same values, any batch shape, constants and ties kept, the module untouched."""

import copy
import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call

from tests.models.toys import built, normals
from vae_fn import random, tree
from vae_fn.models import mlp, network
from vae_fn.models.networks import on_meta

BATCH = st.sampled_from([(), (1,), (4,), (2, 3), (2, 1, 2)])
SEED = st.integers(0, 2**31)


def convolutional():
    return nn.Sequential(nn.Unflatten(-1, (1, 4, 4)), nn.Conv2d(1, 2, 3), nn.SiLU(), nn.Flatten(), nn.Linear(8, 3))


MODULES = {
    "perceptron": (lambda: nn.Sequential(nn.Linear(5, 4), nn.SiLU(), nn.LayerNorm(4), nn.Linear(4, 3)), (5,)),
    "convolution": (convolutional, (16,)),
    "instance norm": (lambda: nn.Sequential(nn.Conv2d(2, 3, 2), nn.InstanceNorm2d(3, affine=True)), (2, 4, 3)),
    "dropout, off": (lambda: nn.Sequential(nn.Linear(5, 3), nn.Dropout()).eval(), (5,)),
}
BUILT = {name: (make(), network(make(), shape), shape) for name, (make, shape) in MODULES.items()}


@pytest.mark.parametrize("name", MODULES)
@given(batch=BATCH, seed=SEED)
def test_apply_is_the_module_at_every_batch_shape(name, batch, seed):
    module, net, shape = BUILT[name]
    params = tree.map(torch.Tensor.double, net.init(random.key(seed)))
    x = normals(seed, *batch, *shape)
    raw = net.apply(params, x)
    rows = functional_call(module, params, (x.reshape(-1, *shape),))
    torch.testing.assert_close(raw, rows.reshape(*batch, *rows.shape[1:]), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("name", ["perceptron", "convolution"])
def test_apply_takes_no_examples(name):
    _, net, shape = BUILT[name]
    assert net.apply(net.init(random.key(0)), torch.zeros(0, 2, *shape)).shape == (0, 2, 3)


def test_vmap_is_the_batch():
    _, net, shape = BUILT["convolution"]
    params, x = net.init(random.key(0)), normals(0, 6, *shape).float()
    torch.testing.assert_close(torch.vmap(net.apply, (None, 0))(params, x), net.apply(params, x))


class Standardised(nn.Module):
    """Data statistics as constant buffers, one of them not persistent."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 2)
        self.register_buffer("mean", torch.tensor([0.1, 0.2, 0.3]))
        self.register_buffer("scale", torch.tensor(4.0), persistent=False)

    def forward(self, x):
        return self.linear((x - self.mean) / self.scale)


@given(seed=SEED)
def test_float_buffers_are_constants(seed):
    module = built(Standardised)
    net = network(module, (3,))
    module.mean.zero_()
    params = tree.map(torch.Tensor.double, net.init(random.key(seed)))
    assert params.keys() == {"linear.weight", "linear.bias"}
    x = normals(seed, 4, 3)
    mean = torch.tensor([0.1, 0.2, 0.3]).double()
    expected = (x - mean) / 4 @ params["linear.weight"].T + params["linear.bias"]
    assert net.apply(params, x).dtype == torch.float64
    torch.testing.assert_close(net.apply(params, x), expected, rtol=1e-13, atol=1e-14)


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.down = nn.Linear(3, 3), nn.Linear(3, 3)
        self.down.weight = self.up.weight

    def forward(self, x):
        return self.down(torch.tanh(self.up(x)))


@given(seed=SEED)
def test_tied_weights_stay_tied(seed):
    net = network(built(Tied), (3,))
    params = net.init(random.key(seed))
    assert params.keys() == {"up.weight", "up.bias", "down.bias"}
    x = normals(seed, 2, 3).float()
    weight = params["up.weight"]
    expected = torch.tanh(x @ weight.T + params["up.bias"]) @ weight.T + params["down.bias"]
    torch.testing.assert_close(net.apply(params, x), expected)


@pytest.mark.parametrize("make", [convolutional, Standardised, Tied, lambda: nn.Dropout().eval()])
def test_the_module_is_not_changed(make):
    module = built(make)
    shape = (16,) if make is convolutional else (3,)
    before, hooks, training = copy.deepcopy(module.state_dict()), len(module._forward_pre_hooks), module.training
    identities = [id(leaf) for leaf in (*module.parameters(), *module.buffers())]
    net = network(module, shape)
    net.apply(net.init(random.key(0)), torch.ones(2, *shape))
    assert identities == [id(leaf) for leaf in (*module.parameters(), *module.buffers())]
    assert (hooks, training) == (len(module._forward_pre_hooks), module.training)
    assert all(layer.training == training for layer in module.modules())
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())


def test_the_template_holds_no_data():
    template = on_meta(built(lambda: nn.Sequential(Standardised(), Tied())))
    assert all(leaf.is_meta for leaf in (*template.parameters(), *template.buffers()))
    assert isinstance(template[1].up.weight, nn.Parameter)
    assert template[1].up.weight is template[1].down.weight


@given(widths=st.lists(st.integers(1, 6), min_size=2, max_size=5))
def test_mlp(widths):
    module = mlp(widths)
    linear = [layer for layer in module if isinstance(layer, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in linear] == [*itertools.pairwise(widths)]
    assert len(module) == 2 * len(linear) - 1
    assert all(isinstance(layer, nn.SiLU) for layer in module[1::2])
    assert all(parameter.is_meta for parameter in module.parameters())
