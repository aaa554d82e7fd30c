"""The largest of some numbers, for tests to hold against a bound."""

from collections.abc import Iterable

import torch


def largest(numbers: Iterable[float | torch.Tensor]) -> float:
    """NaN if one of them is, which no bound takes: Python's max loses a NaN that is not its first number."""
    return float(torch.tensor([float(number) for number in numbers], dtype=torch.float64).max())
