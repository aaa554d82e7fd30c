import torch

from vae_fn import training, verify
from vae_fn.verify.mutations.optimizers import mutations


def test_a_reference_kills_wrong_versions():
    found = verify.mutate(training.adam(1e-2), (lambda params: torch.optim.Adam(params, lr=1e-2),), name="adam")
    assert found.survived == found.undecided == found.equivalent == ()
    assert len(found.killed) == len(list(mutations(training.adam(1e-2)))) == 10


def test_without_one_the_rule_is_not_checked():
    found = verify.mutate(training.sgd(0.1), name="sgd")
    assert {"gradient: negated", "movement: none", "parameters: changed in place"} <= set(found.killed)
    assert {"learning rate: 1 % more", "gradient: 1 % more"} <= set(found.survived)
