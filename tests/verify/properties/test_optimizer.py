"""Optimizers against `torch.optim`, and what is promised without it."""

import pytest
import torch

from vae_fn import tree, verify
from vae_fn.optimization.schedules import warmup_cosine
from vae_fn.training import Optimizer, adam, adamw, sgd

PAIRS = {
    "adam": (adam(1e-3), lambda leaves: torch.optim.Adam(leaves, 1e-3)),
    "adam with other decays": (adam(0.1, 0.0, 0.5), lambda leaves: torch.optim.Adam(leaves, 0.1, (0.0, 0.5))),
    "adamw": (adamw(1e-2), lambda leaves: torch.optim.AdamW(leaves, 1e-2)),
    "sgd": (sgd(1.0), lambda leaves: torch.optim.SGD(leaves, 1.0)),
    "nesterov": (sgd(0.1, 0.9, True), lambda leaves: torch.optim.SGD(leaves, 0.1, 0.9, nesterov=True)),
}


@pytest.mark.parametrize(("ours", "theirs"), PAIRS.values(), ids=PAIRS.keys())
def test_ours_are_torchs(ours, theirs):
    report = verify.optimizer(ours, theirs).check()
    assert [verdict.claim for verdict in report.verdicts] == [
        "follows", "pure", "leaf by leaf", "dtypes", "descends", "advances",
    ]  # fmt: skip
    assert not any("reference" in sentence for sentence in report.not_covered)


def test_without_a_reference_its_lack_is_said():
    report = verify.optimizer(adam(1e-3)).check()
    assert "follows" not in {verdict.claim for verdict in report.verdicts}
    assert any("give a reference" in sentence for sentence in report.not_covered)


def test_a_warm_up_from_zero_descends():
    verify.optimizer(adamw(warmup_cosine(0.1, 5, 20))).check()


@pytest.mark.parametrize("factor", [1 + 1e-9, 1 - 1e-7, 1.01])
def test_small_differences_are_seen(factor):
    """Compared is the movement, by which a rate of 1e-3 changes parameters of size 1."""
    verdict = verify.optimizer(sgd(1e-3 * factor), lambda leaves: torch.optim.SGD(leaves, 1e-3)).verdicts[0]
    assert verdict.claim == "follows"
    assert verdict.status == "rejected"
    assert verdict.coordinate
    assert "updates" in verdict.detail


RIGHT = sgd(0.1, 0.9)


def changed(change):
    """The right optimizer, with `change(moved, state, params, grads)` in place of what an update returns."""
    return Optimizer(
        RIGHT.init, lambda grads, state, params: change(*RIGHT.update(grads, state, params), params, grads)
    )


def by_norm(grads, state, params):
    norms = tree.map(lambda grad: 1 / (1e-3 + grad.norm().to(grad.dtype)), grads)
    return RIGHT.update(tree.map(torch.mul, grads, norms), state, params)


BROKEN = {
    "pure": changed(lambda moved, state, params, grads: (tree.map(lambda p, new: p.copy_(new), params, moved), state)),
    "leaf by leaf": Optimizer(RIGHT.init, by_norm),
    "dtypes": changed(lambda moved, state, params, grads: (tree.map(torch.Tensor.double, moved), state)),
    "descends": Optimizer(RIGHT.init, lambda grads, *rest: RIGHT.update(tree.scale(grads, -1.0), *rest)),
    "advances": changed(lambda moved, state, params, grads: (moved, RIGHT.init(params))),
}


@pytest.mark.parametrize("claim", BROKEN)
def test_each_promise_has_a_verdict_of_its_own(claim):
    report = verify.optimizer(BROKEN[claim])
    assert [verdict.claim for verdict in report.verdicts if not verdict.passed] == [claim]
    with pytest.raises(verify.Rejected, match=claim):
        report.check()


def test_an_optimizer_without_state_passes():
    plain = Optimizer(lambda params: (), lambda grads, state, params: (descended(params, grads), state))
    verify.optimizer(plain, lambda leaves: torch.optim.SGD(leaves, 0.1)).check()


def descended(params, grads):
    return tree.map(lambda leaf, grad: leaf - 0.1 * grad, params, grads)
