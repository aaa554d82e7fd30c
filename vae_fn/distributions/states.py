"""How many values a discrete event has."""

MOST_STATES = 2**16
"""The most values of an event that are enumerated."""


def count_states(choices: int, variables: int) -> int:
    """The number of values of an event of `variables` variables with `choices` values each.

    Raises:
        ValueError: there are more than `MOST_STATES`.
    """
    count = choices**variables
    if count > MOST_STATES:
        raise ValueError(
            f"{variables} variables of {choices} values have {count} states, more than {MOST_STATES}: "
            "enumerate fewer variables, or sample"
        )
    return count
