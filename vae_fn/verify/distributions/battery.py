"""The battery of checks on one distribution, and on its divergence from another."""

import torch

from vae_fn.distributions import Family, has_closed_form, kl
from vae_fn.verify.distributions import contract, divergences, laws, noise
from vae_fn.verify.distributions.divergences import Divergence
from vae_fn.verify.distributions.measures import measure
from vae_fn.verify.distributions.subject import Subject, bare, cast, with_pilot
from vae_fn.verify.report import Report
from vae_fn.verify.verdict import Verdict

Findings = tuple[list[Verdict], list[str]]
"""Verdicts, and what was not covered."""


def distribution(
    q: Family,
    *,
    p: Family | None = None,
    closed_form: Divergence | None = None,
    name: str | None = None,
    detect: float = 0.05,
) -> Report:
    """Check that a distribution keeps what `distributions.protocol` promises, and its divergence from another one.

    Nothing is known of the family but its protocol. Its tensors are cast to float64, and all elements of its batch are
    checked. One verdict a claim:

    - `shapes`: samples stand in front, densities keep the batch and are numbers. Without them nothing else is checked.
    - `normalised`: exp(log_prob) integrates to 1, or sums to 1 over the states.
    - `law`: draws from keys have the law of log_prob, at 16 quantiles of each coordinate and at the medians of pairs,
      or by the frequencies of states; at a level that is exact for any number of draws.
    - `change of variables`: log_prob at a sample is the density of its noise by the determinant of the map.
    - `noise form`: log_prob_from_noise(noise, sample(noise)) is log_prob(sample(noise)), with all first derivatives.
    - `noise form in float32`, and `at scale 1e-8`, where recomputing the noise from the value loses it.
    - `inverse`: noise_of undoes sample.
    - `mean` and `sampled mean`: the declared mean is that of the density, and of the draws.
    - `to_torch` and `mean of to_torch`: the object of `torch.distributions` has the same log_prob and mean.
    - `own noise`: each draw of each element of the batch depends on its own noise and on no other.
    - `batches`: vmap over the batch, and every row alone, is the batch.
    - with p, `kl` and `kl gradient` (against integrals), `sampled kl`, and `kl at equality`: 0 there, and nowhere less.

    Args:
        q: any batch shape. `noise_of`, `to_torch` and `states` are checked where they are.
        p: another distribution over the same events; batches broadcast.
        closed_form: KL(q || p) of a pair, `(*batch,)`; by default `distributions.kl` where that has a formula.
        name: of q in verdicts; by default its family and shapes.
        detect: how far a probability may be off unseen, in standard deviations of its event (half of that at a median).

    A claim that float64 is too coarse for, as at a scale far below its location, is not covered.

    Raises:
        TypeError: q is no NamedTuple of floating tensors.
        ValueError: it has no elements.
    """
    shapes = contract.shapes(bare(q, name))
    if not shapes.passed:
        return Report(shapes.name, (shapes,), ("everything else: it needs the shapes",))
    subject = with_pilot(bare(q, name))
    found = [_laws(subject, detect), _noise(subject), _contract(subject)]
    if p is not None:
        found.append(_divergence(subject, cast(p, torch.float64), closed_form))
    verdicts = (shapes, *(verdict for part, _ in found for verdict in part))
    return Report(subject.name, verdicts, tuple(sentence for _, missing in found for sentence in missing))


def _laws(subject: Subject, detect: float) -> Findings:
    how = measure(subject)
    if how is None:
        return [laws.sampled_mean(subject, None)], [f"normalised, law, mean: {_TOO_LARGE}"]
    verdicts = [laws.normalised(subject, how), laws.law(subject, how, detect), laws.exact_mean(subject, how)]
    return [*verdicts, laws.sampled_mean(subject, how)], []


def _noise(subject: Subject) -> Findings:
    found: list[Verdict | str] = [noise.in_float32(subject, subject.q, "noise form in float32")]
    if noise.too_coarse(subject):
        return _sorted([*found, f"noise form, change of variables, inverse: {noise.COARSE}"])
    found.insert(0, noise.noise_form(subject))
    if subject.discrete:
        return _sorted(found)
    tiny, noise_of = noise.tiny_member(subject), getattr(subject.q, "noise_of", None)
    return _sorted(
        [
            *found,
            noise.change_of_variables(subject),
            "noise form at scale 1e-8: no tensor is a scale, or its logarithm"
            if tiny is None
            else noise.in_float32(subject, tiny, "noise form at scale 1e-8"),
            "inverse: there is no noise_of" if noise_of is None else noise.inverse(subject, noise_of),
        ]
    )


def _sorted(found: list[Verdict | str]) -> Findings:
    """Verdicts, and sentences."""
    return [each for each in found if isinstance(each, Verdict)], [each for each in found if isinstance(each, str)]


def _contract(subject: Subject) -> Findings:
    verdicts, missing = contract.to_torch(subject)
    own = contract.own_noise(subject)
    verdicts, missing = ([*verdicts, own], missing) if isinstance(own, Verdict) else (verdicts, [*missing, own])
    if subject.aligned:
        return [*verdicts, contract.batches(subject)], missing
    return verdicts, [*missing, "batches: not every tensor has the whole batch in front of its event"]


def _divergence(subject: Subject, p: Family, closed_form: Divergence | None) -> Findings:
    closed = closed_form or (kl if has_closed_form(subject.q, p) else None)
    of_itself = closed_form if type(subject.q) is type(p) else None
    if closed_form is None and has_closed_form(subject.q, subject.q):
        of_itself = kl
    subject, verdicts, missing = subject.over(p), [], []
    how = measure(subject, p)
    if how is None:
        missing.append(f"kl by integration: {_TOO_LARGE}")
    if closed is None:
        missing.append("kl: the pair has no closed form")
    elif how is not None:
        verdicts += divergences.by_quadrature(subject, how, p, closed)
    if how is not None or closed is not None:
        verdicts.append(divergences.by_draws(subject, how, p, closed))
    if of_itself is None:
        missing.append("kl at equality: there is no closed form of the family with itself")
    else:
        verdicts.append(divergences.at_equality(subject, of_itself))
    return verdicts, missing


_TOO_LARGE = (
    "densities that are not too rough are integrated, independent coordinates if the batch times their square is at "
    "most 2**15, two dependent ones in a batch of at most 16; states are summed if there are at most 2**16"
)
