"""Wrong gradient estimators: of the ELBO, of scores, of the K-sample bound. Each is checked on integrated problems."""

import torch
from torch import Tensor

from vae_fn.gradients import Coefficients, Estimator, from_coefficients
from vae_fn.gradients.estimators.importance import dreg_rule, iwae_rule, vimco_rule, wake_rule
from vae_fn.gradients.estimators.single import (
    pathwise_rule,
    rloo_rule,
    sticking_the_landing,
    sticking_the_landing_rule,
)
from vae_fn.gradients.wires import Rule
from vae_fn.verify.estimators.identities import derivative, every_sample, per_example, still
from vae_fn.verify.estimators.mutations import average_batch, share_noise
from vae_fn.verify.estimators.settings import Setting
from vae_fn.verify.estimators.unbiased import integrated
from vae_fn.verify.mutants.mutant import Mutant
from vae_fn.verify.problems import bernoulli_decoder
from vae_fn.verify.verdict import Verdict

THREE = Setting(bernoulli_decoder(1), 3)
TWO = Setting(bernoulli_decoder(1), 2)


def single(rule: Rule) -> Estimator:
    """An estimator that is said to be unbiased for the ELBO."""
    return from_coefficients("rule", rule, unbiased_for="the ELBO", latents="any")


def weighted(rule: Rule) -> Estimator:
    """An estimator that is said to be unbiased for the K-sample bound."""
    return from_coefficients("rule", rule, unbiased_for="the K-sample bound", latents="any")


def in_mean(estimator: Estimator, setting: Setting = THREE) -> Verdict:
    """The exact tier on a setting."""
    return integrated(setting, estimator)(estimator)


def _mutant(name: str, wrong: Estimator, right: Estimator, setting: Setting = THREE, origin: str = "") -> Mutant:
    return Mutant(name, "estimator", origin, lambda: in_mean(wrong, setting), lambda: in_mean(right, setting))


def _changed(rule: Rule, **parts) -> Rule:
    """A rule with coefficients replaced: `part(found, log_weights)` for each named one."""

    def mutant(log_weights: Tensor, beta: float | Tensor) -> Coefficients:
        found = rule(log_weights, beta)
        return found._replace(**{name: part(found, log_weights) for name, part in parts.items()})

    return mutant


# --- score functions


def plain_score_rule(log_weights: Tensor, beta: float | Tensor) -> Coefficients:
    """1/K, 0, w_k / K - beta/K: REINFORCE without a baseline (Williams 1992)."""
    share = torch.full_like(log_weights, 1 / len(log_weights))
    return Coefficients(log_weights.mean(0), share, 0 * share, (log_weights - beta) * share)


def _centred(log_weights: Tensor) -> Tensor:
    return log_weights - log_weights.mean(0)


SCORES = (
    _mutant(
        "score: z left attached",
        single(_changed(rloo_rule, path=lambda c, w: torch.ones_like(w))),
        single(rloo_rule),
    ),
    _mutant(
        "score: log q held",
        single(_changed(rloo_rule, density=lambda c, w: 0 * w)),
        single(rloo_rule),
    ),
    _mutant(
        "score: baseline includes its own sample",
        single(_changed(rloo_rule, density=lambda c, w: (_centred(w) - 1) / len(w))),
        single(rloo_rule),
        origin="a batch mean as baseline scales the gradient by 1 - 1/K",
    ),
    _mutant(
        "score: running baseline updated before it is used",
        single(_changed(plain_score_rule, density=lambda c, w: (0.9 * w - 1) / len(w))),
        single(plain_score_rule),
    ),
    _mutant(
        "score: signal divided by 1 + its variance",
        single(
            _changed(
                rloo_rule,
                density=lambda c, w: _centred(w) / (1 + w.var(0)) / (len(w) - 1) - 1 / len(w),
            )
        ),
        single(rloo_rule),
        origin="variance normalisation in the manner of NVIL is a scaled gradient",
    ),
)

# --- K-sample bounds


def _softmax(log_weights: Tensor) -> Tensor:
    return torch.softmax(log_weights, 0)


def ovis_rule(log_weights: Tensor, beta: float | Tensor) -> Coefficients:
    """w~, 0, -log(1 - w~) - beta w~: OVIS at gamma = 0 (Lievin et al. 2020)."""
    weights, found = _softmax(log_weights), iwae_rule(log_weights, beta)
    return found._replace(path=0 * weights, density=-torch.log1p(-weights) - beta * weights)


