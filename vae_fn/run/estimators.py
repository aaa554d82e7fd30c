"""What the settings know of every estimator, without importing one; a test holds it to the catalogue."""

from typing import Literal, NamedTuple


class Traits(NamedTuple):
    """What of an estimator restricts the settings.

    Attributes:
        latents: which it takes: continuous, discrete or any.
        fewest: samples with which it is defined.
        weighted: whether it weighs samples by importance.
        stateful: whether it has a state that it learns from batches.
    """

    latents: Literal["continuous", "discrete", "any"]
    fewest: int = 1
    weighted: bool = False
    stateful: bool = False


Estimator = Literal[
    "pathwise", "pathwise-sampled", "stl", "antithetic", "measure-valued",
    "reinforce", "reinforce-moving-average", "reinforce-optimal", "nvil", "rloo",
    "iwae", "stl-iwae", "dreg", "gdreg", "vimco", "rws",
    "arm", "disarm", "rebar", "relax", "gumbel-softmax", "straight-through", "st-gumbel", "gumbel-rao", "enumeration",
]  # fmt: skip

TRAITS: dict[str, Traits] = {
    "pathwise": Traits("continuous"),
    "pathwise-sampled": Traits("continuous"),
    "stl": Traits("continuous"),
    "antithetic": Traits("continuous", fewest=2),
    "measure-valued": Traits("any"),
    "reinforce": Traits("any"),
    "reinforce-moving-average": Traits("any", stateful=True),
    "reinforce-optimal": Traits("any", stateful=True),
    "nvil": Traits("any", stateful=True),
    "rloo": Traits("any", fewest=2),
    "iwae": Traits("continuous", weighted=True),
    "stl-iwae": Traits("continuous", weighted=True),
    "dreg": Traits("continuous", weighted=True),
    "gdreg": Traits("continuous", weighted=True),
    "vimco": Traits("any", fewest=2, weighted=True),
    "rws": Traits("any", weighted=True),
    "arm": Traits("discrete"),
    "disarm": Traits("discrete"),
    "rebar": Traits("discrete", stateful=True),
    "relax": Traits("discrete", stateful=True),
    "gumbel-softmax": Traits("discrete"),
    "straight-through": Traits("discrete"),
    "st-gumbel": Traits("discrete"),
    "gumbel-rao": Traits("discrete"),
    "enumeration": Traits("discrete"),
}
"""By the estimators' names."""
