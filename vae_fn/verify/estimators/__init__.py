"""Gradient estimators under test: against exact gradients, example by example, at the exact posterior, and mutated."""
