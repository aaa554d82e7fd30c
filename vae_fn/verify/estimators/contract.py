"""What every estimate must be, before anything is held against it."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from vae_fn import random
from vae_fn.errors import described
from vae_fn.gradients import Estimator
from vae_fn.types import Params, Shape
from vae_fn.verify.estimators.settings import Setting, admits
from vae_fn.verify.properties.results import differing_shapes
from vae_fn.verify.seeds import key_of
from vae_fn.verify.verdict import Verdict


def misshapen(estimator: Estimator, settings: Sequence[Setting]) -> Iterator[Verdict]:
    """The verdict on an estimator whose estimate has no value for each example, or no gradient like the parameters.

    It looks at a batch in the first setting where the estimator runs; there is none where the estimate is as promised.
    """
    for setting in settings:
        if admits(estimator, setting):
            try:
                found = _of_batch(estimator, setting)
            except Exception:  # which `never_runs` tells where it is so in all settings
                continue
            if said := _amiss(found, setting.known.params, setting.batch.shape[:1]):
                name = f"{estimator.name} on {setting.name}"
                yield Verdict("shapes", name, "deterministic", "rejected", f"estimate gives {said}")
            return


def _of_batch(estimator: Estimator, setting: Setting) -> Any:
    problem, params = setting.known.pose(setting.batch), setting.known.params
    specs = estimator.noise_like(problem, params, setting.samples)
    noise = random.draw(key_of(estimator.name, params, "shapes"), specs, torch.float64)
    return estimator.estimate(problem, params, noise, estimator.init(problem, params))


def _amiss(found: Any, params: Params, batch: Shape) -> str | None:
    """What an estimate has in place of what it must, in words; None where it is as promised."""
    if not (hasattr(found, "value") and hasattr(found, "grads")):
        return f"{described(found)}: return a vae_fn.gradients.Estimate"
    seen = f"of shape {tuple(found.value.shape)}" if isinstance(found.value, Tensor) else described(found.value)
    if seen != f"of shape {tuple(batch)}":
        return f"a value {seen} for a batch of {batch[0]} examples: return one for each, of shape {tuple(batch)}"
    if not isinstance(found.grads, dict):
        return f"{described(found.grads)} as grads: return a tree like the parameters, of the sum over the batch"
    said = differing_shapes(found.grads, params, dtypes=False)
    return said and f"grads that are no tree like the parameters, of the sum over the batch: {said}"
