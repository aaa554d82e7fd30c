"""The batch of a distribution, and values that are the same for all of it."""

from jaxtyping import Float
from torch import Tensor

from vae_fn import tree
from vae_fn.distributions.protocol import Distribution
from vae_fn.types import Shape


def batch_shape(q: Distribution) -> Shape:
    """The batch of q, that of all its layers if it has several; from shapes alone."""
    spec, event_ndim = tree.leaves(q.noise_like())[0], tree.leaves(q.event_ndim)[0]
    return spec.shape[: len(spec.shape) - event_ndim]


def over_batch(values: Float[Tensor, " n *s"], event_ndim: int, batch: Shape) -> Float[Tensor, "n ..."]:
    """Values `(n, *event)` as `(n, *b, *event)`, the same for all examples."""
    event = values.shape[values.ndim - event_ndim :]
    return values.reshape(len(values), *(1,) * len(batch), *event).expand(len(values), *batch, *event)
