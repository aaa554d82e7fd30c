import pytest
import torch

from vae_fn.distributions import Bernoulli, Categorical, Laplace, MultivariateNormal, Normal
from vae_fn.verify.mutations import distributions
from vae_fn.verify.mutations.distributions import fates_of_distribution, mutations

NORMAL = Normal(torch.tensor([[0.3, -1.0]]), torch.tensor([[0.5, 2.0]]))


def fates(q, chosen, monkeypatch):
    """The fates of a few mutants: a battery for each of all of them takes too long here."""
    few = [(name, mutant) for name, mutant in mutations(q) if name in chosen]
    assert len(few) == len(chosen)
    monkeypatch.setattr(distributions, "mutations", lambda q: few)
    return dict(fates_of_distribution(q, None, "q"))


def test_the_battery_kills_wrong_versions_of_a_family(monkeypatch):
    killed = [
        "density: 1 % more",
        "sample: scale read as a variance",
        "sample: one noise for the whole event",
        "noise form: recomputed from the value",
    ]
    found = fates(NORMAL, [*killed, "sample: one noise for the whole batch"], monkeypatch)
    assert found == dict.fromkeys(killed, "killed") | {"sample: one noise for the whole batch": "equivalent"}


def test_discrete_families_have_no_noise_form_of_their_own(monkeypatch):
    chosen = ["sample: logits negated", "states: without the last", "noise form: recomputed from the value"]
    found = fates(Bernoulli(torch.tensor([0.3, -1.0])), chosen, monkeypatch)
    assert list(found.values()) == ["killed", "equivalent", "killed"]


@pytest.mark.parametrize(
    "q",
    [
        NORMAL,
        Laplace(torch.zeros(3), torch.ones(3)),
        MultivariateNormal(torch.zeros(2), torch.tensor([[2.0, 0.0], [0.5, 3.0]])),
        Categorical(torch.zeros(2, 3)),
    ],
    ids=lambda q: type(q).__name__,
)
def test_a_mutant_is_a_family_of_its_own(q):
    names = [name for name, _ in mutations(q)]
    assert len(set(names)) == len(names) >= 11
    noise = torch.full(q.noise_like((2,)).shape, 0.3)
    for name, mutant in mutations(q):
        mapped = torch.vmap(lambda e, mutant=mutant: mutant.sample(e))(noise)  # a pytree of the same tensors
        assert mapped.shape == q.sample(noise).shape, name
        assert all(map(torch.equal, mutant, q))
        assert type(mutant) is not type(q)


def test_a_factor_is_read_as_a_covariance():
    q = MultivariateNormal(torch.zeros(2), torch.tensor([[4.0, 0.0], [1.0, 9.0]]))
    mutant = dict(mutations(q))["sample: scale_tril read as a variance"]
    found = mutant.sample(torch.ones(2))
    torch.testing.assert_close(found, torch.tensor([2.0, 0.5 + 3.0]))
