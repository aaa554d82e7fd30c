"""The parts of the battery that `verify.distribution` runs on one distribution."""
