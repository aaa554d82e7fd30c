"""Wrong functions: what a pure function must not do, each seen by one property check."""

import random as python_random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from vae_fn.types import Tree
from vae_fn.verify.mutants.mutant import Mutant
from vae_fn.verify.properties.additive import Reduction, additive
from vae_fn.verify.properties.finite import finite
from vae_fn.verify.properties.gradients import gradients
from vae_fn.verify.properties.no_recompile import no_recompile
from vae_fn.verify.properties.parity import parity
from vae_fn.verify.properties.permutation import permutation
from vae_fn.verify.properties.pure import pure
from vae_fn.verify.verdict import Verdict

Function = Callable[..., Tree]

X = torch.tensor([0.3, -1.2, 2.0, 0.7])
SMALL = torch.tensor([1e-3, -2e-4])
ROWS = torch.tensor([[0.5, -1.0], [2.0, 0.3], [-0.7, 1.1], [0.2, 0.9], [1.5, -0.4]])


def _mutant(name: str, check: Callable[[Function], Verdict], wrong: Function, right: Function) -> Mutant:
    return Mutant(name, "function", "", lambda: check(wrong), lambda: check(right))


# --- parity


def _parity(x: Tensor) -> Callable[[Function], Verdict]:
    return lambda fn: parity(fn, x, backend="aot_eager", name="mutant")


def _centred_by_the_batch(x: Tensor) -> Tensor:
    """Looks through vmap at the other examples."""
    functorch = torch._C._functorch  # pyright: ignore[reportAttributeAccessIssue]
    if torch.compiler.is_compiling() or not functorch.is_batchedtensor(x):
        return x.sin()
    return x.sin() - 0.01 * functorch.get_unwrapped(x).mean()


PARITY = (
    _mutant("another formula when compiled", _parity(X), lambda x: x * _if_compiled(1.001, 1.0), torch.sin),
    _mutant(
        "float32 cancellation, 1 - cos x",
        _parity(SMALL),
        lambda x: (1 - torch.cos(x)) / x**2,
        lambda x: 0.5 * torch.sinc(x / 2 / torch.pi) ** 2,
    ),
    _mutant("float32 cancellation, log(1 + x)", _parity(SMALL), lambda x: torch.log(1 + x), torch.log1p),
    _mutant(
        "a branch on a value",
        _parity(X),
        lambda x: x if x.sum() > 0 else -x,
        lambda x: torch.where(x.sum() > 0, x, -x),
    ),
    _mutant("a value read out", _parity(X), lambda x: x * x.sum().item(), lambda x: x * x.sum()),
    _mutant("examples mixed under vmap", _parity(X), _centred_by_the_batch, torch.sin),
)


def _if_compiled(yes: float, no: float) -> float:
    return yes if torch.compiler.is_compiling() else no


# --- pure


def _pure(*args: Tree) -> Callable[[Function], Verdict]:
    return lambda fn: pure(fn, *(arg.clone() if isinstance(arg, Tensor) else dict(arg) for arg in args), name="mutant")


