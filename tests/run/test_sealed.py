"""A record that lies is refused in one line, in a checkpoint and in a case, and takes no memory."""

import json
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.run.poison import exploding
from tests.run.resealed import resealed
from tests.run.test_checkpoints import record, write
from tests.training.problems import small_vae
from vae_fn.run.assemble import make_model
from vae_fn.run.cases import find_case, read_case
from vae_fn.run.checkpoints import read_model, read_parameters, read_record
from vae_fn.run.clinic import NonFiniteError
from vae_fn.run.config import TrainConfig
from vae_fn.run.folder import RunError
from vae_fn.run.sealed import checksum
from vae_fn.run.train import train

LIES = {
    "step": ("7", -1, 7.0, True, None, [7], 10**30),
    "epoch": ("1", -1, None),
    "batch": ("2", 0.5),
    "rows": ("3", -3, {}),
    "seconds": ("4.5", None, math.nan, 10**400, []),
    "skipped": ("0", False),
    "best_elbo": ("-100", math.inf, [], {"a": 1}),
    "config": (7, None, ["key = 1"]),
    "environment": ({}, [], "torch generator", None, {"torch": "2"}, {"torch": "2", "generator": 7}),
    "data": ("0", -1),
    "shape": ("34", [], 12, [3, -4], [0, 4], [1e9, 1e9], [10**9, 10**9], [[3, 4]], {"3": 4}, None, ["3", "4"]),
}
"""Values that no record has, by name."""


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in LIES.items() for value in values])
def test_a_record_of_other_kinds_is_refused(tmp_path, name, value):
    path = write(tmp_path)
    path.write_bytes(resealed(path, {name: value}))
    for read in (read_record, lambda path: read_parameters(path, small_vae())):
        with pytest.raises(RunError, match="is not a checkpoint of vae_fn; there is none before it: train again"):
            read(path)


def test_a_record_may_be_without_a_best_elbo(tmp_path):
    path = write(tmp_path)
    path.write_bytes(resealed(path, {"best_elbo": None}))
    assert read_record(path) == record(7)._replace(best_elbo=None)


def test_a_shape_that_lies_takes_no_memory(tmp_path):
    path = write(tmp_path)
    path.write_bytes(resealed(path, {"shape": [2**15, 2**16]}))
    with pytest.raises(RunError, match=r"holds another model: under 'encoder/0.weight' it has torch.float32"):
        read_model(path, lambda shape: make_model(TrainConfig(), shape))


@pytest.fixture(scope="module")
def lost(tmp_path_factory):
    """The case of a step that was lost, and what it holds."""
    settings = exploding(tmp_path_factory.mktemp("lost"))
    with pytest.raises(NonFiniteError):
        train(settings, quiet=True)
    path = find_case(settings.runs_dir / "small")
    return path, path.read_bytes()


LIES_OF_CASES = [
    *(({"step": value}, "not a case of vae_fn") for value in ("2", None, -1, 2.0)),
    *(({"found": value}, "not a case of vae_fn") for value in (1, "true")),
    *(({"config": value}, "not a case of vae_fn") for value in (1, {})),
    *(({"shape": value}, "not a case of vae_fn") for value in ([1e9, 1e9], "66", [], 36, [-6, -6], [10**9, 10**9])),
    ({"shape": [2**15, 2**16]}, "holds another model"),
    ({"more": 1}, "not a case of vae_fn"),
    ({"step": 3}, "it is of step 3, but its state is not"),
]
"""Changes of a record, and how it is refused."""


@pytest.mark.parametrize(("changes", "words"), LIES_OF_CASES)
def test_a_case_that_lies_is_refused(lost, changes, words):
    path, whole = lost
    path.write_bytes(whole)
    path.write_bytes(resealed(path, changes))
    with pytest.raises(RunError, match=words) as error:
        read_case(path)
    assert str(error.value).startswith(f"{path} ")
    assert "\n" not in str(error.value)


@given(
    st.dictionaries(
        st.text(),
        st.none() | st.integers() | st.floats(allow_nan=False) | st.lists(st.floats(allow_nan=False)) | st.text(),
    )
)
def test_a_checksum_outlives_json(values):
    tensors = {"x": torch.arange(3)}
    assert checksum(tensors, json.loads(json.dumps(values))) == checksum(tensors, values)
    assert checksum(tensors, values | {"more": 1}) != checksum(tensors, {**values, "more": 2})
