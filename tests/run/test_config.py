import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vae_fn import data
from vae_fn.errors import UserError
from vae_fn.run.checks import ConfigError
from vae_fn.run.config import DATA_NAMES, LATER, PRESET_HELP, PRESETS, TrainConfig, field_types, from_toml, to_toml
from vae_fn.run.estimators import TRAITS

positive_int = st.integers(1, 2**63 - 1)
positive = st.floats(0, 1e30, exclude_min=True)
not_negative = st.floats(0, 1e30)
sizes = st.integers(1, 65_536)
names = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9_.+=,-]{0,30}\Z")
texts = st.text(st.characters(categories=("L", "N", "P", "S", "Zs"))).filter(str.isprintable)


@st.composite
def configs(draw):
    family = draw(st.sampled_from(["normal", "bernoulli", "bernoulli-2", "categorical"]))
    takes = ("any", "continuous" if family == "normal" else "discrete")
    fitting = [name for name, traits in TRAITS.items() if traits.latents in takes]
    estimator = draw(st.sampled_from(fitting))
    schedule = draw(st.sampled_from(["constant", "warmup-cosine"]))
    weighted = TRAITS[estimator].weighted
    learning_rate, beta = draw(positive), 1.0 if weighted else draw(not_negative)
    return TrainConfig(
        preset=draw(st.sampled_from(list(PRESETS))),
        epochs=draw(positive_int),
        data=draw(st.sampled_from(DATA_NAMES) | texts.filter(bool)),
        batch_size=draw(positive_int),
        learning_rate=learning_rate,
        schedule=schedule,
        warmup_steps=0 if schedule == "constant" else draw(st.integers(0, 10**6)),
        weight_decay=draw(st.floats(0, min(0.99 / learning_rate, 1e30))),
        clip_norm=draw(not_negative),
        optimizer=draw(st.sampled_from(["adamw", "adam", "sgd"])),
        latent_family=family,
        latents=draw(st.integers(1, 600) if family == "categorical" else sizes),
        classes=draw(st.integers(2, 100)) if family == "categorical" else 10,
        hidden=8 * draw(st.integers(int(family == "normal"), 1000)),
        beta=beta,
        kl_warmup=0 if weighted or beta == 0 else draw(st.integers(0, 10**6)),
        free_bits=draw(not_negative) if estimator == "pathwise" and beta else 0.0,
        estimator=estimator,
        samples=draw(st.integers(TRAITS[estimator].fewest, 100)),
        binarise=draw(st.sampled_from(["dynamic", "fixed"] if weighted else ["grey", "dynamic", "fixed"])),
        held_out=draw(st.integers(0, 2**63 - 1)),
        key=draw(st.integers(0, 2**63 - 1)),
        log_every=draw(positive_int),
        evaluation_draws=draw(sizes),
        microbatch=0 if TRAITS[estimator].stateful else draw(st.integers(0, 2**63 - 1)),
        compile=draw(st.booleans()),
        cuda_graph=draw(st.booleans()),
        device=draw(st.sampled_from(["cpu", "cuda", "cuda:1", "mps"])),
        runs_dir=Path(draw(texts)),
        name=draw(st.none() | names),
        tensorboard=draw(st.booleans()),
        checkpoint_every=draw(st.integers(0, 2**63 - 1)),
        keep_last=draw(positive_int),
        keep_best=draw(st.booleans()),
        skip_nonfinite=draw(st.booleans()),
    )


def check_round_trip(write, config):
    assert from_toml(write(config)) == config


@given(configs())
def test_toml_round_trip(config):
    check_round_trip(to_toml, config)


def test_round_trip_rejects_a_lossy_writer():
    def rounded(config):
        return to_toml(dataclasses.replace(config, learning_rate=float(f"{config.learning_rate:.2g}")))

    with pytest.raises(AssertionError):
        check_round_trip(rounded, TrainConfig(learning_rate=1.2345e-4))


def test_every_setting_stands_in_the_toml():
    written = [line.partition(" = ")[0] for line in to_toml(TrainConfig(name="a")).splitlines()]
    assert written == [field.name for field in dataclasses.fields(TrainConfig)]


