"""Wrong versions of a distribution, made of the distribution itself."""

from collections import namedtuple
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from vae_fn import random, tree
from vae_fn.distributions import Family
from vae_fn.gradients.wires import vjp
from vae_fn.random import Noise
from vae_fn.types import Shape
from vae_fn.verify.distributions.battery import distribution
from vae_fn.verify.mutations.fates import Fate, fates
from vae_fn.verify.seeds import key_of

DENSITIES = ("log_prob", "log_prob_from_noise")
DRAWS = 2**12


def fates_of_distribution(q: Family, p: Family | None, name: str) -> Iterator[tuple[str, Fate]]:
    """The fates of wrong versions of a distribution under its battery.

    Raises:
        ValueError: the original does not pass.
    """
    expected = _numbers(q, name)

    def same(mutant: Family) -> bool:
        return all(map(torch.equal, _numbers(mutant, name), expected))

    yield from fates(name, q, mutations(q), [lambda q: distribution(q, p=p, name=name)], same)


def mutations(q: Any) -> Iterator[tuple[str, Family]]:
    """Wrong versions of a family that is a NamedTuple: of its density, its sampler, its noise and its mean."""
    yield "density: 0.01 nats more", _with_changed(q, DENSITIES, lambda log_p: log_p + 0.01)
    yield "density: 1 % more", _with_changed(q, DENSITIES, lambda log_p: 1.01 * log_p)
    yield "mean: 0.01 more", _variant(q, mean=property(lambda self: type(q).mean.fget(self) + 0.01))
    for field in q._fields:
        for what, change in _misreadings(q, field).items():
            yield f"density: {field} {what}", _reading(q, DENSITIES, field, change)
            yield f"sample: {field} {what}", _reading(q, ("sample",), field, change)
    yield "sample: one noise for the whole event", _sampling(q, lambda noise: _shared(noise, -q.event_ndim))
    if q.mean.ndim > q.event_ndim:
        yield "sample: one noise for the whole batch", _sampling(q, lambda noise: _shared(noise, -q.event_ndim - 1))
    yield (
        "noise: a tenth too wide",
        _variant(q, noise_like=lambda self, shape=(): _wider(_specification(q, self, shape))),
    )
    yield (
        "noise form: recomputed from the value",
        _variant(q, log_prob_from_noise=lambda self, noise, z: self.log_prob(z)),
    )
    yield (
        "noise form: the value held",
        _variant(q, log_prob_from_noise=lambda self, noise, z: type(q).log_prob_from_noise(self, noise, z.detach())),
    )
    if hasattr(q, "noise_of"):
        yield "inverse: 1 % more", _with_changed(q, ("noise_of",), lambda noise: 1.01 * noise)
    if hasattr(q, "states"):
        yield "states: without the last", _with_changed(q, ("states",), lambda states: states[:-1])


def _misreadings(q: Any, field: str) -> dict[str, Callable[[Tensor], Tensor]]:
    """What a field may be taken for."""
    found: dict[str, Callable[[Tensor], Tensor]] = {"half as much more": lambda leaf: 1.5 * leaf}
    if "scale" not in field:
        found["negated"] = torch.neg
    elif field.startswith("log"):
        found["read as a variance's"] = lambda leaf: leaf / 2
    elif getattr(q, field).ndim > q.mean.ndim:
        found["read as a variance"] = lambda leaf: leaf * leaf.diagonal(dim1=-2, dim2=-1).unsqueeze(-2).rsqrt()
    else:
        found["read as a variance"] = torch.sqrt
    return found


def _variant(q: Any, **members: Any) -> Any:
    """The same tensors in a family with some members replaced.

    It is a new NamedTuple class: a pytree is made of those alone that inherit from nothing else.
    """
    original = type(q)
    family = namedtuple(original.__name__, original._fields)
    own = {name: member for name, member in vars(original).items() if not name.startswith("__")}
    for name, member in ({name: own[name] for name in own.keys() - vars(family).keys()} | members).items():
        setattr(family, name, member)
    return family(*q)


def _with_changed(q: Any, methods: tuple[str, ...], change: Callable[[Tensor], Tensor]) -> Any:
    """The results of some methods changed."""

    def changed(name: str) -> Callable[..., Tensor]:
        return lambda self, *args: change(getattr(type(q), name)(self, *args))

    return _variant(q, **{name: changed(name) for name in methods})


def _reading(q: Any, methods: tuple[str, ...], field: str, change: Callable[[Tensor], Tensor]) -> Any:
    """Some methods of the family at another value of a field."""

    def reading(name: str) -> Callable[..., Tensor]:
        return lambda self, *args: getattr(type(q), name)(self._replace(**{field: change(getattr(self, field))}), *args)

    return _variant(q, **{name: reading(name) for name in methods})


def _sampling(q: Any, change: Callable[[Tensor], Tensor]) -> Any:
    return _variant(q, sample=lambda self, noise: type(q).sample(self, change(noise)))


def _shared(noise: Tensor, axis: int) -> Tensor:
    return noise.narrow(axis, 0, 1).expand_as(noise) if noise.ndim >= -axis else noise


def _specification(q: Any, own: Any, shape: Shape) -> Noise:
    return type(q).noise_like(own, shape)


def _wider(spec: Noise) -> Noise:
    """Noise of another law: uniform noise is kept in (0, 1), where it is crowded towards 0."""

    def law(key: Tensor, shape: Shape, dtype: torch.dtype = torch.float32) -> Tensor:
        noise = spec.law(key, shape, dtype)
        return noise**1.1 if spec.law is random.uniform else 1.1 * noise

    return Noise(law, spec.shape)


def _numbers(q: Any, name: str) -> list[Tensor]:
    """All that a distribution computes at some noise."""
    noise = random.draw(key_of(name, q, "equivalent"), q.noise_like((DRAWS,)), tree.leaves(q)[0].dtype)
    value = q.sample(noise)
    found = [noise, value, q.log_prob(value), q.log_prob_from_noise(noise, value), q.mean]
    found += [q.noise_of(value)] if hasattr(q, "noise_of") else []
    found += [q.states()] if hasattr(q, "states") else []
    _, pull = vjp(lambda q, z: q.log_prob_from_noise(noise, z), q, value)
    return [*found, *tree.leaves(pull(torch.ones_like(found[3])))]
