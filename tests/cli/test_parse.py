import contextlib
import dataclasses
import io

import pytest
from hypothesis import given, settings

from tests.run.test_config import configs
from vae_fn.cli.main import main
from vae_fn.cli.parse import in_own_options, parse, value_of
from vae_fn.errors import UserError
from vae_fn.run.checks import ConfigError
from vae_fn.run.config import PRESETS, TrainConfig, from_toml


def to_args(config, but=()):
    """Every setting as a command line."""
    args = [config.preset]
    for field in dataclasses.fields(config):
        option, value = field.name.replace("_", "-"), getattr(config, field.name)
        if field.name in ("preset", *but) or value is None:
            continue
        if isinstance(value, bool):
            args.append(f"--{option}" if value else f"--no-{option}")
        else:
            args.append(f"--{option}={value}")
    return args


def settings_of(args):
    """What `--print-config` prints."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert main(["train", *args, "--print-config"]) == 0
    return from_toml(printed.getvalue())


def check_fixpoint(write, config):
    assert settings_of(write(config)) == config


@given(configs())
@settings(max_examples=30)
def test_command_line_round_trip(config):
    check_fixpoint(to_args, config)


@pytest.mark.parametrize("lost", ["compile", "keep_last", "data"])
def test_fixpoint_rejects_a_lost_setting(lost):
    config = TrainConfig(compile=False, keep_last=9, data="kmnist")
    with pytest.raises(AssertionError):
        check_fixpoint(lambda config: to_args(config, but=(lost,)), config)


@given(configs())
@settings(max_examples=30)
def test_what_print_config_prints_is_read_by_config(tmp_path_factory, config):
    file = tmp_path_factory.mktemp("config") / "mine.toml"
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        assert main(["train", *to_args(config), "--print-config"]) == 0
    file.write_text(printed.getvalue(), encoding="utf-8")
    assert settings_of(["--config", str(file)]) == config
    assert settings_of([f"--config={file}", "--epochs=7"]) == dataclasses.replace(config, epochs=7)


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ([], PRESETS["tutorial"]),
        (["quick"], PRESETS["quick"]),
        (["--epochs", "3"], TrainConfig(epochs=3)),
        (["quick", "--epochs=3"], dataclasses.replace(PRESETS["quick"], epochs=3)),
        (["--batch_size", "7", "--held_out=5"], TrainConfig(batch_size=7, held_out=5)),
        (["--batch_size", "7", "--batch-size", "8"], TrainConfig(batch_size=8)),
        (["--weight-decay", "0", "--no-compile"], TrainConfig(weight_decay=0.0, compile=False)),
        (["--debug", "--data", "kmnist", "--overwrite"], TrainConfig(data="kmnist")),
    ],
)
def test_default_preset_and_spellings(args, expected):
    assert settings_of(args) == expected


@pytest.mark.parametrize(
    ("args", "value"),
    [
        ("--a 1", "1"),
        ("--a=1", "1"),
        ("--a 1 --a=2", "2"),
        ("--a=2 --a 1", "1"),
        ("--a -1", "-1"),
        ("--a", None),
        ("--a --b 3", None),
        ("--ab 3 --b=--a", None),
    ],
)
def test_value_of(args, value):
    assert value_of("--a", args.split()) == value


@dataclasses.dataclass(frozen=True)
class Refused:
    """Options that are refused in the words of `refusal`."""

    refusal: str = ""
    keys: int = 0
    batch_size: int = 0

    def __post_init__(self):
        if self.refusal:
            raise ConfigError(self.refusal)


@pytest.mark.parametrize(
    ("refusal", "line"),
    [
        ("keys and batch_size must be positive", "--keys and --batch-size must be positive"),
        ("too few for a batch_size: add keys", "too few for a --batch-size: add keys"),
        ("keys must not be runs/batch_size or batch_size.npy", "--keys must not be runs/batch_size or batch_size.npy"),
        ("keys go with --batch-size", "--keys go with --batch-size"),
        ("key_words and other names are left", "key_words and other names are left"),
    ],
)
def test_a_refusal_names_options_as_they_are_typed(refusal, line):
    with pytest.raises(ConfigError) as caught:
        parse(Refused, ["--refusal", refusal], prog="mine")
    assert str(caught.value) == line


def test_a_mistake_is_told_with_the_options_of_the_command():
    instead = {
        "--batch-size": "--batch-sizes",
        "--samples": "--estimators, with K",
        "--name": "nothing: there is no run",
    }
    for said, expected in {
        "--batch-size 9 is too large": "--batch-sizes 9 is too large",
        "--batch-sizes 9, or --samples 2": "--batch-sizes 9, or --samples 2",
        "a/--batch-size.npy, a--batch-size": "a/--batch-size.npy, a--batch-size",
        "--name x": "--name x",
    }.items():
        with pytest.raises(UserError, match=f"^{expected}$"), in_own_options(instead):
            raise UserError(said)
