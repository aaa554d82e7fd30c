"""The step of a preset's settings, as `vae-fn bench` times it: that of training, by members, precisions and sizes."""

import json
from dataclasses import replace

import pytest
import torch

from tests.run.runs import settings, write_images
from vae_fn import tree
from vae_fn.bench import Source
from vae_fn.bench.parity import STEPS, exact_parameters, relative_error
from vae_fn.bench.purity import check_step
from vae_fn.bench.work import work_of
from vae_fn.cli.benched import settings_source
from vae_fn.cli.timing import PresetOptions, Timing
from vae_fn.run.assemble import assemble
from vae_fn.run.train import initial_state
from vae_fn.training import step_by_shape


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    return settings(write_images(folder), folder, batch_size=30)


def made(config, **changes):
    source = settings_source(config)
    return Source(*json.loads(json.dumps(source))).subject(changes)


def test_the_step_of_settings_is_that_of_training(config):
    subject, parts = made(config), assemble(config)
    check_step(subject, "it")
    run, state, timed_state = step_by_shape(parts.algorithm), initial_state(parts), subject.state
    for i in range(3):
        state, info = run(state, parts.batches(i), parts.streams)
        timed_state, timed_info = subject.step(timed_state, *subject.inputs)
        for one, other in zip(tree.leaves((state, info)), tree.leaves((timed_state, timed_info)), strict=True):
            assert torch.equal(one, other)


def test_the_step_goes_round_the_full_batches(config):
    """320 images are 10 batches of 30 and a short one, which is not timed."""
    subject = made(config)
    state = subject.state._replace(step=torch.tensor(1_000_003))
    assert torch.isfinite(subject.step(state, *subject.inputs)[1].loss)


def test_micro_batches_do_the_work_of_the_whole_batch(config):
    """320 images are 10 batches of 30 in slices of 8, of which the last has 6."""
    whole, sliced = (work_of(made(replace(config, microbatch=size))) for size in (0, 8))
    assert sliced.flops == whole.flops > 0
    assert sliced.products.total() == 4 * whole.products.total()


def test_every_precision_is_held_against_the_same_float64(config):
    plain, low = made(config), made(config, precision="bfloat16")
    exact = exact_parameters(plain)
    assert relative_error(exact_parameters(low), exact) == 0
    errors = []
    for subject in (plain, low):
        state = subject.state
        for _ in range(STEPS):
            state, _ = subject.step(state, *subject.inputs)
        errors.append(relative_error(state.params, exact))
    assert errors[0] < 1e-4
    assert errors[1] > 10 * errors[0]
    assert (plain.precision, low.precision) == ("float32", "bfloat16")


def after(subject, steps):
    """The state after so many steps, and what they told."""
    state, told = subject.state, []
    for _ in range(steps):
        state, info = subject.step(state, *subject.inputs)
        told.append(info)
    return state, told


def test_members_advance_as_they_do_alone(config):
    """Their keys count up, each has its own order and noise; without a short batch the orders are those of one."""
    config = replace(config, batch_size=32)
    joint = after(settings_source(config, 3).subject({}), 3)
    for number in range(3):
        alone = after(made(replace(config, key=config.key + number)), 3)
        for one, other in zip(tree.leaves(joint), tree.leaves(alone), strict=True):
            torch.testing.assert_close(one[number], other, rtol=1e-4, atol=1e-5)


def test_a_joint_step_goes_round_the_full_batches(config):
    joint = settings_source(config, 2).subject({})
    state = joint.state._replace(step=torch.full((2,), 1_000_003))
    assert torch.isfinite(joint.step(state, *joint.inputs)[1].loss).all()


def test_every_size_goes_with_every_other(config):
    timing = Timing(batch_sizes="64,32", sample_counts="4,1", members="8")
    sources = PresetOptions(config, timing).sources()
    assert [(each.batch, each.samples, each.members) for each in sources] == [
        (32, 1, 8),
        (32, 4, 8),
        (64, 1, 8),
        (64, 4, 8),
    ]
