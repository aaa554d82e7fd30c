"""Where memory is wanting a check raises what torch says: the code is not to blame, so there is no verdict on it."""

import pytest
import torch

from tests.verify.properties.functions import normals
from vae_fn import training, tree, verify
from vae_fn.distributions import Normal
from vae_fn.gradients.estimators import pathwise
from vae_fn.verify.batteries.steps import donated
from vae_fn.verify.estimators.battery import battery, never_runs
from vae_fn.verify.estimators.contract import misshapen

MORE_THAN_THERE_IS = 1 << 50
X = normals(0, 4, 3)
RIGHT = training.adam(1e-3)


def greedy(x):
    return x + torch.zeros(MORE_THAN_THERE_IS).sum()


def greedy_where(condition):
    return lambda x: greedy(x) if condition(x) else x.sin()


def in_float64(x):
    return x.dtype == torch.float64


def in_halves(x):
    return len(x) == 2


def differentiated(x):
    return x.requires_grad


def compiled(x):
    return torch.compiler.is_compiling()


def step(state, x):
    return {"w": greedy_where(compiled)(state["w"]) + x.sum()}, {"x": x.sum()}


def estimate(problem, params, noise, state):
    greedy(noise)


def update(grads, state, params):
    if any(leaf.dtype == torch.bfloat16 for leaf in tree.leaves(params)):
        greedy(torch.ones(1))
    return RIGHT.update(grads, state, params)


class Wide(Normal):
    """It has no room for samples of two dimensions."""

    def sample(self, noise):
        return greedy(noise) if noise.shape[:2] == (2, 3) else super().sample(noise)


WIDE = Wide(torch.zeros(4), torch.ones(4))


CHECKS = {
    "parity, the reference": lambda: verify.parity(greedy_where(in_float64), X),
    "parity, compiled": lambda: verify.parity(greedy_where(compiled), X, backend="eager"),
    "additive": lambda: verify.additive(greedy_where(in_halves), X, reduction="none"),
    "finite": lambda: verify.finite(greedy_where(differentiated), X),
    "no_recompile": lambda: verify.no_recompile(greedy, [(X,), (X,)]),
    "donated": lambda: donated(step, {"w": torch.ones(2)}, (torch.ones(2),), "greedy", backend="eager"),
    "an optimizer": lambda: verify.optimizer(RIGHT._replace(update=update)),
    "a distribution": lambda: verify.distribution(WIDE),
    "an estimator that never runs": lambda: [*never_runs(pathwise()._replace(estimate=estimate))],
    "the shapes of an estimator": lambda: [*misshapen(pathwise()._replace(estimate=estimate), battery())],
}


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_it_is_no_verdict(check, fresh_compiler):
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        check()