def test_presets():
    tutorial, quick = PRESETS["tutorial"], PRESETS["quick"]
    assert (tutorial.epochs, tutorial.batch_size, tutorial.optimizer) == (50, 128, "adamw")
    assert (tutorial.learning_rate, tutorial.weight_decay, tutorial.clip_norm) == (1e-3, 1e-2, 1.0)
    assert (tutorial.latents, tutorial.hidden, tutorial.binarise, tutorial.held_out) == (2, 512, "grey", 0)
    assert quick == dataclasses.replace(tutorial, preset="quick", epochs=5, batch_size=125, held_out=5_000)
    assert (60_000 - quick.held_out) % quick.batch_size == 0, "a short last batch costs a second compilation"
    assert all(config.preset == name for name, config in PRESETS.items())
    assert PRESET_HELP.keys() == PRESETS.keys()


def test_settings_that_came_later_may_be_missing():
    old = [line for line in to_toml(TrainConfig()).splitlines() if line.partition(" = ")[0] not in LATER]
    assert len(old) == len(dataclasses.fields(TrainConfig)) - 1 - len(LATER)
    assert from_toml("\n".join(old)) == TrainConfig()


def test_run_name():
    assert TrainConfig(key=7).run_name == "tutorial-7"
    assert TrainConfig(key=7, name="mine").run_name == "mine"


def test_whole_numbers_serve_as_floats():
    config = from_toml(to_toml(TrainConfig()).replace("clip_norm = 1.0", "clip_norm = 2"))
    assert config.clip_norm == 2
    assert type(config.clip_norm) is float


@pytest.mark.parametrize(
    ("line", "replacement", "message"),
    [
        ("epochs = 50", "epochs = '50'", "epochs must be a whole number, not '50'"),
        ("epochs = 50", "epochs = 50.0", "epochs must be a whole number, not 50.0"),
        ("epochs = 50", "epochs = true", "epochs must be a whole number, not True"),
        ("epochs = 50", "epochs = 9223372036854775808", "epochs must fit into 64 bits"),
        ("epochs = 50", "", "the setting 'epochs' is missing"),
        ("epochs = 50", "epochs = 50\nepoch = 3", "unknown setting 'epoch'"),
        ("epochs = 50", "epochs = [50]", "epochs must be a whole number, not [50]"),
        ("epochs = 50", "epochs = ", "not valid TOML (Invalid value (at line 3, column 10)): compare it with what"),
        ("beta = 1.0", "beta = false", "beta must be a number, not False"),
        ("beta = 1.0", "beta = nan", "beta must be 0 or more and finite, not nan"),
        ("beta = 1.0", f"beta = {10**400}", "beta must fit into 64 bits"),
        ("compile = true", "compile = 1", "compile must be true or false, not 1"),
        ('device = "cpu"', "device = 0", "device must be a text, not 0"),
        ('runs_dir = "runs"', "runs_dir = 3", "runs_dir must be a path, not 3"),
        ('runs_dir = "runs"', r'runs_dir = "a\u0000b"', "runs_dir must be a path of printable characters"),
        ('binarise = "grey"', 'binarise = "gray"', "binarise must be one of grey, dynamic, fixed, not 'gray'"),
        ('preset = "tutorial"', 'preset = "slow"', "preset must be one of tutorial, quick, bernoulli-200, "),
    ],
)
def test_faulty_toml_names_the_setting(line, replacement, message):
    text = to_toml(TrainConfig())
    assert line in text
    with pytest.raises(ConfigError) as fault:
        from_toml(text.replace(line, replacement, 1))
    assert str(fault.value).startswith(message)


