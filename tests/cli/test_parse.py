import dataclasses

import pytest
from hypothesis import given, settings

from tests.run.test_config import configs
from vae_fn.cli.parse import parse_preset
from vae_fn.run.config import PRESETS, TrainConfig


def to_args(config, but=()):
    """Every setting as a command line."""
    args = [config.preset]
    for field in dataclasses.fields(config):
        option, value = field.name.replace("_", "-"), getattr(config, field.name)
        if field.name in ("preset", *but):
            continue
        if isinstance(value, bool):
            args.append(f"--{option}" if value else f"--no-{option}")
        else:
            args.append(f"--{option}={value}")
    return args


def check_fixpoint(write, config):
    assert parse_preset(PRESETS, write(config), prog="vae-fn train", description="") == config


@given(configs())
@settings(max_examples=30)
def test_command_line_round_trip(config):
    check_fixpoint(to_args, config)


def test_fixpoint_rejects_a_lost_setting():
    with pytest.raises(AssertionError):
        check_fixpoint(lambda config: to_args(config, but=("compile",)), TrainConfig(compile=False))


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ([], PRESETS["tutorial"]),
        (["quick"], PRESETS["quick"]),
        (["--epochs", "3"], TrainConfig(epochs=3)),
        (["quick", "--epochs=3"], dataclasses.replace(PRESETS["quick"], epochs=3)),
        (["--batch_size", "7", "--held_out=5"], TrainConfig(batch_size=7, held_out=5)),
        (["--batch_size", "7", "--batch-size", "8"], TrainConfig(batch_size=8)),
        (
            ["--weight-decay", "0", "--no-compile", "--overwrite"],
            TrainConfig(weight_decay=0.0, compile=False, overwrite=True),
        ),
        (["--name", "None"], TrainConfig()),
    ],
)
def test_default_preset_and_spellings(args, expected):
    assert parse_preset(PRESETS, args, prog="vae-fn train", description="") == expected
