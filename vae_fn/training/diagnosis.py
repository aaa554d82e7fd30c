"""A step taken apart: every quantity in the order of the computation, to see which one is not finite first.

Nothing here is compiled. The forward pass is repeated through the VAE's own functions, layer by layer where its
networks are modules; gradients stand in the order of the backward pass, the leaf nearest the loss first.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

from vae_fn import tree
from vae_fn.distributions import BottomUp, Distribution, TopDown, has_closed_form, kl
from vae_fn.models import VAE
from vae_fn.training.step import Algorithm, Batch, State
from vae_fn.types import Shape, Tree

SHOWN = 5
"""How many examples a finding names."""


class Finding(NamedTuple):
    """What one quantity of a step looks like.

    Attributes:
        name: a path whose first part is the kind of quantity, as in `gradient/encoder/0.weight`.
        shape: of the tensor.
        nan: how many entries are NaN.
        inf: how many are +infinity.
        minus_inf: how many are -infinity.
        low: the least finite entry, None without one.
        high: the greatest finite entry, None without one.
        examples: the first places in the batch where it is not finite, for what belongs to examples.
    """

    name: str
    shape: Shape
    nan: int
    inf: int
    minus_inf: int
    low: float | None
    high: float | None
    examples: tuple[int, ...]

    @property
    def kind(self) -> str:
        """The first part of the name."""
        return self.name.partition("/")[0]

    @property
    def finite(self) -> bool:
        """Whether every entry is finite."""
        return self.nan + self.inf + self.minus_inf == 0


def first(findings: Sequence[Finding]) -> Finding | None:
    """The first quantity that is not finite, or None."""
    return next((finding for finding in findings if not finding.finite), None)


def diagnose(algorithm: Algorithm, vae: VAE, state: State, batch: Batch, noise: dict[str, Tree]) -> tuple[Finding, ...]:
    """Take a step apart.

    Args:
        algorithm: the step, or one of `skip_nonfinite`, of which its `attempt` is taken apart.
        vae: the model that it trains.
        state: the state before the step.
        batch: its batch of b examples.
        noise: its noise, as from `draw_noise`; that of the posterior is `(k, b, ...)`.

    Returns:
        In this order: the state (`params`, `optimizer`, `estimator`), the inputs (`pixels`, `context`, `noise`,
        `targets`), the forward pass (`posterior`, `z`, `prior`, `likelihood`, the log densities, the KL where it has a
        closed form, the log-weights), the `objective`, its means over the batch (`loss` and so on), the `gradient` of
        the objective's sum over the batch, the `grad_norm` of its mean, and the state afterwards (`new params`, ...).
    """
    examples = (len(batch.pixels),)
    attempt = algorithm.attempt or algorithm.step
    estimated, (new, info) = algorithm.estimate(state, batch, noise), attempt(state, batch, noise)
    targets = algorithm.targets(batch, noise)
    backwards = dict(reversed(tree.flat_names({"gradient": estimated.grads}).items()))
    means = info._asdict()
    norm = means.pop("grad_norm")
    return (
        *_each({name: getattr(state, name) for name in _KEPT}),
        *_each({"pixels": batch.pixels, "context": batch.context}, examples),
        *_each({"noise": noise}),
        *_each({"targets": targets}, examples),
        *_forward(vae, state, batch, targets, noise["noise"]),
        *_each({"log weights": estimated.info.log_weights}, (*estimated.info.log_weights.shape[:1], *examples)),
        *_each({"objective": estimated.value}, examples),
        *_each(means),
        *_each(backwards),
        *_each({"grad_norm": norm}),
        *_each({f"new {name}": getattr(new, name) for name in _KEPT}),
    )


_KEPT = ("params", "optimizer", "estimator")


def _forward(vae: VAE, state: State, batch: Batch, x: Tensor, noise: Tree) -> list[Finding]:
    params, context = state.params, batch.context
    q, encoder = _with_layers(lambda: vae.posterior(params, x, context))
    z, p = q.sample(noise), vae.prior(params, context)
    likelihood, decoder = _with_layers(lambda: vae.likelihood(params, z, context))
    examples, samples = (len(x),), (len(tree.leaves(z)[0]), len(x))
    densities = {"log p(x|z)": likelihood.log_prob(x), "log q(z|x)": q.log_prob_from_noise(noise, z)}
    return [
        *_each({"posterior": encoder}, examples),
        *_fields("posterior", _by_layer(q, z), samples, examples),
        *_each({"z": z}, samples),
        *_fields("prior", _by_layer(p, z), samples, examples),
        *_each({"likelihood": decoder}, examples),
        *_fields("likelihood", likelihood, samples),
        *_each(densities, samples),
        *_each({"kl by example": kl(q, p)} if has_closed_form(q, p) else {}, examples),
    ]


def _with_layers(call: Callable[[], Distribution]) -> tuple[Distribution, dict[str, Tensor]]:
    """A distribution, and what the layers of the module that is called for it gave, in order."""
    calls: list[tuple[nn.Module, Tensor]] = []
    with register_module_forward_hook(lambda module, inputs, output: calls.append((module, output))):
        result = call()
    names = {layer: name for module, _ in calls for name, layer in module.named_modules()}
    return result, {f"layer {names[layer]} {type(layer).__name__}": out for layer, out in calls if names[layer]}


def _by_layer(q: Distribution, z: Tree) -> Tree:
    """The distribution of each layer at z, or the one that there is."""
    return q.layers(z) if isinstance(q, BottomUp | TopDown) else q


def _fields(name: str, distributions: Tree, *batches: Shape) -> list[Finding]:
    """The tensors of distributions; one that begins with none of these batches belongs to no example."""

    def batch_of(leaf: Tensor) -> Shape:
        return next((b for b in batches if leaf.ndim > len(b) and tuple(leaf.shape[: len(b)]) == b), ())

    return [_look(path, leaf, batch_of(leaf)) for path, leaf in tree.flat_names({name: distributions}).items()]


def _each(values: Tree, batch: Shape = ()) -> list[Finding]:
    return [_look(name, leaf, batch) for name, leaf in tree.flat_names(values).items()]


def _look(name: str, values: Tensor, batch: Shape = ()) -> Finding:
    """Look at a tensor; `batch` is what its shape begins with, the examples last, if it belongs to examples."""
    wide = values.detach().cpu().double()
    finite = wide.isfinite()
    kept = wide[finite]
    low, high = (kept.min().item(), kept.max().item()) if len(kept) else (None, None)
    nan, inf, minus_inf = (int(bad.sum()) for bad in (wide.isnan(), wide.isposinf(), wide.isneginf()))
    shape = tuple(values.shape)
    examples = _examples(~finite, len(batch) - 1) if batch and shape[: len(batch)] == batch else ()
    return Finding(name, shape, nan, inf, minus_inf, low, high, examples)


def _examples(bad: Tensor, axis: int) -> tuple[int, ...]:
    """The first indices along an axis at which something is bad."""
    along = bad.movedim(axis, 0).flatten(1).any(1) if bad.ndim > 1 else bad
    return tuple(along.nonzero().flatten()[:SHOWN].tolist())
