"""Every family against `torch.distributions`; its shapes; and its inverse.

That densities are normalised about their means, and what becomes of the noise, is for the battery
of `vae_fn.verify` to say: tests/verify/distributions runs it on all of them.
"""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.distributions.families import (
    CONTINUOUS,
    DISCRETE,
    FACTORISED,
    FAMILIES,
    Case,
    cases,
    key_of,
    names,
    states,
    value_and_gradients,
)
from vae_fn import random
from vae_fn.distributions import Bernoulli, Categorical, Distribution, Laplace, Logistic, MultivariateNormal, Normal

LAWS = {
    Normal: random.normal,
    MultivariateNormal: random.normal,
    Laplace: random.laplace,
    Logistic: random.logistic,
    Bernoulli: random.uniform,
    Categorical: random.gumbel,
}

LogProb = Callable[[Distribution, Tensor], Tensor]

every_family = pytest.mark.parametrize("family", FAMILIES, ids=names(FAMILIES))
every_continuous_family = pytest.mark.parametrize("family", CONTINUOUS, ids=names(CONTINUOUS))


def values_of(q: Distribution, *what: object, k: int = 4) -> Tensor:
    noise = random.draw(key_of(*what), q.noise_like((k,)), torch.float64)
    return q.sample(noise).detach()


def by_torch(q: Distribution, value: Tensor) -> Tensor:
    return q.to_torch().log_prob(value)


def check_log_prob(log_prob: LogProb, q: Distribution, value: Tensor) -> None:
    """The value of torch's density, and its derivatives in the parameters and (but for one-hots) in the value."""
    actual, gradients = value_and_gradients(lambda q: log_prob(q, value), q)
    expected, expected_gradients = value_and_gradients(lambda q: by_torch(q, value), q)
    torch.testing.assert_close(actual, expected, rtol=1e-11, atol=1e-11)
    for ours, theirs in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-11 * (1 + expected.abs().max().item()))
    if not isinstance(q, Categorical):
        ours, theirs = (_slope(lambda x, f=f: f(q, x), value) for f in (log_prob, by_torch))
        torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-11 * (1 + theirs.abs().max().item()))


def _slope(fn: Callable[[Tensor], Tensor], value: Tensor) -> Tensor:
    value = value.clone().requires_grad_()
    return torch.autograd.grad(fn(value).sum(), value)[0]


@every_family
@given(case=cases)
def test_log_prob_is_that_of_torch(family: type, case: Case) -> None:
    q = case.make(family, "q")
    check_log_prob(lambda q, x: q.log_prob(x), q, values_of(q, "log_prob", family, case))


@every_family
@given(case=cases)
def test_log_prob_from_noise_is_log_prob_in_float64(family: type, case: Case) -> None:
    q = case.make(family, "q")
    noise = random.draw(key_of("from noise", family, case), q.noise_like((4,)), torch.float64)
    check_log_prob(lambda q, x: q.log_prob_from_noise(noise, x), q, q.sample(noise))


LOG_PROB_MUTANTS: dict[str, LogProb] = {
    "a constant": lambda q, x: q.log_prob(x) + 1e-9,
    "a parameter held": lambda q, x: type(q)(*q[:-1], q[-1].detach() + 0 * q[-1]).log_prob(x),
    "the value held": lambda q, x: q.log_prob(x.detach()) + 0 * x.sum(),
    "variance for scale": lambda q, x: type(q)(*q[:-1], q[-1] ** 2).log_prob(x),
}


@pytest.mark.parametrize(
    ("mutant", "family"),
    [(m, f) for m in LOG_PROB_MUTANTS for f in FAMILIES if (m, f) != ("the value held", Categorical)],
)
def test_a_wrong_log_prob_is_rejected(mutant: str, family: type) -> None:
    q = Case(seed=1).make(family, "q")
    with pytest.raises(AssertionError):
        check_log_prob(LOG_PROB_MUTANTS[mutant], q, values_of(q, "mutant"))


@pytest.mark.parametrize("family", [f for f in FAMILIES if f is not Logistic], ids=lambda f: f.__name__)
@given(case=cases)
def test_mean_is_that_of_torch(family: type, case: Case) -> None:
    """Torch has no mean of a transformed distribution: the logistic's is tested by the battery, by quadrature."""
    q = case.make(family, "q")
    torch.testing.assert_close(q.mean, q.to_torch().mean, rtol=1e-14, atol=1e-15)


