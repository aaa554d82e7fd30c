"""Keys hashed from what is tested: the same claim the same key, anything else another."""

import functools
import shlex

import pytest
import torch

from vae_fn import random
from vae_fn.verify import seeds
from vae_fn.verify.seeds import key_of, name_of, replay_line, seed_of

VALUE = {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor(3.0)}


@pytest.fixture(autouse=True)
def no_epoch(monkeypatch):
    monkeypatch.delenv(seeds.EPOCH, raising=False)


def test_the_same_claim_has_the_same_key():
    assert torch.equal(key_of("name", VALUE, "stage"), key_of("name", dict(VALUE), "stage"))
    wider = {name: leaf.double() for name, leaf in VALUE.items()}
    assert torch.equal(key_of("name", VALUE, "stage"), key_of("name", wider, "stage"))


def test_all_that_is_claimed_is_hashed(monkeypatch):
    moved = {**VALUE, "b": VALUE["b"] + 1e-6}
    keys = [
        key_of("name", VALUE, "stage"),
        key_of("name", VALUE, "stage 1"),
        key_of("names", VALUE, "tage"),
        key_of("name", moved, "stage"),
        key_of("name", {"a": VALUE["a"], "c": VALUE["b"]}, "stage"),
        key_of("name", (), "stage"),
    ]
    monkeypatch.setenv(seeds.EPOCH, "2026-11-22")
    keys.append(key_of("name", VALUE, "stage"))
    assert len({tuple(key.tolist()) for key in keys}) == len(keys)


def test_seeds_for_other_generators_are_numbers_of_64_bits():
    found = [seed_of(random.fold_in(random.key(0), i)) for i in range(100)]
    assert len(set(found)) == 100
    assert all(0 <= seed < 2**64 for seed in found)
    assert max(found) > 2**60
    assert seed_of(random.key(5)) == seed_of(random.key(5))


def test_names_say_where_a_function_is_defined():
    def box(key, count):
        return key

    class Callable:
        def __call__(self):
            return None

    assert name_of(box, "mine") == "mine"
    assert name_of(box, None).endswith("test_seeds.test_names_say_where_a_function_is_defined.<locals>.box")
    assert name_of(functools.partial(box, 1), None) == name_of(box, None)
    assert name_of(Callable(), None).endswith("Callable")


def test_the_replay_line_runs_this_test_again(monkeypatch):
    assert replay_line().startswith("VAE_FN_EPOCH=0 pytest ")
    assert "test_seeds.py::test_the_replay_line_runs_this_test_again" in replay_line()
    monkeypatch.setenv(seeds.EPOCH, "a date")
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    monkeypatch.setattr("sys.argv", ["/some/where/check.py", "--option", "a b"])
    assert replay_line() == "VAE_FN_EPOCH='a date' python /some/where/check.py --option 'a b'"
    monkeypatch.setattr("sys.argv", ["/some/where/bin/vae-fn", "verify", "a.py:b"])
    assert replay_line() == "VAE_FN_EPOCH='a date' vae-fn verify a.py:b"
    for words in (["-m", "package", "word"], ["-c", "code()"]):
        first = "/some/where/package/__main__.py" if words[0] == "-m" else words[0]
        monkeypatch.setattr("sys.argv", [first, *words[2:]])
        monkeypatch.setattr("sys.orig_argv", ["/some/where/python", *words])
        assert replay_line() == f"VAE_FN_EPOCH='a date' {shlex.join(['python', *words])}"


@pytest.mark.parametrize("test", ["a/b.py::test_c", "a/b.py::TestC::test_d[x@y-1]", "a@b.py::test_c[[]]", "a.py::t[@]"])
def test_the_group_of_a_worker_is_no_part_of_a_test(test, monkeypatch):
    monkeypatch.setenv("PYTEST_CURRENT_TEST", f"{test} (call)")
    assert replay_line() == f"VAE_FN_EPOCH=0 {shlex.join(['pytest', test])}"
    monkeypatch.setenv("PYTEST_XDIST_WORKER", "gw0")
    assert replay_line() == f"VAE_FN_EPOCH=0 {shlex.join(['pytest', test])}"
    monkeypatch.setenv("PYTEST_CURRENT_TEST", f"{test}@a group (call)")
    assert replay_line() == f"VAE_FN_EPOCH=0 {shlex.join(['pytest', test])}"
