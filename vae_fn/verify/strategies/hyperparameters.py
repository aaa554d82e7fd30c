"""Hyperparameters on coarse grids, the most ordinary first: what examples shrink to."""

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy


def learning_rates() -> SearchStrategy[float]:
    """Learning rates, 0 among them."""
    return st.sampled_from([1e-3, 1e-2, 0.3, 1e-5, 0.0])


def betas() -> SearchStrategy[tuple[float, float]]:
    """Decays of the two running means of Adam."""
    return st.sampled_from([(0.9, 0.999), (0.0, 0.0), (0.5, 0.9), (0.9, 0.9), (0.0, 0.9999)])


def momenta() -> SearchStrategy[float]:
    """Momenta of stochastic gradient descent."""
    return st.sampled_from([0.0, 0.5, 0.9])


def decays() -> SearchStrategy[float]:
    """Weight decays."""
    return st.sampled_from([0.0, 1e-2, 0.5])


def sample_counts(min_samples: int = 1) -> SearchStrategy[int]:
    """Numbers of samples K."""
    return st.sampled_from([k for k in (1, 2, 3, 5, 8) if k >= min_samples])
