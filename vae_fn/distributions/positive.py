"""The map from raw network outputs to scales."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F


def positive(raw: Float[Tensor, "*s"], eps: float = 1e-8) -> Float[Tensor, "*s"]:
    """softplus(raw) + eps, a standard deviation from any real number: 0.693 at raw 0, at least `eps` everywhere.

    Written with `logsigmoid` because `F.softplus` switches to the identity at 20 and is not monotone in float64 there.
    `eps` keeps logarithms and quotients finite where softplus underflows; it is not a resolution: in float32 it is
    absorbed for raw above -1.25, in bfloat16 above -12.25.

    Raises:
        TypeError: `raw` is float16, in which eps = 1e-8 is zero and the KL is not finite.
    """
    if raw.dtype == torch.float16:
        raise TypeError("float16 cannot hold small scales (1e-8 is zero in it): cast the raw outputs to float32 first")
    return eps - F.logsigmoid(-raw)
