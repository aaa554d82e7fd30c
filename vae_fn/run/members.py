"""The members of an ensemble: the settings that differ between them, what their runs are called and come to."""

import itertools
import math
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

from vae_fn.run.checks import ConfigError, check_number
from vae_fn.run.config import TrainConfig

N = TypeVar("N", int, float)

MOST_KEYS = 1000
"""How many keys an ensemble has at most."""

TERMS = ("elbo", "reconstruction", "kl")
"""What is summarised of the test images, in nats per image."""


class Varied(NamedTuple):
    """What differs between members, which are the product of all that is given.

    Attributes:
        keys: how many keys, from that of the settings on; None for that one alone.
        betas: weights of the KL; none for that of the settings.
        learning_rates: none for that of the settings.
    """

    keys: int | None = None
    betas: tuple[float, ...] = ()
    learning_rates: tuple[float, ...] = ()


def listed(option: str, text: str, kind: Callable[[str], N]) -> tuple[N, ...]:
    """The numbers that an option lists with commas between, in their order.

    Raises:
        ConfigError: There is none, or a part is no number.
    """
    try:
        values = tuple(kind(part.strip()) for part in text.split(",") if part.strip())
    except ValueError:
        values = ()
    if not values:
        raise ConfigError(f"{option} are numbers with commas between, not {text!r}")
    return values


def numbers(option: str, text: str) -> tuple[float, ...]:
    """The numbers of an option of several values of a setting, in their order.

    Raises:
        ConfigError: There is none, a part is no number, or a number is out of range or there twice.
    """
    values = listed(option, text, float)
    for value in values:
        check_number(option.removesuffix("s"), value, option)
    number, times = Counter(values).most_common(1)[0]
    if times > 1:
        raise ConfigError(f"{option} has {short(number)} more than once: give each value once")
    return values


def member_settings(config: TrainConfig, varied: Varied) -> list[TrainConfig]:
    """The settings of every member, whose folders are in that of the ensemble.

    Raises:
        ConfigError: A member has settings that mean nothing, or an ensemble with these could not be resumed.
    """
    if varied.keys is not None and not 1 <= varied.keys <= MOST_KEYS:
        raise ConfigError(f"keys is how many members to train, 1 to {MOST_KEYS}, not {varied.keys}")
    check_kept(config)
    folder = config.runs_dir / ensemble_name(config, varied)
    named = {"beta": varied.betas, "learning_rate": varied.learning_rates, "key": _keys(config, varied)}
    members = [dict(zip(named, values, strict=True)) for values in itertools.product(*map(_or_none, named.values()))]
    given = [{name: value for name, value in member.items() if value is not None} for member in members]
    return [replace(config, **own, runs_dir=folder, name=_name(own)) for own in given]


def check_kept(config: TrainConfig) -> None:
    """See that members keep checkpoints enough to go on together.

    Raises:
        ConfigError: They do not.
    """
    if config.keep_last < 2:
        raise ConfigError(
            "an ensemble goes on from a step that all members have kept, and one saves after the other: use "
            "--keep-last 2 or more"
        )


def ensemble_name(config: TrainConfig, varied: Varied) -> str:
    """The name of the ensemble's folder."""
    keys = _keys(config, varied)
    parts = [
        config.preset,
        *(["betas", *map(short, varied.betas)] if varied.betas else []),
        *(["learning-rates", *map(short, varied.learning_rates)] if varied.learning_rates else []),
        *(["key", str(keys[0])] if len(keys) == 1 else ["keys", str(keys[0]), str(keys[-1])]),
    ]
    return config.name or "-".join(parts)


def setting_names(settings: Sequence[tuple[float, float]]) -> list[str]:
    """What tells settings, each a beta and a learning rate, from one another; of one alone nothing does."""
    words = ("beta", "learning rate")
    differing = [place for place in range(len(words)) if len({setting[place] for setting in settings}) > 1]
    return [", ".join(f"{words[place]} {short(setting[place])}" for place in differing) for setting in settings]


def summarised(
    members: Sequence[Mapping[str, Any]],
    tests: Mapping[str, Mapping[str, Any] | None],
    terms: Sequence[str] = TERMS,
) -> dict[str, list[dict[str, Any]]]:
    """The results of members, and mean and standard deviation over the keys of each setting.

    Args:
        members: `name`, `key`, `beta` and `learning_rate` of each.
        tests: what each has reached on the test images; None where it has not come to its end. What is not finite is
            None, and left out of means.
        terms: of the results.
    """
    settings = [
        {"beta": beta, "learning_rate": rate}
        | {term: _spread([(tests[member["name"]] or {}).get(term) for member in own]) for term in terms}
        for (beta, rate), own in by_setting(members).items()
    ]
    return {"members": [dict(member) | {"test": tests[member["name"]]} for member in members], "settings": settings}


def by_setting(members: Sequence[Mapping[str, Any]]) -> dict[tuple[float, float], list[Mapping[str, Any]]]:
    """The members of each beta and learning rate, which differ in their keys alone."""
    found: dict[tuple[float, float], list[Mapping[str, Any]]] = {}
    for member in members:
        found.setdefault((member["beta"], member["learning_rate"]), []).append(member)
    return found


def short(number: int | float) -> str:
    """A number as it stands in names: all its digits, and no more."""
    return repr(number).removesuffix(".0")


def _spread(values: Sequence[float | None]) -> dict[str, Any]:
    """Mean, standard deviation (of a sample, hence of two or more) and count of what is there."""
    found = [value for value in values if value is not None and math.isfinite(value)]
    mean = statistics.fmean(found) if found else None
    spread = statistics.stdev(found) if len(found) > 1 else None
    return {"mean": mean, "standard_deviation": spread, "count": len(found)}


def _keys(config: TrainConfig, varied: Varied) -> Sequence[int]:
    return range(config.key, config.key + (varied.keys or 1))


def _or_none(values: Sequence[Any]) -> Sequence[Any]:
    return values or (None,)


def _name(own: dict[str, Any]) -> str:
    return "-".join(f"{name.replace('_', '-')}-{short(value)}" for name, value in own.items())
