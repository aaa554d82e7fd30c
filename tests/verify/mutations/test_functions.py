import pytest
import torch

from vae_fn import verify
from vae_fn.verify.mutations.functions import mutations

X, W = torch.linspace(-1, 1, 4).reshape(2, 2), torch.tensor([0.5, -2.0])


def product(x, w):
    return torch.sin(x) * w


def test_the_checks_of_a_function_kill_its_mutants(fresh_compiler):
    example = verify.Example((X, W), domains={}, batched=(0, None))
    found = verify.mutate(product, example)
    assert found.survived == found.equivalent == ()
    assert len(found.killed) >= 9


def test_without_a_promise_some_survive(fresh_compiler):
    found = verify.mutate(product, (X, W), name="product")
    assert found.survived == ("gradient: lost at zero",)


def test_only_what_fits_is_made():
    made = {name for name, _ in mutations(lambda i: 2 * i, verify.Example((torch.arange(3),)))}
    assert made == {"global generator: drawn from", "state: counts its calls", "result: a view of an argument"}


def test_a_mutant_keeps_the_names_of_the_arguments():
    named = dict(mutations(product, verify.Example((X, W))))
    assert "gradient: w cut" in named
    report = verify.finite(named["gradient: w cut"], X, W, domains={"w": (-1.0, 1.0)})
    assert report.passed


def test_a_function_that_does_not_pass_is_not_mutated():
    with pytest.raises(ValueError, match="does not pass its own checks"):
        verify.mutate(lambda x: x, (X,), name="identity")
