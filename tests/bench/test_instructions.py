from tests.bench.canned import SOURCE
from vae_fn.bench import instructions
from vae_fn.errors import UserError


def test_without_valgrind_there_is_no_count(monkeypatch):
    monkeypatch.setattr(instructions.shutil, "which", lambda name: None)
    assert instructions.instructions(SOURCE, "eager", {}) == (None, "valgrind is not there")


def test_what_valgrind_does_not_run_has_no_count(monkeypatch):
    def call(function, request, environment):
        raise UserError("a process was ended by signal 4")

    monkeypatch.setattr(instructions.shutil, "which", lambda name: name)
    monkeypatch.setattr(instructions, "call", call)
    count, why = instructions.instructions(SOURCE, "eager", {})
    assert (count, why) == (None, "valgrind did not run it: a process was ended by signal 4")
