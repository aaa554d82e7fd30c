"""What a battery finds comes one after the other, and what the code raises on the way is its last verdict."""

import pytest
import torch

from vae_fn import tree
from vae_fn.distributions import Normal
from vae_fn.errors import UserError
from vae_fn.training import Optimizer, sgd
from vae_fn.verify.batteries import AFTER, findings
from vae_fn.verify.subjects import Example, Subject
from vae_fn.verify.verdict import Verdict

ALLOCATOR = RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")


def claims(found):
    return [each.claim for each in found if isinstance(each, Verdict)]


@pytest.mark.parametrize(
    "fault", [UserError("give less"), MemoryError(), ALLOCATOR], ids=lambda fault: type(fault).__name__
)
def test_a_mistake_and_want_of_memory_are_no_fault_of_the_code(fault):
    def fn(x):
        raise fault

    with pytest.raises(type(fault)) as told:
        list(findings(Subject("function", "mine", fn, Example((torch.ones(2),)))))
    assert told.value is fault


RIGHT = sgd(0.1)


def missing(grads, state, params):
    """An update that does not know one dtype."""
    if any(leaf.dtype == torch.bfloat16 for leaf in tree.leaves(params)):
        raise KeyError("bfloat16")
    return RIGHT.update(grads, state, params)


class Own(Normal):
    def to_torch(self):
        raise KeyError("twin")


@pytest.mark.parametrize(
    ("subject", "before"),
    [
        (Subject("optimizer", "mine", Optimizer(RIGHT.init, missing)), ["pure", "leaf by leaf"]),
        (
            Subject("distribution", "mine", Own(torch.zeros(1), torch.ones(1))),
            ["shapes", "normalised", "law", "mean", "sampled mean", "noise form", "noise form in float32",
             "change of variables", "noise form at scale 1e-8", "inverse"],
        ),
    ],
    ids=["optimizer", "distribution"],
)  # fmt: skip
def test_what_was_found_before_it_raised_stands(subject, before):
    *found, last, after = findings(subject)
    assert claims(found) == before
    assert all(verdict.passed for verdict in found)
    assert (last.claim, last.status, after) == ("runs", "rejected", AFTER)
    assert "test_findings.py, line" in last.detail
