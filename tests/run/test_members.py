"""The members of an ensemble: their settings and names, and what is refused."""

from dataclasses import replace
from pathlib import Path

import pytest

from vae_fn.run.checks import ConfigError
from vae_fn.run.config import TrainConfig
from vae_fn.run.members import Varied, ensemble_name, member_settings, numbers, setting_names


def test_keys_follow_one_another_and_nothing_else_differs():
    config = TrainConfig(key=3, runs_dir=Path("here"))
    members = member_settings(config, Varied(keys=2))
    folder = Path("here") / "tutorial-keys-3-4"
    assert members == [replace(config, key=key, runs_dir=folder, name=f"key-{key}") for key in (3, 4)]


def test_members_are_the_product_of_what_is_given():
    members = member_settings(TrainConfig(), Varied(2, (0.5, 4.0), (1e-4,)))
    assert [member.run_name for member in members] == [
        "beta-0.5-learning-rate-0.0001-key-0",
        "beta-0.5-learning-rate-0.0001-key-1",
        "beta-4-learning-rate-0.0001-key-0",
        "beta-4-learning-rate-0.0001-key-1",
    ]
    assert [(member.beta, member.learning_rate, member.key) for member in members] == [
        (0.5, 1e-4, 0),
        (0.5, 1e-4, 1),
        (4.0, 1e-4, 0),
        (4.0, 1e-4, 1),
    ]
    assert {member.runs_dir.name for member in members} == {"tutorial-betas-0.5-4-learning-rates-0.0001-keys-0-1"}


def test_one_key_is_named_as_one_and_a_name_of_ones_own_is_kept():
    assert ensemble_name(TrainConfig(key=7), Varied(betas=(1.0, 2.0))) == "tutorial-betas-1-2-key-7"
    assert ensemble_name(TrainConfig(name="mine"), Varied(keys=9)) == "mine"


def test_numbers_keep_their_order():
    assert numbers("betas", "4, .5,1e1,") == (4.0, 0.5, 10.0)


@pytest.mark.parametrize(
    ("text", "match"), [("", "commas"), ("a", "commas"), ("1,,x", "commas"), ("1,2,1.0", "1 more than once")]
)
def test_texts_that_are_no_numbers_are_refused(text, match):
    with pytest.raises(ConfigError, match=f"betas .*{match}"):
        numbers("betas", text)


@pytest.mark.parametrize(
    ("changes", "varied", "match"),
    [
        ({}, Varied(keys=0), "1 to 1000, not 0"),
        ({}, Varied(keys=1001), "1 to 1000, not 1001"),
        ({}, Varied(betas=(-1.0,)), "beta must be 0 or more"),
        ({}, Varied(learning_rates=(0.0,)), "learning_rate must be positive"),
        ({"keep_last": 1}, Varied(keys=2), "use --keep-last 2"),
        ({"key": 2**63 - 1}, Varied(keys=2), "key must"),
        ({"estimator": "dreg", "binarise": "dynamic"}, Varied(betas=(1.0, 2.0)), "no meaning in the dreg bound"),
    ],
)
def test_members_that_mean_nothing_are_refused(changes, varied, match):
    with pytest.raises(ConfigError, match=match):
        member_settings(TrainConfig(**changes), varied)


def test_settings_are_named_by_what_differs():
    assert setting_names([(1.0, 0.1)]) == [""]
    assert setting_names([(1.0, 0.1), (2.0, 0.1)]) == ["beta 1", "beta 2"]
    assert setting_names([(1.0, 0.1), (1.0, 0.2)]) == ["learning rate 0.1", "learning rate 0.2"]
    assert setting_names([(1.0, 0.1), (2.0, 0.2)]) == ["beta 1, learning rate 0.1", "beta 2, learning rate 0.2"]
