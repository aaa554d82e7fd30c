"""What is asked of which process, and what becomes of the answers; the processes are made up."""

from collections import Counter
from pathlib import Path

import pytest

from tests.bench.canned import FIRST, SOURCE, steady
from vae_fn.bench import Settings, measure, measuring
from vae_fn.bench.measuring import units

NAMES = ["eager", "compiled", "donated"]


@pytest.fixture
def asked(monkeypatch):
    """Processes that answer at once; what they were asked."""
    calls = []

    def call(function, request, environment, say=lambda what: None):
        calls.append((function.partition(":")[2], request, environment))
        if function.endswith(":first_call"):
            return FIRST._asdict()
        for name in request["caches"]:
            say(f"{name}: ready")
            for _ in range(request["windows"]):
                say(f"{name}: window")
        ms = {"eager": 9.0, "compiled": 6.0, "donated": 3.0}
        return {name: steady([ms[name]] * request["windows"])._asdict() for name in request["caches"]}

    monkeypatch.setattr(measuring, "call", call)
    return calls


def test_rows_of_every_size_in_order(asked):
    sources, heard = [SOURCE, SOURCE._replace(batch=256)], []
    rows = list(measure(sources, NAMES, Settings(5), progress=heard.append))
    assert [(row["batch"], row["name"]) for row in rows] == [(size, name) for size in (128, 256) for name in NAMES]
    assert [row["speedup"]["median"] for row in rows[:3]] == [1.0, 1.5, 3.0]
    assert len(heard) == units(sources, NAMES, Settings(5))


def test_cold_and_warm_share_a_cache_that_was_empty_and_the_windows_run_in_one_process(asked):
    list(measure([SOURCE], NAMES, Settings(5, 7)))
    assert Counter(function for function, _, _ in asked) == {"first_call": 5, "steady": 1}
    caches = {
        name: [each["TORCHINDUCTOR_CACHE_DIR"] for _, request, each in asked[:-1] if request["variant"] == name]
        for name in NAMES[1:]
    }
    assert all(len(set(places)) == 1 and len(places) == 2 for places in caches.values())
    assert caches["compiled"][0] != caches["donated"][0]
    assert asked[0][2] == {}
    request = asked[-1][1]
    assert request["caches"] == {"eager": None} | {name: places[0] for name, places in caches.items()}
    assert (request["windows"], request["steps"]) == (5, 7)
    assert not Path(caches["compiled"][0]).exists(), "it is removed at the end"


def test_without_the_eager_row_nothing_is_said_of_gains(asked):
    (row,) = measure([SOURCE], ["donated"], Settings(5))
    assert (row["speedup"], row["break_even_steps"]) == (None, None)


def test_instructions_are_counted_where_asked_for(asked, monkeypatch):
    monkeypatch.setattr(measuring, "instructions", lambda source, name, variables: (1e6, None))
    (row,) = measure([SOURCE], ["eager"], Settings(5, instructions=True))
    assert (row["instructions"], row["notes"]) == (1e6, {})


def test_what_is_compiled_to_be_counted_is_kept_from_what_is_timed(asked, monkeypatch):
    places = {}

    def instructions(source, name, variables):
        places[name] = variables.get("TORCHINDUCTOR_CACHE_DIR")
        return 1e6, None

    monkeypatch.setattr(measuring, "instructions", instructions)
    list(measure([SOURCE], NAMES, Settings(5, instructions=True)))
    timed = [environment["TORCHINDUCTOR_CACHE_DIR"] for _, _, environment in asked if environment]
    assert places["eager"] is None
    assert len({places["compiled"], places["donated"], *timed}) == 4
