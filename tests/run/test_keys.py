"""No two draws of a run share a key, and no key is both drawn from and split."""

from typing import NamedTuple

import pytest
import torch

from tests.run.runs import settings, write_images
from vae_fn import random, tree
from vae_fn.run.evaluate import evaluate_run
from vae_fn.run.train import train
from vae_fn.training import step


class Used(NamedTuple):
    """The keys of which something was drawn, in that order, and those that have children."""

    drawn: list[tuple[int, int]]
    parents: set[tuple[int, int]]


@pytest.fixture
def used(monkeypatch):
    """Whatever keys are used for, from here on."""
    drawn, parents, draw = [], set(), random._draw

    def recorded(derive):
        def derived(key, *args):
            parents.update(words(key))
            return derive(key, *args)

        return derived

    monkeypatch.setattr(random, "_draw", lambda law, key, shape: drawn.extend(words(key)) or draw(law, key, shape))
    monkeypatch.setattr(random, "split", recorded(random.split))
    monkeypatch.setattr(random, "fold_in", recorded(random.fold_in))
    return Used(drawn, parents)


def words(key):
    """Each of a batch of keys; none where nothing is computed but shapes."""
    return map(tuple, key.reshape(-1, 2).view(torch.int64).tolist()) if tree.has_values(key) else ()


def small_run(folder):
    """Two epochs with dynamic pixels, an evaluation after each, pictures, and the test images at the end."""
    train(settings(write_images(folder), folder, binarise="dynamic", tensorboard=True), quiet=True)


def check_each_is_used_once(used):
    assert len(set(used.drawn)) == len(used.drawn) > 0
    assert not used.parents & set(used.drawn)


def test_no_two_draws_of_a_run_share_a_key(used, tmp_path):
    small_run(tmp_path)
    check_each_is_used_once(used)


def test_nor_do_those_of_an_evaluation_by_another_key(used, tmp_path):
    """On data that come divided, as whoever divides them anew does so by the same key."""
    few = {"epochs": 2, "batch_size": 20_000, "held_out": 0, "evaluation_draws": 1}
    evaluate_run(train(settings("mnist", tmp_path, binarise="dynamic", **few), quiet=True), draws=1, key=7)
    assert len(used.drawn) > 4 * 20_000
    check_each_is_used_once(used)


def from_one_stream(streams, number, specs, dtype):
    key = random.fold_in(streams.noise, number)
    return {name: random.draw(key, spec, dtype) for name, spec in specs.items()}


def alike_at_every_step(streams, number, specs, dtype):
    return {name: random.draw(getattr(streams, name), spec, dtype) for name, spec in specs.items()}


def from_a_key_and_its_child(streams, number, specs, dtype):
    key = random.fold_in(streams.noise, number)
    noise = random.normal(key, specs["noise"].shape, dtype)
    return {"noise": noise, "binarise": random.draw(key, specs["binarise"], dtype)}


@pytest.mark.parametrize("mutant", [from_one_stream, alike_at_every_step, from_a_key_and_its_child])
def test_a_run_that_uses_a_key_twice_is_rejected(mutant, used, tmp_path, monkeypatch):
    monkeypatch.setattr(step, "draw_noise", mutant)
    small_run(tmp_path)
    with pytest.raises(AssertionError):
        check_each_is_used_once(used)
