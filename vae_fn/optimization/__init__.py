"""Optimizers and schedules as pure functions of pytrees."""
