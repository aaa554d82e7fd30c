"""Runs: settings, folders, and what a training run is made of."""
