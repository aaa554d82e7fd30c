import pytest
import torch

from vae_fn import data, gradients, models, training, verify
from vae_fn.gradients import estimators
from vae_fn.verify.batteries.steps import donated, finite_steps, laid_out
from vae_fn.verify.mutants import is_killed
from vae_fn.verify.mutants.steps import MUTANTS

STATE = {"w": torch.tensor([2.0, -1.0]), "step": torch.zeros((), dtype=torch.int64)}


def descend(state, x):
    loss = (state["w"] @ x).square()
    slope = 2 * (state["w"] @ x) * x
    return {"w": state["w"] - 0.1 * slope, "step": state["step"] + 1}, {"loss": loss}


def algorithm():
    vae = models.build(torch.nn.Linear(6, 4), torch.nn.Linear(2, 6), data_dim=6, latent_dim=2)
    return training.make_step(
        vae, gradients.elbo_problem, estimators.pathwise(), training.adam(1e-3), binarisation=data.GREY
    )


def test_a_step(fresh_compiler):
    found = verify.step(descend, STATE, torch.tensor([0.5, 1.5]), name="descend")
    claims = {verdict.claim: verdict.status for verdict in found.verdicts}
    assert claims == dict.fromkeys(("finite", "pure", "no_recompile", "parity", "donated"), "passed")


def test_an_algorithm_is_given_state_and_noise():
    batch = training.Batch((torch.arange(18).reshape(3, 6) * 14).to(torch.uint8))
    with torch.random.fork_rng():  # the templates' own initial values
        subject = algorithm()
    fn, state, inputs = laid_out(subject, (batch,), "test")
    assert finite_steps(fn, state, inputs, "test").passed
    again = laid_out(subject, (batch,), "test")[2][1]
    assert torch.equal(again["noise"], inputs[1]["noise"])


def test_what_is_lost_is_named():
    def overflow(state, x):
        new, info = descend(state, x)
        return new, {**info, "log": torch.log(-info["loss"])}

    found = finite_steps(overflow, STATE, (torch.ones(2),), "overflow")
    assert (found.status, found.coordinate) == ("rejected", "info/log")
    assert found.detail == "info/log is not finite after step 1"


def test_a_lagged_copy_survives_donation(fresh_compiler):
    def lagged(state, x):
        new, info = descend(state, x)
        return {**new, "before": state["w"]}, info

    found = donated(lagged, {**STATE, "before": torch.zeros(2)}, (torch.ones(2),), "lagged", backend="eager")
    assert found.passed


def test_a_step_that_reads_a_value_is_rejected(fresh_compiler):
    def branching(state, x):
        return descend(state, x if float(x.sum()) > 0 else -x)

    found = donated(branching, STATE, (torch.ones(2),), "branching", backend="eager")
    assert found.status == "rejected"
    assert found.detail.startswith("it cannot be compiled whole: ")


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_mutants(mutant, fresh_compiler):
    assert mutant.right().passed
    assert is_killed(mutant)