BOUNDS = (
    _mutant("iwae: mean of logarithms", weighted(pathwise_rule), weighted(iwae_rule)),
    _mutant(
        "iwae: log K missing",
        weighted(_changed(iwae_rule, value=lambda c, w: torch.logsumexp(w, 0))),
        weighted(iwae_rule),
    ),
    _mutant(
        "iwae: the landing is stuck to",
        weighted(_changed(iwae_rule, density=lambda c, w: 0 * w)),
        weighted(iwae_rule),
        origin="STL on IWAE is biased by a factor of 2.4 on a published problem",
    ),
    _mutant(
        "dreg: weights not squared",
        weighted(_changed(dreg_rule, path=lambda c, w: torch.ones_like(w))),
        weighted(dreg_rule),
    ),
    _mutant(
        "dreg: q live in the weights",
        weighted(_changed(dreg_rule, density=lambda c, w: -(_softmax(w) ** 2))),
        weighted(dreg_rule),
    ),
    _mutant(
        "dreg: decoder squared too",
        weighted(_changed(dreg_rule, joint=lambda c, w: _softmax(w) ** 2, path=lambda c, w: torch.ones_like(w))),
        weighted(dreg_rule),
    ),
    _mutant(
        "vimco: the bound's own score missing",
        weighted(_changed(vimco_rule, density=lambda c, w: c.density + _softmax(w))),
        weighted(vimco_rule),
    ),
    _mutant(
        "vimco: one signal for all samples",
        weighted(_changed(vimco_rule, density=lambda c, w: c.density.mean(0).expand_as(w))),
        weighted(vimco_rule),
    ),
    _mutant(
        "ovis: gamma 1",
        weighted(_changed(ovis_rule, density=lambda c, w: torch.log((1 - 1 / len(w)) / (1 - _softmax(w))))),
        weighted(ovis_rule),
    ),
    _mutant("wake: taken for the gradient of the bound", weighted(wake_rule), weighted(vimco_rule)),
)

# --- what no mean can see

_stl = sticking_the_landing()
_total = single(pathwise_rule)
_iwae = weighted(iwae_rule)

BLIND = (
    Mutant(
        "stl: q live",
        "estimator",
        "often listed as a bias, and none",
        wrong=lambda: still(single(_changed(sticking_the_landing_rule, density=lambda c, w: -c.joint))),
        right=lambda: still(_stl),
        blind=lambda: in_mean(single(_changed(sticking_the_landing_rule, density=lambda c, w: -c.joint))),
    ),
    Mutant(
        "pathwise: one noise for the whole batch",
        "estimator",
        "",
        wrong=lambda: per_example(share_noise(_total, axis=1), TWO),
        right=lambda: per_example(_total, TWO),
        blind=lambda: in_mean(share_noise(_total, axis=1)),
    ),
    Mutant(
        "pathwise: one noise for all samples",
        "estimator",
        "",
        wrong=lambda: every_sample(share_noise(_total, axis=0), TWO),
        right=lambda: every_sample(_total, TWO),
        blind=lambda: in_mean(share_noise(_total, axis=0)),
    ),
    _mutant("iwae: one noise for all samples", share_noise(_iwae, axis=0), _iwae),
    Mutant(
        "pathwise: density dropped",
        "estimator",
        "",
        wrong=lambda: derivative(_stl, TWO),
        right=lambda: derivative(_total, TWO),
        blind=lambda: in_mean(_stl),
    ),
    Mutant(
        "pathwise: mean over the batch for its sum",
        "estimator",
        "",
        wrong=lambda: per_example(average_batch(_total), TWO),
        right=lambda: per_example(_total, TWO),
        blind=lambda: in_mean(average_batch(_total)),
    ),
    _mutant("pathwise: z held", single(_changed(pathwise_rule, path=lambda c, w: 0 * w)), _total),
    _mutant(
        "pathwise: sum over samples for their mean",
        single(_changed(pathwise_rule, joint=lambda c, w: torch.ones_like(w))),
        _total,
    ),
)

MUTANTS = (*SCORES, *BOUNDS, *BLIND)
