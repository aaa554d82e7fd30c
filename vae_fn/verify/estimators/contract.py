"""What every estimate must be, before anything is held against it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vae_fn import random, tree
from vae_fn.errors import described, lacks_memory
from vae_fn.gradients import Estimator
from vae_fn.types import Params, Shape, Tree
from vae_fn.verify.estimators.settings import Setting, admits, in_order
from vae_fn.verify.places import raised
from vae_fn.verify.properties.results import differing_shapes
from vae_fn.verify.seeds import key_of
from vae_fn.verify.verdict import Verdict


def misshapen(estimator: Estimator, settings: Sequence[Setting], file: Path | None = None) -> Iterator[Verdict]:
    """The verdict on an estimator whose estimate has no value for each example, or no gradient like the parameters.

    It looks at a batch in the first setting where the estimator takes one; there is none where the estimate is as
    promised. An estimator that raises on every batch that its declarations let in is rejected, with the first error.
    """
    first = None
    for setting in settings:
        if admits(estimator, setting):
            try:
                found = _of_batch(estimator, setting)
            except Exception as error:  # a refusal, unless it is so in all settings
                if lacks_memory(error):
                    raise
                first = first or f"{setting.name}: {raised(error, estimator.rule, file)}"
                continue
            if said := _amiss(found, setting.known.params, setting.batch.shape[:1]):
                name = f"{estimator.name} on {setting.name}"
                yield Verdict("shapes", name, "deterministic", "rejected", f"estimate gives {said}")
            return
    if first is not None:
        detail = f"it raises on every batch that its latents and samples allow, first on {first}"
        yield Verdict("runs", estimator.name, "deterministic", "rejected", detail)


def _of_batch(estimator: Estimator, setting: Setting) -> Any:
    problem, params = setting.known.pose(setting.batch), setting.known.params
    specs = estimator.noise_like(problem, params, setting.samples)
    noise = random.draw(key_of(estimator.name, params, "shapes"), specs, torch.float64)
    return estimator.estimate(problem, params, noise, estimator.init(problem, params))


def _amiss(found: Any, params: Params, batch: Shape) -> str | None:
    """What an estimate has in place of what it must, in words; None where it is as promised."""
    if not (hasattr(found, "value") and hasattr(found, "grads")):
        return f"{described(found)}: return a vae_fn.gradients.Estimate"
    if not (isinstance(found.value, Tensor) and found.value.shape == batch):
        seen = (
            f"a tensor of shape {tuple(found.value.shape)}"
            if isinstance(found.value, Tensor)
            else described(found.value)
        )
        wanted = f"return a tensor of shape {tuple(batch)}, one number for each"
        return f"{seen} as value for a batch of {batch[0]} examples: {wanted}"
    if not isinstance(found.grads, dict):
        return f"{described(found.grads)} as grads: return a tree like the parameters, of the sum over the batch"
    said = (
        _no_tensor(found.grads)
        or differing_shapes(in_order(found.grads, params), params, dtypes=False)
        or _other_keys(found.grads, params)
    )
    return said and f"grads that are no tree like the parameters, of the sum over the batch: {said}"


def _no_tensor(grads: Tree) -> str | None:
    """The first leaf that is none, in words."""
    odd = {name: leaf for name, leaf in tree.flat_names(grads).items() if not isinstance(leaf, Tensor)}
    return next((f"{name} is {described(leaf)}, no tensor" for name, leaf in odd.items()), None)


def _other_keys(grads: dict[str, Tree], params: Params) -> str | None:
    """Keys that are not those of the parameters though the paths agree, as those of a flat dictionary, in words."""
    if grads.keys() == params.keys():
        return None
    return f"the keys are {', '.join(map(repr, grads))} where {', '.join(map(repr, params))} are expected"
