"""Every mutant is rejected by its check, and the version that it was made of is not."""

import pytest

from vae_fn.verify import mutants
from vae_fn.verify.mutants import Mutant, is_killed, registry
from vae_fn.verify.verdict import Verdict

MUTANTS = {f"{mutant.family}: {mutant.name}": mutant for mutant in registry()}


@pytest.mark.parametrize("name", MUTANTS)
def test_mutants_die(name):
    mutant = MUTANTS[name]
    assert is_killed(mutant), f"the check lets it pass: {mutant.wrong()}"
    assert mutant.right().check().passed
    if mutant.blind:
        assert mutant.blind().check().passed


def test_names_are_unique_and_families_known():
    assert len(MUTANTS) == len(registry()) >= 45
    assert {"elbo", "estimator", "published"} <= {mutant.family for mutant in registry()}
    assert mutants.registry is registry


def verdict(status):
    return Verdict("mean", "nothing", "exact", status, "")


@pytest.mark.parametrize("status", ["passed", "inconclusive", "underpowered"])
def test_only_a_rejection_kills(status, monkeypatch):
    monkeypatch.setattr("vae_fn.verify.ledger.TRIALS", [])
    survivor = Mutant("survivor", "test", "", lambda: verdict(status), lambda: verdict("passed"))
    assert not is_killed(survivor)
