"""Surrogate losses and exact expectations of the estimators, written with torch.distributions, detach and autograd."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import Independent, kl_divergence
from torch.distributions import MultivariateNormal as TorchMultivariateNormal
from torch.distributions import Normal as TorchNormal

from tests.models import toys
from vae_fn import tree
from vae_fn.distributions import MultivariateNormal
from vae_fn.gradients.estimators import (
    dreg,
    iwae,
    pathwise,
    rloo,
    sticking_the_landing,
    vimco,
    wake,
)
from vae_fn.models import VAE
from vae_fn.types import Params, Tree

ESTIMATORS = {
    "pathwise": pathwise(),
    "stl": sticking_the_landing(),
    "rloo": rloo(),
    "iwae": iwae(),
    "dreg": dreg(),
    "vimco": vimco(),
    "rws": wake(),
}


def held(values: Tree) -> Tree:
    return tree.map(torch.Tensor.detach, values)


def gradient(surrogate: Callable[[Params], Tensor], params: Params) -> Params:
    """Autograd of the sum over the batch; zero where a parameter is not reached."""
    live = tree.map(lambda leaf: leaf.detach().clone().requires_grad_(), params)
    grads = iter(
        torch.autograd.grad(surrogate(live).sum(), tree.leaves(live), materialize_grads=True, allow_unused=True)
    )
    return tree.map(lambda leaf: next(grads), live)


def assert_same(actual: Params, expected: Params, rtol: float = 1e-10) -> None:
    """Every entry within rtol of the largest entry of the expected gradient."""
    assert actual.keys() == expected.keys()
    size = max(leaf.abs().max().item() for leaf in tree.leaves(expected))
    for part in expected:
        assert actual[part].keys() == expected[part].keys()
        for name, leaf in expected[part].items():
            torch.testing.assert_close(actual[part][name], leaf, rtol=0, atol=rtol * size)


class Model:
    """The parts of log w at given parameters, by torch.distributions."""

    def __init__(self, vae: VAE, params: Params, x: Tensor, beta: float):
        self.vae, self.params, self.x, self.beta = vae, params, x, beta
        self.q = vae.posterior(params, x, None)

    def held(self) -> "Model":
        return Model(self.vae, held(self.params), self.x, self.beta)

    def log_likelihood(self, z: Tensor) -> Tensor:
        return self.vae.likelihood(self.params, z, None).to_torch().log_prob(self.x)

    def log_joint(self, z: Tensor) -> Tensor:
        return self.log_likelihood(z) + self.beta * self.vae.prior(self.params, None).to_torch().log_prob(z)

    def log_q(self, z: Tensor) -> Tensor:
        return self.q.to_torch().log_prob(z)

    def log_w(self, z: Tensor) -> Tensor:
        return self.log_joint(z) - self.beta * self.log_q(z)

    def kl(self) -> Tensor:
        loc, scale = self.vae.prior(self.params, None)
        if isinstance(self.q, MultivariateNormal):
            return kl_divergence(self.q.to_torch(), TorchMultivariateNormal(loc, scale_tril=torch.diag(scale)))
        return kl_divergence(self.q.to_torch(), Independent(TorchNormal(loc, scale), 1))


def log_mean_exp(log_w: Tensor) -> Tensor:
    return torch.log(torch.exp(log_w - log_w.max().detach()).mean(0)) + log_w.max().detach()


def surrogate_closed(model: Model, noise: Tensor) -> Tensor:
    return model.log_likelihood(model.q.sample(noise)).mean(0) - model.beta * model.kl()


def surrogate_pathwise(model: Model, noise: Tensor) -> Tensor:
    return model.log_w(model.q.sample(noise)).mean(0)


def surrogate_stl(model: Model, noise: Tensor) -> Tensor:
    z = model.q.sample(noise)
    return (model.log_joint(z) - model.beta * model.held().log_q(z)).mean(0)


def surrogate_score(model: Model, noise: Tensor) -> Tensor:
    """sum_k [ w_k / K + sg(w_k - mean w) log q_k / (K - 1) ] at a held z."""
    z = model.q.sample(noise).detach()
    log_w, log_q = model.log_w(z), model.log_q(z)
    signal = (log_w - log_w.mean(0)).detach()
    return (log_w / len(z) + signal * log_q / (len(z) - 1)).sum(0)


def surrogate_iwae(model: Model, noise: Tensor) -> Tensor:
    return log_mean_exp(model.log_w(model.q.sample(noise)))


def surrogate_dreg(model: Model, noise: Tensor) -> Tensor:
    """The bound with the density's part reparameterised by autograd.

    E[ w~_k d log q(z_k) ] = E[ (d w~_k / d z_k) d z_k ]: each weight is differentiated in its own sample, and the path
    of the bound itself in all.
    """
    z, frozen = model.q.sample(noise), model.held()
    log_w = frozen.log_w(z)
    weights = torch.softmax(log_w.detach(), 0)
    joint = weights * model.log_joint(z.detach())
    path = weights * log_w
    own = torch.stack([_only(log_w, k).softmax(0)[k] for k in range(len(z))])
    return (joint + path - model.beta * own).sum(0)


def surrogate_vimco(model: Model, noise: Tensor) -> Tensor:
    """The bound at a held z, and sg(bound - bound without k) log q_k with the geometric mean in the place of w_k."""
    z = model.q.sample(noise).detach()
    log_w, log_q = model.log_w(z), model.log_q(z)
    bound, total = log_mean_exp(log_w), 0
    for k in range(len(z)):
        others = [j for j in range(len(z)) if j != k]
        without = log_mean_exp(torch.stack([*(log_w[j] for j in others), log_w[others].mean(0)]))
        total = total + (bound - without).detach() * log_q[k]
    return bound + total


def surrogate_wake(model: Model, noise: Tensor) -> Tensor:
    z = model.q.sample(noise).detach()
    weights = torch.softmax(model.log_w(z), 0).detach()
    return (weights * (model.log_joint(z) + model.log_q(z))).sum(0)


def _only(values: Tensor, k: int) -> Tensor:
    mask = (torch.arange(len(values)) == k).reshape(-1, *[1] * (values.ndim - 1))
    return torch.where(mask, values, values.detach())


SURROGATES = {
    "pathwise": surrogate_pathwise,
    "stl": surrogate_stl,
    "rloo": surrogate_score,
    "iwae": surrogate_iwae,
    "dreg": surrogate_dreg,
    "vimco": surrogate_vimco,
    "rws": surrogate_wake,
}


def surrogate_gradient(surrogate: Callable, vae: VAE, params: Params, x: Tensor, noise: Tensor, beta: float) -> Params:
    return gradient(lambda live: surrogate(Model(vae, live, x, beta), noise), params)


def mean_estimate(estimator, problem, params: Params, noise: Tensor, weights: Tensor) -> tuple[Tensor, Params]:
    """The expected value and gradient of an estimator over noise `(n, k, *event)` with these weights."""

    def at(noise):
        estimate = estimator.estimate(problem, params, noise, ())
        return estimate.value, estimate.grads

    return tree.map(lambda leaf: torch.einsum("n,n...->...", weights, leaf), torch.vmap(at)(noise))


def gaussian_noise(samples: int, latents: int = 1, count: int = 49) -> tuple[Tensor, Tensor]:
    nodes, weights = toys.normal_line(samples * latents, count)
    return nodes.reshape(-1, samples, latents), weights


def every_state(samples: int, latents: int) -> Tensor:
    """All values of K samples of binary latents, `(2**(samples * latents), samples, latents)`."""
    digits = torch.arange(2 ** (samples * latents)).unsqueeze(-1) >> torch.arange(samples * latents) & 1
    return digits.double().reshape(-1, samples, latents)


def bound_by_enumeration(vae: VAE, params: Params, x: Tensor, samples: int, beta: float, average: Callable) -> Tensor:
    """E[average_k log w_k] over all states of K samples, differentiable in the parameters."""
    model, states = Model(vae, params, x, beta), every_state(samples, len(vae.posterior(params, x, None).logits))
    z = states.transpose(0, 1)
    return (model.log_q(z).sum(0).exp() * average(model.log_w(z))).sum()


def mean(log_w: Tensor) -> Tensor:
    return log_w.mean(0)


def log_mean(log_w: Tensor) -> Tensor:
    return torch.logsumexp(log_w, 0) - math.log(len(log_w))