nan, inf = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        *(({name: 0}, f"{name} must be positive") for name in ("epochs", "batch_size", "keep_last", "samples")),
        *(({name: -1}, f"{name} must be positive") for name in ("log_every", "evaluation_draws")),
        ({"free_bits": 1e300}, "free_bits must be at most 1e+30"),
        ({"latents": 65_537}, "latents must be at most 65536"),
        ({"samples": 10**8}, "samples must be at most 65536"),
        ({"hidden": 8_000_000_000}, "hidden must be a positive multiple of 8"),
        ({"beta": 0.0, "kl_warmup": 3}, "with beta 0 there is no KL term"),
        ({"beta": 0.0, "free_bits": 3.0}, "with beta 0 there is no KL term"),
        ({"weight_decay": 1e6}, "weight_decay times learning_rate must be below 1"),
        *(({"learning_rate": value}, "learning_rate must be positive") for value in (0.0, -1.0, nan, inf)),
        *(({name: nan}, f"{name} must be 0 or more") for name in ("weight_decay", "clip_norm", "beta", "free_bits")),
        *(({name: inf}, f"{name} must be 0 or more") for name in ("weight_decay", "clip_norm", "beta", "free_bits")),
        *(({name: -1}, f"{name} must be 0 or more") for name in ("warmup_steps", "held_out", "checkpoint_every")),
        *(({"hidden": value}, "hidden must be a positive multiple of 8") for value in (0, -8, 4, 12)),
        *(({"key": value}, f"key must lie between 0 and 2^63 - 1, not {value}") for value in (-1, 2**63)),
        ({"data": ""}, "data must be a path of printable characters, not ''"),
        ({"data": "a\nb"}, "data must be a path of printable characters"),
        *(
            ({"estimator": name, "binarise": "dynamic"}, f"the {name} estimator compares")
            for name in ("rloo", "vimco", "antithetic")
        ),
        *(
            ({"estimator": name, "samples": 4}, f"an importance-sampled bound ({name}) of grey pixels")
            for name in ("iwae", "stl-iwae", "dreg", "gdreg", "vimco", "rws")
        ),
        (
            {"estimator": "iwae", "binarise": "fixed", "beta": 2.0},
            "beta and kl_warmup have no meaning in the iwae bound",
        ),
        (
            {"estimator": "rws", "binarise": "fixed", "kl_warmup": 2},
            "beta and kl_warmup have no meaning in the rws bound",
        ),
        ({"estimator": "stl", "free_bits": 0.1}, "free_bits needs the KL in closed form"),
        ({"warmup_steps": 10}, "warmup_steps does nothing with a constant schedule"),
        *(({"device": value}, f"--device {value!r} is unknown") for value in ("", "gpu", "cuda:", "cpu:x", "cuda:0 ")),
        *(
            ({"name": value}, f"name {value!r} cannot name a run")
            for value in (
                "",
                ".",
                "..",
                "../x",
                "a/b",
                "/abs",
                "a\\b",
                "-x",
                ".hidden",
                "a\n",
                "a b",
                "é",
                "x" * 101,
            )
        ),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ConfigError) as fault:
        TrainConfig(**settings)
    assert str(fault.value).startswith(message)
    assert isinstance(fault.value, UserError)


def test_data_is_a_name_or_an_absolute_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    assert DATA_NAMES == data.NAMES
    assert [TrainConfig(data=name).data for name in DATA_NAMES] == list(DATA_NAMES)
    assert TrainConfig(data="a/../b.npy").data == os.path.join(os.getcwd(), "b.npy")
    assert TrainConfig(data="./mnist").data == os.path.join(os.getcwd(), "mnist")
    assert TrainConfig(data="~/x.npz").data == "/home/me/x.npz"


def test_every_field_has_a_help_text():
    source = Path(sys.modules[TrainConfig.__module__].__file__).read_text()
    for name in field_types(TrainConfig):
        _, _, after = source.partition(f"\n    {name}: ")
        assert after.partition("\n")[2].lstrip().startswith('"""'), name


def test_importing_the_settings_imports_no_torch():
    code = "import sys, vae_fn.run.config, vae_fn.run.folder, vae_fn.run.metrics; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("value", ["[" * 20_000, "9" * 5_000])
def test_toml_nested_too_deeply_or_with_endless_numbers_is_a_config_error(value):
    with pytest.raises(ConfigError, match="not valid TOML"):
        from_toml(f"epochs = {value}")
