"""Functions in new processes: what they return, say, refuse, and how they end."""

import pytest

from vae_fn.bench.fresh import call
from vae_fn.errors import UserError


def test_a_result_and_what_is_said_on_the_way():
    said = []
    told = call("tests.bench.toys:answer", {"number": 21}, {"A_VARIABLE": "set"}, said.append)
    assert told == {"twice": 42, "variable": "set"}
    assert said == ["working"]


def test_a_process_can_run_under_another_command():
    under = ("env", "A_VARIABLE=of the command")
    told = call("tests.bench.toys:answer", {"number": 21}, {"A_VARIABLE": "set"}, under=under)
    assert told["variable"] == "of the command"


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("mistake", UserError, "^choose another number$"),
        ("fault", RuntimeError, "can't allocate memory"),
        ("killed", UserError, "ended by signal 9"),
    ],
)
def test_how_a_process_can_end(name, kind, message):
    with pytest.raises(kind, match=message):
        call(f"tests.bench.toys:{name}", {}, {})
