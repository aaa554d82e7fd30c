"""What every family offers: the contract that models, objectives and estimators are written against."""

from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor, distributions

from vae_fn.random import Noise
from vae_fn.types import Shape


@runtime_checkable
class Distribution(Protocol):
    """A family is a NamedTuple of tensors, so a distribution is a pytree and passes through grad, vmap and compile.

    The last `event_ndim` axes of its tensors are one event, the axes before them are the batch. Densities reduce the
    event and keep the batch; samples put new axes in front: noise `(k, *batch, *event)` gives values of that shape.

    Two more methods where they exist: `noise_of(value)` of a family whose noise can be recovered from a value, and
    `states()` of a discrete one, all values of one event `(n, *event)`.
    """

    @property
    def event_ndim(self) -> int:
        """The number of axes of one event; a constant of the family."""
        ...

    @property
    def mean(self) -> Float[Tensor, "..."]:
        """The expected value, shape `(*batch, *event)`."""
        ...

    def noise_like(self, sample_shape: Shape = ()) -> Noise:
        """The noise that `sample` needs for `sample_shape` draws; looks at shapes only."""
        ...

    def sample(self, noise: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """The value at this noise: distributed as the family says when the noise is drawn as `noise_like` says."""
        ...

    def log_prob(self, value: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """The log density or log mass of `value` in nats, shape of the batch."""
        ...

    def log_prob_from_noise(self, noise: Float[Tensor, "..."], value: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """`log_prob(value)` for `value = sample(noise)`, right where recomputing the noise from the value is not."""
        ...

    def to_torch(self) -> distributions.Distribution:
        """The matching object of `torch.distributions`, with the same batch and event."""
        ...
