"""The exact gradients that contenders are held against, each found once."""

from vae_fn import tree
from vae_fn.gradients.oracles.auto import exact
from vae_fn.gradients.oracles.exact import Exact
from vae_fn.gradients.oracles.variance import moments_of
from vae_fn.gradients.posed import Posed
from vae_fn.lab.subject import Data, Subject
from vae_fn.types import Params

MOST_NUMBERS = 2**14
"""The most parameters, times data, for which exact variances are integrated."""


class Oracles:
    """Exact values and gradients of one problem's data, by target and samples, in float64."""

    def __init__(self, posed: Posed, params: Params, x: Data):
        """Find nothing yet."""
        self.posed, self.x = posed, x.double() if not isinstance(x, tuple) else x
        self.params = tree.map(lambda leaf: leaf.double(), params)
        self.found: dict[tuple[str, int], Exact | str] = {}

    def of(self, subject: Subject) -> Exact | None:
        """The exact gradient of what a contender is held against, summed over the data; None where there is none."""
        contender = subject.contender
        target = contender.target
        place = target, contender.samples if target == "the K-sample bound" else 1
        if place not in self.found:
            try:
                self.found[place] = exact(self.posed.pose(self.x), self.params, *place)
            except ValueError as refusal:
                self.found[place] = str(refusal)
        found = self.found[place]
        return None if isinstance(found, str) else found

    def noise_of(self, subject: Subject) -> Params | None:
        """By coordinate, the exact variance of one datum's gradient, averaged over the data, if it can be had."""
        data = [()] if isinstance(self.x, tuple) else list(self.x)
        state = tree.map(lambda leaf: leaf.double() if leaf.is_floating_point() else leaf, subject.state)
        estimator, samples = subject.contender.estimator, subject.contender.samples
        total = []
        for x in data if tree.size(self.params) * len(data) <= MOST_NUMBERS else []:
            try:
                found = moments_of(estimator, subject.problem(x), self.params, samples, state)
            except ValueError:
                return None
            total.append(found.variance["grads"])
        return tree.scale(tree.add(*total), 1 / len(total)) if total else None
