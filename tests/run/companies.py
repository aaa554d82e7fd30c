"""Ensembles of small runs, and what each of their members is by itself."""

from dataclasses import replace

from tests.run.runs import check_equal, settings
from vae_fn.run.members import Varied, member_settings
from vae_fn.run.train import train

VARIED = Varied(2, (1.0, 3.0))


def members(images, folder, varied=VARIED, **changes):
    return member_settings(settings(images, folder, **changes), varied)


def alone(config, folder):
    """The run of a member's settings by itself."""
    return train(replace(config, runs_dir=folder), quiet=True)


def check_members(configs, folder):
    """Every member left what it leaves alone, bit for bit."""
    for each in configs:
        check_equal(each.runs_dir / each.run_name, alone(each, folder))
