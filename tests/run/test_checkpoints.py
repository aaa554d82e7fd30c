"""What a checkpoint refuses, and what it offers instead."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load, save, save_file

from tests.run.resealed import resealed, rewritten
from tests.training.problems import algorithm, images, small_vae, streams
from vae_fn import random, tree
from vae_fn.run import sealed
from vae_fn.run.checkpoints import (
    BEST,
    Record,
    checkpoints,
    forget_after,
    newest,
    read_checkpoint,
    read_model,
    read_parameters,
    read_record,
    save_checkpoint,
)
from vae_fn.run.folder import RunError
from vae_fn.run.places import saved
from vae_fn.training import Batch
from vae_fn.training.loop import begin


def record(step):
    environment = {"torch": "2", "generator": "philox", "git": {"dirty": True}}
    return Record(step, 1, 2, 3, 4.5, 0, -100.25, "key = 1\n", environment, 2**32 - 1, [3, 4])


def content(seed=0, step=7):
    state = algorithm().init(streams(seed).init, Batch(images(4)))
    return begin(state._replace(step=torch.tensor(step, dtype=state.step.dtype)))._asdict() | {"key": random.key(seed)}


def write(run, step=7, seed=0, keep_last=9, best=False):
    return save_checkpoint(run, content(seed, step), record(step), keep_last=keep_last, best=best)


def check_round_trip(path, wanted, step):
    found, about = read_checkpoint(path, tree.shapes_of(content))
    assert about == record(step) == read_record(path)
    for name, leaf in tree.flat_names(wanted).items():
        assert torch.equal(tree.flat_names(found)[name], leaf), name
    assert type(found["state"]) is type(wanted["state"])


@pytest.mark.parametrize("seed", [0, 2**63])
def test_a_checkpoint_gives_back_what_it_was_given(tmp_path, seed):
    check_round_trip(write(tmp_path, seed=seed), content(seed), 7)


def test_the_comparison_sees_another_key_and_another_state(tmp_path):
    path = write(tmp_path, seed=1)
    for wrong in (content(0), content(1) | {"key": random.key(2)}):
        with pytest.raises(AssertionError):
            check_round_trip(path, wrong, 7)


@given(values=st.lists(st.floats(width=32, allow_subnormal=True), max_size=5), seed=st.integers(0, 2**64 - 1))
def test_every_bit_of_every_float_and_key_is_kept(tmp_path_factory, values, seed):
    run = tmp_path_factory.mktemp("run")
    kept = {"pending": torch.tensor(values, dtype=torch.float32), "key": random.key(seed), "none": None}
    found = read_checkpoint(save_checkpoint(run, kept, record(1), keep_last=1, best=False), kept).tensors
    assert found["pending"].view(torch.int32).tolist() == kept["pending"].view(torch.int32).tolist()
    assert found["key"].tolist() == kept["key"].tolist()
    assert found["none"] is None


def test_only_the_newest_are_kept_and_the_best_is_not_counted(tmp_path):
    for step in (5, 10, 15, 100):
        write(tmp_path, step, keep_last=2, best=step == 5)
    assert [path.name for path in checkpoints(tmp_path)] == ["step-000000100.safetensors", "step-000000015.safetensors"]
    assert newest(tmp_path).name == "step-000000100.safetensors"
    assert read_record(tmp_path / "checkpoints" / BEST).step == 5


def test_going_back_deletes_what_came_later_and_never_what_is_written(tmp_path):
    for step in (5, 10, 100):
        write(tmp_path, step)
    assert write(tmp_path, 7, keep_last=1).exists()
    forget_after(tmp_path, 7)
    assert [read_record(path).step for path in checkpoints(tmp_path)] == [7]


def test_steps_of_ten_digits_stay_in_order(tmp_path):
    for step in (999_999_999, 1_000_000_000):
        write(tmp_path, step)
    assert read_record(newest(tmp_path)).step == 1_000_000_000


def test_a_run_without_checkpoints_says_so(tmp_path):
    with pytest.raises(RunError, match=r"has no checkpoint yet: train it first, with --resume"):
        newest(tmp_path)


def test_a_run_that_was_lost_before_its_first_checkpoint_is_not_to_be_resumed(tmp_path):
    (tmp_path / "nonfinite").mkdir()
    (tmp_path / "nonfinite" / "step-000000002.safetensors").touch()
    for look in (newest, saved):
        with pytest.raises(RunError, match=r"as step 2 was not finite: see why with .*, then train anew"):
            look(tmp_path)


def flipped(path):
    content = bytearray(path.read_bytes())
    content[-3] ^= 4
    return bytes(content)


DAMAGE = {
    "truncated": (lambda path: path.read_bytes()[:-100], "is truncated or cannot be read"),
    "truncated in the header": (lambda path: path.read_bytes()[:50], "is truncated or cannot be read"),
    "empty": (lambda path: b"", "is truncated or cannot be read"),
    "one bit": (flipped, "is damaged: its checksum is wrong"),
    "a pickle": (lambda path: b"\x80\x04N.", "is truncated or cannot be read"),
    "foreign": (lambda path: save(load(path.read_bytes())), "is not a checkpoint of vae_fn"),
    "foreign metadata": (
        lambda path: save(load(path.read_bytes()), metadata={"vae_fn": "{"}),
        "is not a checkpoint of vae_fn",
    ),
    "newer": (
        lambda path: rewritten(path, lambda header: header | {"format": sealed.FORMAT + 1}),
        "was written by a newer version of vae_fn: update it",
    ),
    "other fields": (
        lambda path: rewritten(path, lambda header: header | {"record": {"step": 1}}),
        "is not a checkpoint of vae_fn",
    ),
    "no checksum": (
        lambda path: rewritten(path, lambda header: {key: header[key] for key in ("format", "record")}),
        "is not a checkpoint of vae_fn",
    ),
    "a list": (lambda path: rewritten(path, lambda header: [header]), "is not a checkpoint of vae_fn"),
    "format in words": (
        lambda path: rewritten(path, lambda header: header | {"format": "1"}),
        "is not a checkpoint of vae_fn",
    ),
    "too deep": (
        lambda path: save(load(path.read_bytes()), metadata={"vae_fn": "[" * 100_000}),
        "is not a checkpoint of vae_fn",
    ),
    "another record": (
        lambda path: rewritten(path, lambda header: header | {"record": header["record"] | {"rows": 4}}),
        "is damaged: its checksum is wrong",
    ),
    "another step": (
        lambda path: resealed(path, {"step": 11}),
        "is damaged: it is of step 11, but its state is not",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_no_whole_checkpoint_is_refused_and_the_one_before_it_offered(tmp_path, damage):
    change, words = DAMAGE[damage]
    before, path = write(tmp_path, 5), write(tmp_path, 10)
    path.write_bytes(change(path))
    with pytest.raises(RunError) as fault:
        read_checkpoint(path, tree.shapes_of(content))
    assert str(path) in str(fault.value)
    assert words in str(fault.value)
    assert f"go on from the one before it with --resume {before}" in str(fault.value)
    before.unlink()
    with pytest.raises(RunError, match="there is none before it: train again"):
        read_checkpoint(path, tree.shapes_of(content))


def test_a_model_is_read_once(tmp_path):
    path, shapes = write(tmp_path), []

    def make(shape):
        path.unlink()
        shapes.append(shape)
        return small_vae()

    model = read_model(path, make)
    assert (model.record, shapes) == (record(7), [(3, 4)])
    for one, other in zip(tree.leaves(model.params), tree.leaves(content()["state"].params), strict=True):
        assert torch.equal(one, other)


def test_another_model_is_refused(tmp_path):
    path = write(tmp_path)
    wide = small_vae(latent_dim=3)
    with pytest.raises(RunError, match=r"holds another model: under 'encoder/\S+' it has torch.float32"):
        read_parameters(path, wide)
    with pytest.raises(RunError, match="holds another model: under 'more' it has nothing"):
        read_checkpoint(path, tree.shapes_of(content) | {"more": torch.zeros(1)})


def test_parameters_alone_can_be_read(tmp_path):
    params, wanted = read_parameters(write(tmp_path), small_vae()), content()["state"].params
    for one, other in zip(tree.leaves(params), tree.leaves(wanted), strict=True):
        assert torch.equal(one, other)


def test_a_missing_file_names_the_folder(tmp_path):
    with pytest.raises(RunError, match="does not exist: see"):
        read_record(tmp_path / "checkpoints" / "step-000000001.safetensors")


def test_a_file_of_tensors_without_metadata_is_foreign(tmp_path):
    save_file({"x": torch.zeros(2)}, tmp_path / "x.safetensors")
    with pytest.raises(RunError, match="is not a checkpoint"):
        read_record(tmp_path / "x.safetensors")
