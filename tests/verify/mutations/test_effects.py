import torch

from vae_fn.verify.mutations.effects import effects

X = torch.tensor([1.0, 2.0])


def same(one, other):
    return all(map(torch.equal, effects(one, (X,))[1], effects(other, (X,))[1]))


def test_a_result_tells_functions_apart():
    assert same(lambda x: x + x, lambda x: 2 * x)
    assert not same(lambda x: x + x, lambda x: 3 * x)


def test_so_do_effects():
    assert not same(lambda x: 2 * x, lambda x: x.mul_(2) * 1)
    assert not same(lambda x: x * 1, lambda x: x)
    assert not same(lambda x: 2 * x, lambda x: 2 * x + 0 * torch.rand(2))
    assert torch.equal(X, torch.tensor([1.0, 2.0]))
