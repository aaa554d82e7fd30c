import pytest
import torch

from vae_fn import verify
from vae_fn.verify.mutations.by_kind import fates_of
from vae_fn.verify.subjects import Example, Subject


def test_a_step(fresh_compiler):
    def step(state, x):
        return {"w": state["w"] - 0.1 * (state["w"] - x)}, (state["w"] - x).square().sum()

    subject = Subject("step", "step", step, Example(({"w": torch.ones(2)}, torch.zeros(2))))
    found = dict(fates_of(subject))
    assert set(found.values()) == {"killed"}
    assert len(found) == 4


def test_what_has_no_battery():
    with pytest.raises(TypeError, match="give an estimator, a distribution"):
        verify.mutate(3)
