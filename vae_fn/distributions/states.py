"""How many values a discrete event has."""

import math
from collections.abc import Sequence

MOST_STATES = 2**16
"""The most values of an event that are enumerated."""


def count_states(choices: int, variables: int) -> int:
    """The number of values of an event of `variables` variables with `choices` values each.

    Raises:
        ValueError: there are more than `MOST_STATES`.
    """
    return _few(choices**variables, f"{variables} variables of {choices} values have")


def count_joint(counts: Sequence[int]) -> int:
    """The number of values of several events together, from that of each.

    Raises:
        ValueError: there are more than `MOST_STATES`.
    """
    return _few(math.prod(counts), f"layers of {', '.join(map(str, counts))} states have together")


def _few(count: int, which: str) -> int:
    if count > MOST_STATES:
        raise ValueError(f"{which} {count} states, more than {MOST_STATES}: enumerate fewer variables, or sample")
    return count
