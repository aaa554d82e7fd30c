"""Wrong optimizers, each against the one of `torch.optim` that it was to be, or against what every one promises."""

from collections.abc import Callable

import torch
from torch import Tensor

from vae_fn import tree
from vae_fn.optimization.optimizers import AdamState
from vae_fn.training import Optimizer, adam, clip_by_global_norm, sgd
from vae_fn.types import Tree
from vae_fn.verify.mutants.mutant import Mutant
from vae_fn.verify.properties.optimizer import optimizer
from vae_fn.verify.properties.trajectories import Factory
from vae_fn.verify.verdict import Verdict

RATE, B1, B2, EPS, DECAY, MOMENTUM, NORM = 0.01, 0.9, 0.999, 1e-8, 0.1, 0.9, 0.5
STEPS = 10

Direction = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Of Adam's two running means and the number of the step."""


def _check(opt: Optimizer, reference: Factory | None) -> Verdict:
    """The gravest verdict of the report."""
    report = optimizer(opt, reference, steps=STEPS, name="mutant")
    return next(verdict for verdict in report.verdicts if verdict.status == report.status)


def _mutant(name: str, wrong: Optimizer, right: Optimizer, reference: Factory | None, origin: str = "") -> Mutant:
    return Mutant(name, "optimizer", origin, lambda: _check(wrong, reference), lambda: _check(right, reference))


# --- Adam


def _adam(leaves: list[Tensor]) -> torch.optim.Optimizer:
    return torch.optim.Adam(leaves, RATE, (B1, B2), EPS)


def _adamw(leaves: list[Tensor]) -> torch.optim.Optimizer:
    return torch.optim.AdamW(leaves, RATE, (B1, B2), EPS, DECAY)


def _moving_along(direction: Direction) -> Optimizer:
    """Adam with another direction, of the right running means."""
    right = adam(RATE, B1, B2, EPS)

    def update(grads: Tree, state: AdamState, params: Tree) -> tuple[Tree, AdamState]:
        _, state = right.update(grads, state, params)
        step = state.step.double()
        return tree.map(
            lambda p, m, v: (p - RATE * direction(m, v, step)).to(p.dtype), params, state.mean, state.variance
        ), state  # fmt: skip

    return Optimizer(right.init, update)


def _correction(decay: float, step: Tensor) -> Tensor:
    return 1 - decay**step


def _formula(m: Tensor, v: Tensor, step: Tensor) -> Tensor:
    """Kingma and Ba (2015), algorithm 1."""
    return m / _correction(B1, step) / ((v / _correction(B2, step)).sqrt() + EPS)


DIRECTIONS: dict[str, Direction] = {
    "bias correction a step late": lambda m, v, step: _formula(m, v, step + 1),
    "bias correction missing": lambda m, v, step: m / (v.sqrt() + EPS),
    "bias correction of the mean alone": lambda m, v, step: m / _correction(B1, step) / (v.sqrt() + EPS),
    "eps inside the root": lambda m, v, step: (
        m / _correction(B1, step) / (v / _correction(B2, step) + EPS).sqrt()
    ),
    "eps before the bias correction": lambda m, v, step: (
        m / _correction(B1, step) * _correction(B2, step).sqrt() / (v.sqrt() + EPS)
    ),
    "root missing": lambda m, v, step: m / _correction(B1, step) / (v / _correction(B2, step) + EPS),
    "sign flipped": lambda m, v, step: -_formula(m, v, step),
}  # fmt: skip


# --- changes to any optimizer

Before = Callable[[Tree, Tree, Tree], tuple[Tree, Tree, Tree]]


def _before(opt: Optimizer, change: Before) -> Optimizer:
    """The update of other gradients, state and parameters."""
    return Optimizer(opt.init, lambda grads, state, params: opt.update(*change(grads, state, params)))


def _coupled(opt: Optimizer) -> Optimizer:
    """Weight decay added to the gradient, as in L2 regularisation."""
    return _before(opt, lambda g, s, p: (tree.map(lambda grad, leaf: grad + DECAY * leaf, g, p), s, p))


