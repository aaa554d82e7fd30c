"""What the tests of recordings share: steps, and a comparison with single steps that are not recorded."""

import torch

from vae_fn import tree
from vae_fn.compiling import compile_epoch, compile_pure


def check_equal(found, expected):
    assert tree.leaves(found)
    assert all(tree.leaves(tree.map(torch.equal, found, expected)))


def check_as_single_steps(step, state, *inputs, count=4, calls=3):
    """Calls of several steps, each on a state in memory of its own, against single steps without a recording."""
    run, single = compile_epoch(step, donate=False), compile_pure(step)
    for _ in range(calls):
        expected, rows = state, []
        for _ in range(count):
            expected, info = single(expected, *inputs)
            rows.append(info)
        state, infos = run(tree.clone(state), count, *tree.clone(inputs))
        check_equal(state, expected)
        check_equal(infos, tree.map(lambda *leaves: torch.stack(leaves), *rows))


def one_recording(recorded):
    """There was one attempt, and it came off."""
    assert len(recorded) == 1
    return recorded[0] is not None


def refused(recorded):
    """There was one attempt, and it did not come off."""
    return recorded == [None]


def layered(state, x):
    """Two products, of which one reads a parameter transposed, and a report of two leaves."""
    hidden = torch.tanh(x @ state["w"])
    return {"w": state["w"] - 0.1 * hidden.T @ hidden}, {"norm": state["w"].norm(), "row": hidden[0]}


def given():
    return {"w": torch.linspace(-1, 1, 36).view(6, 6)}, torch.linspace(0, 1, 54).view(9, 6)
