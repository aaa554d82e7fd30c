"""Wrong versions of GDReG, written as a surrogate whose derivative it is."""

import torch
from torch import Tensor

from vae_fn import tree
from vae_fn.gradients import Estimator, Problem, from_surrogate
from vae_fn.gradients.estimators import gdreg
from vae_fn.gradients.surrogate import Place, Seen, weigh
from vae_fn.models.objectives import log_mean_exp
from vae_fn.types import Tree
from vae_fn.verify.estimators.settings import Setting, estimate_of, specification_of
from vae_fn.verify.integrals import exact
from vae_fn.verify.mutants.mutant import Mutant
from vae_fn.verify.problems import Average, bernoulli_decoder
from vae_fn.verify.verdict import Verdict

TWO = Setting(bernoulli_decoder(1), 2)


def doubly(
    joint: int = 1,
    along_q: int = 2,
    along_p: int = 2,
    hold_noise: bool = True,
    score: bool = False,
    average: Average = log_mean_exp,
) -> Estimator:
    """GDReG, unless one of these is another: the powers of w~ in its three parts, what is held, and the value.

    Args:
        joint: power in the decoder's part.
        along_q: in the path of q.
        along_p: in the path of the prior.
        hold_noise: whether the prior's own noise of the samples is held.
        score: whether the prior's score is kept beside its path.
        average: what the value is of the log-weights.
    """

    def surrogate(problem: Problem, live: Place, held: Place, noise: Tree) -> tuple[Tensor, Seen]:
        assert problem.p is not None
        p, still = problem.p(live.params), problem.p(held.params)
        z, moved = held.q.sample(noise), live.q.sample(noise)
        _, seen = weigh(problem, held.params, z, held.q.log_prob(z), average)
        weights = torch.softmax(seen.log_weights, 0)

        def log_weight(z: Tensor) -> Tensor:
            return problem.f(held.params, z) + still.log_prob(z) - held.q.log_prob(z)

        own: Tensor = (still if hold_noise else p).noise_of(z)  # type: ignore[attr-defined]
        redrawn = p.sample(own)
        terms = [
            weights**joint * problem.f(live.params, z),
            weights**along_q * log_weight(moved),
            weights * problem.f(held.params, redrawn) - weights**along_p * log_weight(redrawn),
        ]
        if score:
            terms.append(weights * p.log_prob(z))
        return tree.add(*terms).sum(0), seen

    return from_surrogate("gdreg", surrogate, unbiased_for="the K-sample bound", latents="continuous")


def _check(estimator: Estimator) -> Verdict:
    """The exact tier, at an order that is enough here."""
    expected = TWO.known.exact(TWO.samples, log_mean_exp)
    return exact(estimate_of(estimator, TWO), expected, specification_of(estimator, TWO), order=36, name="gdreg")


def _mutant(name: str, wrong: Estimator, origin: str = "") -> Mutant:
    return Mutant(f"gdreg: {name}", "estimator", origin, lambda: _check(wrong), lambda: _check(gdreg()))


MUTANTS: tuple[Mutant, ...] = (
    _mutant("weights of the prior's path not squared", doubly(along_p=1)),
    _mutant("weights of q's path not squared", doubly(along_q=1), "sticking the landing taken for DReG"),
    _mutant("decoder squared too", doubly(joint=2)),
    _mutant("the prior's noise not held", doubly(hold_noise=False), "z = T(T^-1(z)) has no derivative"),
    _mutant("score and path of the prior both", doubly(score=True)),
    _mutant("log K missing", doubly(average=lambda log_weights: torch.logsumexp(log_weights, 0))),
)
