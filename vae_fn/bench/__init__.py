"""Timing of training steps: cold and warm compile, steady state, the machine's limit, parity."""

from vae_fn.bench.measuring import Settings as Settings
from vae_fn.bench.measuring import measure as measure
from vae_fn.bench.subject import Source as Source
from vae_fn.bench.subject import Subject as Subject
from vae_fn.bench.subject import own as own
from vae_fn.bench.variants import VARIANTS as VARIANTS
from vae_fn.bench.variants import Variant as Variant
