"""Settings of Hypothesis under which tests of stochastic code repeat, and say how to repeat them.

Without deadlines (the first call of anything in torch takes long) and without the target phase, which would search for
unlucky noise. `VAE_FN_PROFILE` names one; a continuous integration has `ci`, everybody else `dev`.
"""

import os
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, settings

PROFILE = "VAE_FN_PROFILE"
"""The environment variable that names a profile."""

MOST_STATISTICAL = 10
"""The most examples of a statistical property: each is an assertion with a false-alarm probability of its own."""


SEARCHING = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)


def register_profiles() -> str:
    """Register the profiles `dev`, `ci` and `nightly`.

    `dev` has 20 examples and `ci` 50, the same ones at every run; `nightly` has 500 others each time, and replays those
    that failed before. Go on with `settings.load_profile`.

    Returns:
        the profile that the environment asks for.
    """
    settings.register_profile("dev", max_examples=20, derandomize=True, deadline=None, phases=SEARCHING)
    settings.register_profile(
        "ci",
        max_examples=50,
        derandomize=True,
        database=None,
        deadline=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow],
        phases=SEARCHING,
    )
    settings.register_profile(
        "nightly", max_examples=500, derandomize=False, deadline=None, print_blob=True, phases=SEARCHING
    )
    return os.environ.get(PROFILE, "ci" if os.environ.get("CI") else "dev")


def statistical(max_examples: int = MOST_STATISTICAL) -> Callable[[Any], Any]:
    """Settings of statistical properties: few examples, and no shrinking, which would hunt for unlucky noise.

    A decorator that goes above `@given`; everything else is taken from the profile that is loaded.

    Args:
        max_examples: at most 10.

    Raises:
        ValueError: there are more.
    """
    if not 0 < max_examples <= MOST_STATISTICAL:
        raise ValueError(f"a statistical property takes 1 to {MOST_STATISTICAL} examples, not {max_examples}")
    return settings(max_examples=max_examples, phases=SEARCHING[:-1])