class _Counter:
    """Counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x * self.calls


class _Memory:
    """Keeps a running mean in a tensor of its own."""

    def __init__(self) -> None:
        self.mean = torch.zeros(())

    def normalised(self, x: Tensor) -> Tensor:
        self.mean.lerp_(x.mean(), 0.1)
        return x - x.mean()


def _written(batch: dict[str, Tensor]) -> Tensor:
    batch["x"] = batch["x"] / 255
    return batch["x"].sum()


def _batch_norm() -> Function:
    layer = nn.BatchNorm1d(2)
    return lambda x: layer(x)


PURE = (
    _mutant("an argument written in place", _pure(X), lambda x: x.mul_(2) * 1.0, lambda x: x.mul(2)),
    _mutant("a view of an argument returned", _pure(ROWS), lambda x: x.T, lambda x: x.T.clone()),
    _mutant("an argument returned", _pure(X), lambda x: (x, x.sum()), lambda x: (x.clone(), x.sum())),
    _mutant("a container written", _pure({"x": X}), _written, lambda batch: (batch["x"] / 255).sum()),
    _mutant("torch.randn inside", _pure(X), lambda x: x + torch.randn(4), lambda x: x + X),
    _mutant("numpy's noise inside", _pure(X), lambda x: x + np.random.normal(), lambda x: x + 1.0),  # noqa: NPY002
    _mutant("Python's noise inside", _pure(X), lambda x: x + python_random.random(), lambda x: x + 1.0),
    _mutant("a hidden counter", _pure(X), _Counter(), lambda x: x * 1),
    _mutant("a hidden running mean", _pure(X), _Memory().normalised, lambda x: x - x.mean()),
    _mutant("a buffer updated", _pure(ROWS), _batch_norm(), lambda x: (x - x.mean(0)) / x.std(0)),
)


# --- no_recompile


def _no_recompile(*last: Any) -> Callable[[Function], Verdict]:
    return lambda fn: no_recompile(fn, [(X, value) for value in last], name="mutant")


RATES = (0.1, 0.2, 0.3)
NO_RECOMPILE = (
    Mutant(
        "a Python number that changes",
        "function",
        "",
        lambda: _no_recompile(*RATES)(lambda x, rate: x - rate * x),
        lambda: _no_recompile(*map(torch.tensor, RATES))(lambda x, rate: x - rate * x),
    ),
    _mutant(
        "a step counted in Python",
        lambda fn: no_recompile(fn, [(X,)] * 3, name="mutant"),
        _Counter(),
        lambda x: x * 2,
    ),
)


# --- finite


def _kl(scale: Callable[[Tensor], Tensor]) -> Function:
    """KL(N(loc, scale) || N(0, 1)) of a raw scale."""

    def kl(loc: Tensor, raw: Tensor) -> Tensor:
        s = scale(raw)
        return (0.5 * ((s - 1) * (s + 1) + loc**2) - s.log()).sum()

    return kl


def _finite(fn: Function) -> Verdict:
    return finite(fn, torch.zeros(1), torch.zeros(1), name="mutant")


def _finite_logits(fn: Function) -> Verdict:
    return finite(fn, torch.zeros(1), torch.zeros(1), domains={"target": (0.0, 1.0)}, name="mutant")


def _of_probability(logit: Tensor, target: Tensor) -> Tensor:
    p = torch.sigmoid(logit)
    return target * p.log() + (1 - target) * (1 - p).log()


def _of_logit(logit: Tensor, target: Tensor) -> Tensor:
    return target * logit - softplus(logit)


FINITE = (
    _mutant("exp for softplus", _finite, _kl(torch.exp), _kl(lambda raw: softplus(raw) + 1e-8)),
    _mutant("no floor under a scale", _finite, _kl(softplus), _kl(lambda raw: softplus(raw) + 1e-8)),
    _mutant("log of a sigmoid", _finite_logits, _of_probability, _of_logit),
    _mutant(
        "a root at zero",
        lambda fn: finite(fn, torch.zeros(3), name="mutant"),
        lambda x: x.square().sum().sqrt(),
        lambda x: (x.square().sum() + 1e-8).sqrt(),
    ),
)


# --- gradients


def _gradients(fn: Function) -> Verdict:
    return gradients(fn, X, name="mutant")


GRADIENTS = (
    _mutant("a factor detached", _gradients, lambda x: x * x.sin().detach(), lambda x: x * x.sin()),
    _mutant("a straight-through rounding", _gradients, lambda x: x + (x.round() - x).detach(), lambda x: x.round()),
    _mutant(
        "the derivative of another formula, by 1 %",
        _gradients,
        lambda x: 1.01 * x.exp() - 0.01 * x.exp().detach(),
        lambda x: x.exp(),
    ),
    _mutant(
        "not a number behind torch.where",
        _gradients,
        lambda x: torch.where(x > 0, x.sqrt(), 0.0),
        lambda x: torch.where(x > 0, torch.where(x > 0, x, 1.0).sqrt(), 0.0),
    ),
    _mutant(
        "relu(x) - relu(-x) for x, at 0",
        lambda fn: gradients(fn, torch.zeros(2), name="mutant"),
        lambda x: x.relu() - (-x).relu(),
        lambda x: x * 1.0,
    ),
)


# --- permutation and additive


def _permutation(fn: Function) -> Verdict:
    return permutation(fn, ROWS, name="mutant")


def _additive(reduction: Reduction) -> Callable[[Function], Verdict]:
    return lambda fn: additive(fn, ROWS, reduction=reduction, name="mutant")


BATCHES = (
    _mutant("relative to the first example", _permutation, lambda x: x - x[0], lambda x: x - x.mean(0)),
    _mutant("a running sum over examples", _permutation, lambda x: x.cumsum(0), lambda x: x.cumsum(1)),
    _mutant("centred over the batch", _additive("none"), lambda x: x - x.mean(0), lambda x: x - x.mean(1, True)),
    _mutant("a maximum over the batch", _additive("none"), lambda x: x - x.amax(), lambda x: x - x.amax(1, True)),
    _mutant("a sum for a mean", _additive("mean"), lambda x: x.sin().sum(), lambda x: x.sin().sum(1).mean()),
    _mutant("a mean for a sum", _additive("sum"), lambda x: x.sin().mean(), lambda x: x.sin().sum()),
    _mutant("a first example that is left out", _additive("sum"), lambda x: x[1:].sum(), lambda x: x.sum()),
    _mutant(
        "divided by a batch size that is fixed", _additive("mean"), lambda x: x.sum() / 5, lambda x: x.sum(1).mean()
    ),
)

MUTANTS = (*PARITY, *PURE, *NO_RECOMPILE, *FINITE, *GRADIENTS, *BATCHES)
