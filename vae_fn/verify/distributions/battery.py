"""The battery of checks on one distribution, and on its divergence from another."""

from collections.abc import Iterator

import torch

from vae_fn.distributions import Family, has_closed_form, kl
from vae_fn.verify.distributions import contract, divergences, laws, noise
from vae_fn.verify.distributions.divergences import Divergence
from vae_fn.verify.distributions.measures import measure
from vae_fn.verify.distributions.subject import Subject, bare, cast, with_pilot
from vae_fn.verify.report import Report, gather
from vae_fn.verify.verdict import Verdict

DETECT = 0.05
"""How far a probability may be off unseen, in standard deviations of its event, unless told otherwise."""


def distribution(
    q: Family,
    *,
    p: Family | None = None,
    closed_form: Divergence | None = None,
    name: str | None = None,
    detect: float = DETECT,
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
    subject = bare(q, name)
    return gather(subject.name, of_distribution(q, p=p, closed_form=closed_form, name=subject.name, detect=detect))


def of_distribution(
    q: Family, *, p: Family | None, closed_form: Divergence | None = None, name: str, detect: float = DETECT
) -> Iterator[Verdict | str]:
    """What `distribution` finds, as it finds it."""
    shapes = contract.shapes(bare(q, name))
    yield shapes
    if not shapes.passed:
        yield "everything else: it needs the shapes"
        return
    subject = with_pilot(bare(q, name))
    yield from _laws(subject, detect)
    yield from _noise(subject)
    yield from _contract(subject)
    if p is not None:
        yield from _divergence(subject, cast(p, torch.float64), closed_form)


def _laws(subject: Subject, detect: float) -> Iterator[Verdict | str]:
    how = measure(subject)
    if how is None:
        yield f"normalised, law, mean: {_TOO_LARGE}"
    else:
        yield laws.normalised(subject, how)
        yield laws.law(subject, how, detect)
        yield laws.exact_mean(subject, how)
    yield laws.sampled_mean(subject, how)


def _noise(subject: Subject) -> Iterator[Verdict | str]:
    coarse = noise.too_coarse(subject)
    if not coarse:
        yield noise.noise_form(subject)
    yield noise.in_float32(subject, subject.q, "noise form in float32")
    if coarse:
        yield f"noise form, change of variables, inverse: {noise.COARSE}"
    elif not subject.discrete:
        yield from _of_continuous(subject)


def _of_continuous(subject: Subject) -> Iterator[Verdict | str]:
    """What holds of noise and values that are not discrete, and not too coarse in float64."""
    yield noise.change_of_variables(subject)
    tiny, noise_of = noise.tiny_member(subject), getattr(subject.q, "noise_of", None)
    if tiny is None:
        yield "noise form at scale 1e-8: no tensor is a scale, or its logarithm"
    else:
        yield noise.in_float32(subject, tiny, "noise form at scale 1e-8")
    yield "inverse: there is no noise_of" if noise_of is None else noise.inverse(subject, noise_of)


def _contract(subject: Subject) -> Iterator[Verdict | str]:
    verdicts, missing = contract.to_torch(subject)
    yield from (*verdicts, *missing)
    yield contract.own_noise(subject)
    if subject.aligned:
        yield contract.batches(subject)
    else:
        yield "batches: not every tensor has the whole batch in front of its event"


def _divergence(subject: Subject, p: Family, closed_form: Divergence | None) -> Iterator[Verdict | str]:
    closed = closed_form or (kl if has_closed_form(subject.q, p) else None)
    of_itself = closed_form if type(subject.q) is type(p) else None
    if closed_form is None and has_closed_form(subject.q, subject.q):
        of_itself = kl
    subject = subject.over(p)
    how = measure(subject, p)
    if how is None:
        yield f"kl by integration: {_TOO_LARGE}"
    if closed is None:
        yield "kl: the pair has no closed form"
    elif how is not None:
        yield from divergences.by_quadrature(subject, how, p, closed)
    if how is not None or closed is not None:
        yield divergences.by_draws(subject, how, p, closed)
    if of_itself is None:
        yield "kl at equality: there is no closed form of the family with itself"
    else:
        yield divergences.at_equality(subject, of_itself)


_TOO_LARGE = (
    "densities that are not too rough are integrated, independent coordinates if the batch times their square is at "
    "most 2**15, two dependent ones in a batch of at most 16; states are summed if there are at most 2**16"
)
