"""Profiles repeat, and statistical properties neither shrink nor search."""

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from vae_fn.verify.strategies import register_profiles, statistical


@pytest.mark.parametrize(
    ("environment", "profile"),
    [({}, "dev"), ({"CI": "true"}, "ci"), ({"CI": "true", "VAE_FN_PROFILE": "nightly"}, "nightly")],
)
def test_the_environment_chooses(environment, profile, monkeypatch):
    for name in ("CI", "VAE_FN_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert register_profiles() == profile


@pytest.mark.parametrize(
    ("profile", "examples", "repeats"), [("dev", 20, True), ("ci", 50, True), ("nightly", 500, False)]
)
def test_profiles(profile, examples, repeats):
    found = settings.get_profile(profile)
    assert found.max_examples == examples
    assert found.derandomize is repeats
    assert found.deadline is None
    assert Phase.target not in found.phases
    assert Phase.shrink in found.phases


def test_statistical_properties_do_not_shrink():
    calls = []

    @statistical()
    @given(st.integers(0, 10**6))
    def property_of(n):
        calls.append(n)
        assert n < 10

    with pytest.raises(AssertionError):
        property_of()
    assert len(calls) <= 12  # the examples up to the one that fails, which is run again to be reported


def test_statistical_properties_have_at_most_ten_examples():
    calls = []

    @statistical()
    @given(st.integers(0, 10**6))
    def property_of(n):
        calls.append(n)

    property_of()
    assert len(calls) == 10


def test_many_examples_are_refused():
    with pytest.raises(ValueError, match="1 to 10 examples, not 11"):
        statistical(11)
