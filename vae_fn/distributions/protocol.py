"""What every family offers: the contract that models, objectives and estimators are written against."""

from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor, distributions

from vae_fn.types import Shape, Tree


@runtime_checkable
class Distribution(Protocol):
    """A NamedTuple of tensors, so that a distribution is a pytree and passes through grad, vmap and compile.

    The last `event_ndim` axes of its tensors are one event, the axes before them are the batch. Densities reduce the
    event and keep the batch; samples put new axes in front: noise `(k, *batch, *event)` gives values of that shape.
    Values and noise are arrays, or tuples of them where several latents are one distribution (`layered`).

    One more method where it exists: `states()` of a discrete distribution, all values of one event `(n, *event)`.
    """

    @property
    def event_ndim(self) -> Any:
        """The number of axes of one event; of several latents a tuple of these. A constant."""
        ...

    def noise_like(self, sample_shape: Shape = ()) -> Tree:
        """The specification of the noise that `sample` needs for `sample_shape` draws; looks at shapes only."""
        ...

    def sample(self, noise: Tree) -> Tree:
        """The value at this noise: distributed as the family says when the noise is drawn as `noise_like` says."""
        ...

    def log_prob(self, value: Tree) -> Float[Tensor, "..."]:
        """The log density or log mass of `value` in nats, shape of the batch."""
        ...

    def log_prob_from_noise(self, noise: Tree, value: Tree) -> Float[Tensor, "..."]:
        """`log_prob(value)` for `value = sample(noise)`, right where recomputing the noise from the value is not."""
        ...


@runtime_checkable
class Family(Distribution, Protocol):
    """A distribution of one array with a mean in closed form: what heads make, and layers are made of.

    One more method where it exists: `noise_of(value)` of a family whose noise can be recovered from a value. One more
    constant where they are not all those of the event: `leaf_ndims`, the axes of each tensor without the batch.
    """

    @property
    def mean(self) -> Float[Tensor, "..."]:
        """The expected value, shape `(*batch, *event)`."""
        ...

    def to_torch(self) -> distributions.Distribution:
        """The matching object of `torch.distributions`, with the same batch and event."""
        ...