def _in_place(opt: Optimizer) -> Optimizer:
    def update(grads: Tree, state: Tree, params: Tree) -> tuple[Tree, Tree]:
        moved, state = opt.update(grads, state, params)
        return tree.map(lambda old, new: old.copy_(new), params, moved), state

    return Optimizer(opt.init, update)


def _not_advanced(opt: Optimizer) -> Optimizer:
    return Optimizer(opt.init, lambda g, s, p: (opt.update(g, s, p)[0], tree.clone(s)))


def _gradient_kept(opt: Optimizer) -> Optimizer:
    """The first gradient itself becomes the velocity."""
    return Optimizer(opt.init, lambda g, s, p: (opt.update(g, s, p)[0], opt.update(g, s, p)[1]._replace(velocity=g)))


def _promoted(opt: Optimizer) -> Optimizer:
    """A float64 scalar that widens parameters without dimensions."""
    one = torch.ones((), dtype=torch.float64)
    return Optimizer(opt.init, lambda g, s, p: (tree.scale(opt.update(g, s, p)[0], one), opt.update(g, s, p)[1]))


def _clipped(opt: Optimizer, clip: Callable[[Tree], Tree]) -> Optimizer:
    return _before(opt, lambda g, s, p: (clip(g), s, p))


def _globally(grads: Tree) -> Tree:
    return clip_by_global_norm(grads, NORM)[0]


def _by_leaf(grads: Tree) -> Tree:
    return tree.map(lambda grad: clip_by_global_norm(grad, NORM)[0], grads)


# --- gradient descent


def _momentum(nesterov: bool) -> Factory:
    return lambda leaves: torch.optim.SGD(leaves, RATE, MOMENTUM, nesterov=nesterov)


class _ClippedSGD(torch.optim.SGD):
    """Clips the norm of all gradients together before it steps."""

    def step(self, closure: None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        torch.nn.utils.clip_grad_norm_(self.param_groups[0]["params"], NORM)
        super().step()


ADAM, ADAMW = adam(RATE, B1, B2, EPS), adam(RATE, B1, B2, EPS, DECAY)
HEAVY, NESTEROV, PLAIN = sgd(RATE, MOMENTUM), sgd(RATE, MOMENTUM, nesterov=True), sgd(RATE)

MUTANTS = (
    *(_mutant(f"adam: {name}", _moving_along(wrong), _moving_along(_formula), _adam)
      for name, wrong in DIRECTIONS.items()),
    _mutant("adam: decays swapped", adam(RATE, B2, B1, EPS), ADAM, _adam),
    _mutant("adamw: decay coupled to the gradient", _coupled(ADAM), ADAMW, _adamw),
    _mutant("adamw: decay without the learning rate", adam(RATE, B1, B2, EPS, DECAY / RATE), ADAMW, _adamw),
    _mutant("adam: state not advanced", _not_advanced(ADAM), ADAM, _adam),
    _mutant("adam: state not advanced, without a reference", _not_advanced(ADAM), ADAM, None),
    _mutant("momentum: dampened", _before(HEAVY, lambda g, s, p: (tree.scale(g, 1 - MOMENTUM), s, p)), HEAVY,
            _momentum(False)),
    _mutant("nesterov: not ahead", HEAVY, NESTEROV, _momentum(True)),
    _mutant("momentum: none", PLAIN, HEAVY, _momentum(False)),
    _mutant("momentum: the gradient kept as velocity", _gradient_kept(HEAVY), HEAVY, None),
    _mutant("sgd: sign flipped, without a reference", _before(PLAIN, lambda g, s, p: (tree.scale(g, -1.0), s, p)),
            PLAIN, None),
    _mutant("sgd: in place", _in_place(PLAIN), PLAIN, None),
    _mutant("sgd: a dtype widened", _promoted(PLAIN), PLAIN, None),
    _mutant("sgd: clipped leaf by leaf", _clipped(PLAIN, _by_leaf), _clipped(PLAIN, _globally),
            lambda leaves: _ClippedSGD(leaves, RATE)),
    _mutant("sgd: clipped leaf by leaf, without a reference", _clipped(PLAIN, _by_leaf), _clipped(PLAIN, _globally),
            None),
)  # fmt: skip
