"""Estimators with states as some steps may have left them: baselines that fit nothing."""

from tests.models.toys import normals
from vae_fn import tree
from vae_fn.gradients import Estimator
from vae_fn.gradients.estimators import nvil, reinforce, reinforce_moving_average, reinforce_optimal
from vae_fn.types import Tree

SCORES = {
    "reinforce": reinforce(),
    "reinforce-moving-average": reinforce_moving_average(),
    "nvil": nvil(),
    "reinforce-optimal": reinforce_optimal(),
}


def stirred(state: Tree, seed: int = 0) -> Tree:
    """Every number of a state replaced by a positive one; counts are kept."""
    leaves = iter(range(len(tree.leaves(state))))

    def one(leaf):
        number = next(leaves)
        return 0.3 + normals(seed + number, *leaf.shape).abs() if leaf.is_floating_point() else leaf.clone()

    return tree.map(one, state)


def at_state(estimator: Estimator, change=stirred) -> Estimator:
    """The estimator that begins with another state than its own."""
    return estimator._replace(init=lambda problem, params: change(estimator.init(problem, params)))


def decayed_mean(values: list[float], decay: float) -> float:
    """The mean in which the value of n steps ago has the weight decay**n."""
    weights = [decay**age for age in reversed(range(len(values)))]
    return sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights)
