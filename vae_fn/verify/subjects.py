"""What can be verified, told by its type, and what goes with it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from vae_fn.distributions import Family
from vae_fn.gradients import Estimator
from vae_fn.training import Algorithm, Optimizer
from vae_fn.types import Tree
from vae_fn.verify.properties.additive import Reduction
from vae_fn.verify.properties.arguments import Dims

Kind = Literal["estimator", "distribution", "optimizer", "step", "function"]


class Example(NamedTuple):
    """Example arguments of a function, and what it promises beside what every pure function does.

    Attributes:
        args: the arguments, in order.
        domains: bounds of arguments by name, as in `properties.finite`; with it (empty will do) value and gradient are
            promised to be finite at all magnitudes of the other arguments.
        batched: the dimension of the batch, one for all arguments or one for each, None where there is none; with it
            all examples are promised to be treated alike, and each for itself.
        reduction: what the function makes of a batch: a result for each example, in front, or their sum or mean.
    """

    args: tuple[Tree, ...]
    domains: Mapping[str, tuple[float, float] | None] | None = None
    batched: Dims = None
    reduction: Reduction = "none"


class Subject(NamedTuple):
    """What is verified.

    Attributes:
        kind: which battery fits it.
        name: in verdicts.
        value: the object.
        example: what goes with it: arguments of a function or of a step, `(batch,)` for an `Algorithm`; the reference
            of an optimizer, `(params -> torch.optim optimizer,)`, and another distribution, `(p,)`, may be left out.
        file: that defines the object, if it is known: what is raised in it is the object's, wherever the file lies.
    """

    kind: Kind
    name: str
    value: Any
    example: Example = Example(())
    file: Path | None = None


def kind_of(value: Any) -> Kind | None:
    """The kind of an object by its type, None if it is of none; whatever else can be called is a function."""
    if isinstance(value, Estimator):
        return "estimator"
    if isinstance(value, Optimizer):
        return "optimizer"
    if isinstance(value, Algorithm):
        return "step"
    if not isinstance(value, type) and isinstance(value, Family):
        return "distribution"
    return "function" if callable(value) else None
