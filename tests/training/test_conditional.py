"""A model conditioned on a class: the context reaches the model, and the step is set up for it."""

import torch

from tests.training.problems import PIXELS, algorithm, images, streams
from vae_fn import models
from vae_fn.distributions import Bernoulli, Normal, positive
from vae_fn.training import Batch, step_by_shape


def conditional_vae() -> models.VAE:
    encoder = models.network(models.mlp([PIXELS + 2, 8, 4]), (PIXELS + 2,))
    decoder = models.network(models.mlp([2 + 2, 8, PIXELS]), (2 + 2,))

    def beside(x, context):
        return torch.cat([x, context.expand(*x.shape[:-1], 2)], -1)

    def posterior(params, x, context):
        loc, raw = encoder.apply(params["encoder"], beside(x, context)).chunk(2, -1)
        return Normal(loc, positive(raw))

    return models.VAE(
        init=lambda key: {"encoder": encoder.init(key), "decoder": decoder.init(key)},
        posterior=posterior,
        prior=lambda params, context: Normal(context, torch.ones_like(context)),
        likelihood=lambda params, z, context: Bernoulli(decoder.apply(params["decoder"], beside(z, context))),
    )


def test_it_trains_and_reads_its_context():
    built = algorithm(conditional_vae())
    batch = Batch(images(4), torch.eye(2)[[0, 1, 0, 1]])
    state, step = built.init(streams().init, batch), step_by_shape(built)
    one, _ = step(state, batch, streams())
    other, _ = step(state, batch._replace(context=1 - batch.context), streams())
    for network in ("encoder", "decoder"):
        assert not torch.equal(one.params[network]["0.weight"], other.params[network]["0.weight"])
