"""What can be wrong with the parts of a training step: found when it is made, in Python alone."""

from typing import Any

from vae_fn.data.pixels import check_protocol
from vae_fn.errors import check_count, check_kind, described
from vae_fn.gradients import Estimator
from vae_fn.models import VAE
from vae_fn.optimization.optimizers import Optimizer
from vae_fn.training.clipping import check_max_norm


def check_parts(vae: Any, pose: Any, estimator: Any, optimizer: Any, binarisation: Any) -> None:
    """Hold the parts of a training step against what they must be.

    Raises:
        TypeError: one is something else, such as the function that would make it.
    """
    check_kind("vae", vae, VAE, "make one with models.tutorial() or models.build(encoder, decoder, ...)")
    if not callable(pose):
        raise TypeError(
            f"pose must be a function (vae, x, context, beta) -> Problem, not {described(pose)}: pass one such as "
            "gradients.elbo_problem as it is, not called"
        )
    check_kind("estimator", estimator, Estimator, "call what makes one, as in estimators.pathwise()")
    check_kind("optimizer", optimizer, Optimizer, "call what makes one, as in training.adamw(1e-3)")
    check_protocol("binarisation", binarisation)


def check_settings(samples: Any, beta: Any, clip_norm: Any, microbatch: Any) -> None:
    """Hold the settings of a training step against their ranges.

    Raises:
        TypeError: beta is no function.
        ValueError: a number is out of its range.
    """
    check_count("samples", samples)
    if beta is not None and not callable(beta):
        raise TypeError(
            f"beta must be a function of the step, not {described(beta)}: wrap a number in "
            "optimization.schedules.constant"
        )
    check_max_norm("clip_norm", clip_norm)
    if microbatch is not None:
        check_count("microbatch", microbatch)