@every_continuous_family
@given(case=cases)
def test_sample_inverts_noise_of(family: type, case: Case) -> None:
    q = case.make(family, "q")
    values = 10 * case.tensor("values", (4, *q.mean.shape))
    torch.testing.assert_close(q.sample(q.noise_of(values)), values, rtol=1e-12, atol=1e-12)
    with pytest.raises(AssertionError):
        torch.testing.assert_close(q.sample(q.noise_of(values) + 1e-8), values, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("family", FACTORISED, ids=names(FACTORISED))
def test_sample_is_location_plus_scaled_noise(family: type) -> None:
    q = Case(seed=3).make(family, "q")
    noise = random.draw(key_of("sample"), q.noise_like((5,)), torch.float64)
    assert torch.equal(q.sample(noise), q.loc + q.scale * noise)


@every_family
@given(case=cases, sample_shape=st.sampled_from([(), (5,), (2, 3)]))
def test_samples_stand_in_front(family: type, case: Case, sample_shape: tuple[int, ...]) -> None:
    q = case.make(family, "q")
    event = (case.d, 3) if family is Categorical else (case.d,)
    spec = q.noise_like(sample_shape)
    assert spec == random.Noise(LAWS[family], (*sample_shape, *case.batch, *event))
    noise = random.draw(key_of("shapes"), spec, torch.float64)
    value = q.sample(noise)
    assert value.shape == spec.shape
    assert q.mean.shape == (*case.batch, *event)
    assert q.event_ndim == len(event)
    assert q.log_prob(value).shape == q.log_prob_from_noise(noise, value).shape == (*sample_shape, *case.batch)
    assert q.to_torch().batch_shape == case.batch
    assert q.to_torch().event_shape == event
    assert isinstance(q, Distribution)


@every_family
def test_dtype_is_that_of_the_parameters(family: type) -> None:
    q = family(*(leaf.to(torch.float32) for leaf in Case(seed=4).make(family, "q")))
    noise = random.draw(key_of("dtype"), q.noise_like())
    assert {t.dtype for t in (q.mean, q.sample(noise), q.log_prob(q.sample(noise)))} == {torch.float32}


@pytest.mark.parametrize("family", FACTORISED, ids=names(FACTORISED))
def test_location_and_scale_broadcast(family: type) -> None:
    case = Case(seed=5, batch=(4,))
    for q in (
        case.make(family, "q")._replace(scale=torch.tensor([1.0, 2.0], dtype=torch.float64)),
        case.make(family, "q")._replace(loc=torch.tensor([1.0, 2.0], dtype=torch.float64)),
    ):
        assert q.noise_like((5,)).shape == (5, 4, 2)
        assert q.to_torch().batch_shape == (4,)
        check_log_prob(lambda q, x: q.log_prob(x), q, values_of(q, "broadcast"))


@pytest.mark.parametrize("family", DISCRETE, ids=names(DISCRETE))
@pytest.mark.parametrize("d", [1, 2, 4])
def test_states_are_all_values_once(family: type, d: int) -> None:
    q = Case(seed=6, d=d).make(family, "q")
    ours, wanted = q.states().flatten(1).tolist(), states(q).flatten(1).tolist()
    assert sorted(ours) == sorted(wanted)
    assert q.states().dtype == q.logits.dtype


def test_too_many_states_are_refused() -> None:
    assert len(Bernoulli(torch.zeros(16)).states()) == 2**16
    for q in (Bernoulli(torch.zeros(17)), Categorical(torch.zeros(11, 3))):
        with pytest.raises(ValueError, match="states, more than 65536: enumerate fewer"):
            q.states()


def test_bernoulli_of_grey_values_is_the_mean_over_bits() -> None:
    q = Bernoulli(torch.tensor([0.3, -2.0], dtype=torch.float64))
    grey = torch.tensor([0.25, 0.8], dtype=torch.float64)
    bits = states(q)
    weights = torch.where(bits == 1, grey, 1 - grey).prod(-1)
    torch.testing.assert_close(q.log_prob(grey), (weights * q.log_prob(bits)).sum(), rtol=1e-14, atol=0)
