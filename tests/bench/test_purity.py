import pytest
import torch

from tests.bench.toys import subject
from vae_fn.bench import own
from vae_fn.bench.purity import check_step
from vae_fn.errors import UserError

STEPS = {
    r"must return \(state, info\)": lambda state, x: state + x,
    "a state like the one it is given": lambda state, x: (torch.cat([state, x]), x),
    "writes to its arguments": lambda state, x: (state.add_(x).clone(), x),
    "draws from torch's global generator": lambda state, x: (state + torch.randn(2), x),
}


def test_a_pure_step_passes():
    check_step(subject(), "it")


@pytest.mark.parametrize("message", STEPS)
def test_what_is_no_pure_step_is_refused(message):
    with torch.random.fork_rng(), pytest.raises(UserError, match=message):
        check_step(own(STEPS[message], torch.ones(2), torch.ones(2)), "it")
