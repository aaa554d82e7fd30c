"""What the tests of the distributions share: random members of every family, their directions, and keys from names."""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from itertools import product

import torch
from hypothesis import strategies as st
from torch import Tensor

from vae_fn import random
from vae_fn.distributions import Bernoulli, Categorical, Distribution, Laplace, Logistic, MultivariateNormal, Normal
from vae_fn.distributions.kl import BY_DIMENSION, JOINT
from vae_fn.types import Key, Shape

FACTORISED = (Normal, Laplace, Logistic)
CONTINUOUS = (*FACTORISED, MultivariateNormal)
DISCRETE = (Bernoulli, Categorical)
FAMILIES = (*CONTINUOUS, *DISCRETE)

CLOSED = (*BY_DIMENSION, *JOINT)
OPEN = tuple((family, Logistic) for family in CONTINUOUS)
CLASSES = 3


def names(items: tuple) -> list[str]:
    """Test ids of families, or of pairs of them."""
    return ["-".join(f.__name__ for f in item) if isinstance(item, tuple) else item.__name__ for item in items]


def seed_of(*what: object) -> int:
    """A seed hashed from what is tested, so that nobody can shop for one."""
    return int.from_bytes(blake2b(repr(what).encode(), digest_size=8).digest(), "big")


def key_of(*what: object) -> Key:
    return random.key(seed_of(*what))


@dataclass(frozen=True)
class Case:
    """A recipe for distributions: locations and logits within `shift` of 0, log scales within `spread` of 0."""

    seed: int
    batch: Shape = (3,)
    d: int = 2
    shift: float = 1.0
    spread: float = 1.0

    def tensor(self, role: str, shape: Shape) -> Tensor:
        """Uniform numbers in (-1, 1), float64, others for every role."""
        generator = torch.Generator().manual_seed(seed_of(self.seed, role))
        return 2 * torch.rand(shape, generator=generator, dtype=torch.float64) - 1

    def make(self, family: type, role: str, batch: Shape | None = None) -> Distribution:
        """The member of the family that plays this role, in float64."""
        batch = self.batch if batch is None else batch
        loc = self.shift * self.tensor(f"{role} loc", (*batch, self.d))
        if family is Bernoulli:
            return Bernoulli(loc)
        if family is Categorical:
            return Categorical(self.shift * self.tensor(f"{role} logits", (*batch, self.d, CLASSES)))
        scale = (self.spread * self.tensor(f"{role} scale", (*batch, self.d))).exp()
        if family is MultivariateNormal:
            below = self.tensor(f"{role} below", (*batch, self.d, self.d)).tril(-1)
            return MultivariateNormal(loc, scale.unsqueeze(-1) * (below + torch.eye(self.d, dtype=torch.float64)))
        return family(loc, scale)


cases = st.builds(
    Case,
    seed=st.integers(0, 2**32 - 1),
    batch=st.sampled_from([(), (3,), (2, 2)]),
    d=st.integers(1, 3),
    shift=st.sampled_from([0.0, 0.1, 1.0, 8.0]),
    spread=st.sampled_from([0.0, 0.1, 1.0, 3.0]),
)
"""What the deterministic checks run on: from equal parameters to scales that differ by a factor of 400."""

moderate = st.builds(
    Case,
    seed=st.integers(0, 2**32 - 1),
    batch=st.sampled_from([(), (3,)]),
    d=st.integers(1, 2),
    shift=st.sampled_from([0.5, 1.5]),
    spread=st.sampled_from([0.3, 1.0]),
)
"""What the statistical checks run on: no event is so rare that the sample misses it."""


def directions(q: Distribution) -> tuple[Tensor, ...]:
    """Zeros, one for each dimensionless direction in which `moved` can take q."""
    return tuple(torch.zeros_like(leaf) for leaf in q)


def moved(q: Distribution, *by: Tensor) -> Distribution:
    """Q shifted in units of its scale and stretched by factors, so that all derivatives have the size of nats."""
    if isinstance(q, DISCRETE):
        return type(q)(q.logits + by[0])
    shift, stretch = by
    if isinstance(q, MultivariateNormal):
        identity = torch.eye(q.loc.shape[-1], dtype=q.loc.dtype)
        loc = q.loc + (q.scale_tril @ shift.unsqueeze(-1)).squeeze(-1)
        return MultivariateNormal(loc, q.scale_tril @ (identity + stretch.tril()))
    return type(q)(q.loc + q.scale * shift, q.scale * stretch.exp())


def value_and_gradients(fn: Callable[..., Tensor], *qs: Distribution) -> tuple[Tensor, list[Tensor]]:
    """`fn(*qs)` and the derivatives of its sum in every direction of every argument."""
    by = [[zero.requires_grad_() for zero in directions(q)] for q in qs]
    value = fn(*(moved(q, *zeros) for q, zeros in zip(qs, by, strict=True)))
    leaves = [zero for zeros in by for zero in zeros]
    return value.detach(), list(torch.autograd.grad(value.sum(), leaves, materialize_grads=True))


def states(q: Distribution) -> Tensor:
    """All values of a discrete family's event, in front of the event: `(n, d)` bits or `(n, v, c)` one-hots."""
    if isinstance(q, Bernoulli):
        return torch.tensor(list(product((0.0, 1.0), repeat=q.logits.shape[-1])), dtype=q.logits.dtype)
    v, c = q.logits.shape[-2:]
    rows = torch.eye(c, dtype=q.logits.dtype)
    return torch.stack([rows[list(state)] for state in product(range(c), repeat=v)])


def unit(q: Distribution) -> tuple[Distribution, Tensor]:
    """The standard member of q's location-scale family, and the log determinant of q's scale."""
    zero = torch.zeros_like(q.loc)
    if isinstance(q, MultivariateNormal):
        identity = torch.eye(q.loc.shape[-1], dtype=q.loc.dtype).expand(q.scale_tril.shape)
        return MultivariateNormal(zero, identity), q.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    return type(q)(zero, torch.ones_like(q.scale)), q.scale.log().sum(-1)
