"""What the legs of a race have in common: data, model and compiled steps.

Each leg is a training as `vae-fn train` does it, but that a schedule of learning rates extends over the race's steps.
"""

import math
from collections.abc import Callable
from dataclasses import replace

from vae_fn import random
from vae_fn.compiling import compile_step
from vae_fn.data import Split
from vae_fn.evaluation import evaluate_bound, evaluate_elbo
from vae_fn.gradients.estimators import CATALOGUE
from vae_fn.lab.race import Leg, Runner
from vae_fn.random import Streams
from vae_fn.run.assemble import (
    check_estimator,
    make_data,
    make_family,
    make_model,
    make_streams,
)
from vae_fn.run.checks import ConfigError
from vae_fn.run.config import TrainConfig
from vae_fn.run.faults import check_cache
from vae_fn.run.machine import check_compiler, check_device
from vae_fn.run.values import make_values
from vae_fn.training.batches import Batches
from vae_fn.training.step import Algorithm, Batch, Run, State, shared_steps
from vae_fn.types import Params


def settings_of(leg: Leg, config: TrainConfig) -> TrainConfig:
    """The settings of a leg's training.

    Raises:
        ConfigError: they mean nothing.
    """
    estimator, samples, rate, key = leg
    return replace(config, estimator=estimator, samples=samples, learning_rate=rate, key=key)


class Course:
    """Makes a runner of each leg. Those of one estimator and number of samples share one compiled step."""

    def __init__(self, config: TrainConfig, legs: list[Leg], steps: int, bound_samples: int):
        """Load the data and see that every leg can be trained.

        Args:
            config: what all legs have in common.
            legs: to be run.
            steps: of each, over which a schedule of learning rates extends.
            bound_samples: K of the bound; 1 is the ELBO.

        Raises:
            UserError: a leg cannot be trained, or there is nothing to judge it by.
        """
        self.config, self.steps, self.bound_samples = config, steps, bound_samples
        check_device(config)
        check_compiler(config)
        check_cache(config)
        self.dataset, self.protocol = make_data(config)
        if self.dataset.validation is None:
            raise ConfigError("a race is judged on held-out images: use --held-out 5000 or another number")
        if bound_samples > 1 and not self.protocol.binary:
            raise ConfigError("a bound of several samples needs black and white pixels: use --binarise dynamic")
        self.held_out, self.vae = self.dataset.validation, make_model(config, self.dataset.shape)
        self._shared: dict[tuple[str, int], Callable[[Algorithm], Run]] = {}
        for leg in legs:
            if (leg.estimator, leg.samples) not in self._shared:
                check_estimator(settings_of(leg, config), self._algorithm(leg), math.prod(self.dataset.shape))
                self._shared[leg.estimator, leg.samples] = shared_steps(*[compile_step] * config.compile)

    def runner(self, leg: Leg) -> Runner:
        """The training of a leg."""
        images, streams = self.dataset.train.images, make_streams(settings_of(leg, self.config))
        batches, algorithm = Batches(images, streams.order, self.config.batch_size), self._algorithm(leg)
        advance = self._shared[leg.estimator, leg.samples](algorithm)
        state = algorithm.init(streams.init, Batch(images[: self.config.batch_size]))

        def step(state: State, number: int) -> State:
            return advance(state, batches(number), streams)[0]

        def bound(params: Params) -> float:
            return self._bound(params, self.held_out, streams, draws=1)

        def test(params: Params) -> float:
            return self._bound(params, self.dataset.test, streams, draws=self.config.evaluation_draws)

        q = self.vae.posterior(state.params, images[:1].float(), None)
        evaluations = CATALOGUE[leg.estimator].make().evaluations(q, leg.samples)
        return Runner(state, step, bound, test, evaluations)

    def _algorithm(self, leg: Leg) -> Algorithm:
        config = settings_of(leg, self.config)
        return make_family(config, self.vae, self.protocol, self.steps)(make_values(config))

    def _bound(self, params: Params, split: Split, streams: Streams, draws: int) -> float:
        """At the same noise whenever it is asked for."""
        key, samples = random.fold_in(streams.evaluation, 0), self.bound_samples
        if samples > 1:
            return evaluate_bound(self.vae, params, split.images, self.protocol, key, samples=samples)
        return evaluate_elbo(self.vae, params, split.images, self.protocol, key, draws=draws).elbo
