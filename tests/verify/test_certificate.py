import hashlib
import json
import math

import pytest

from vae_fn import random
from vae_fn.verify.certificate import Certificate, Provenance, provenance
from vae_fn.verify.mutations.fates import Mutated
from vae_fn.verify.report import Report
from vae_fn.verify.verdict import Verdict

PASSED = Verdict("mean", "mine on a problem", "exact", "passed", "within 1e-12", 1e-12, 2.5e-8, draws=105, seconds=0.25)
BIASED = Verdict(
    "mean_bounded",
    "mine on a problem",
    "bounded",
    "biased",
    "1 where 2 is claimed",
    1.0,
    0.1,
    draws=1000,
    replay="of its own",
)
UNDECIDED = Verdict("pure", "mine", "deterministic", "inconclusive", "it does not run")
PLACE = Provenance(
    "my_file.py:mine", "estimator", "my_file.py", "ab" * 16, {"vae_fn": "1.2", "torch": "3.4"}, "7", "vae-fn verify x"
)
MUTATED = Mutated(("joint: negated", "joint: zeroed"), ("path: flipped",), (), ("value: the same",))


def certificate(*verdicts, mutated=None, not_covered=("the rest",), asked=False):
    return Certificate(Report("mine", verdicts, not_covered), mutated, PLACE, mutants_asked=asked)


def test_all_that_is_said():
    text = str(certificate(PASSED, BIASED, mutated=MUTATED))
    assert text == "\n".join(
        [
            "my_file.py:mine, an estimator: biased (1 passed, 1 biased)",
            "",
            "check         on         tier     verdict      resolves    draws    ms",
            "------------  ---------  -------  ---------  ----------  -------  ----",
            "mean          a problem  exact    passed        2.5e-08      105   250",
            "mean_bounded  a problem  bounded  biased            0.1     1000     0",
            "",
            "mean_bounded of mine on a problem: biased (bounded): 1 where 2 is claimed",
            "replay: vae-fn verify x",
            "",
            "mutants: 2 of 3 killed, 1 equivalent",
            "  killed: joint: negated; joint: zeroed",
            "  survived: path: flipped",
            "  equivalent: value: the same",
            "",
            "not covered:",
            "  the rest",
            "",
            f"source: blake2b {'ab' * 16} of the file my_file.py, without what it imports",
            "versions: vae_fn 1.2, torch 3.4",
            "epoch: 7",
        ]
    )


def test_what_passed_is_not_replayed():
    assert "replay" not in str(certificate(PASSED))


@pytest.mark.parametrize(
    ("verdicts", "status"),
    [
        ((PASSED,), "passed"),
        ((PASSED, UNDECIDED), "inconclusive"),
        ((UNDECIDED, BIASED), "biased"),
        ((), "inconclusive"),
    ],
)
def test_status(verdicts, status):
    found = certificate(*verdicts)
    assert found.status == found.to_dict()["status"] == status
    assert f": {status} (" in str(found).splitlines()[0]


def test_a_battery_without_checks_decides_nothing():
    assert str(certificate()).startswith(
        "my_file.py:mine, an estimator: inconclusive (no check applies)\n\nnot covered:"
    )


def test_mutants_that_were_asked_for_in_vain():
    assert "mutants: none were made, as not every check passed" in str(certificate(BIASED, asked=True))
    assert "mutants" not in str(certificate(BIASED))


def test_json_holds_the_same():
    found = json.loads(json.dumps(certificate(PASSED, UNDECIDED, mutated=MUTATED).to_dict(), allow_nan=False))
    assert math.isnan(UNDECIDED.gap)
    assert found["checks"][1]["gap"] is None
    assert found["checks"][0]["resolvable"] == 2.5e-8
    assert found["mutants"]["survived"] == ["path: flipped"]
    assert found["not_covered"] == ["the rest"]
    assert {name: found[name] for name in PLACE._fields} == PLACE._asdict()
    assert certificate(PASSED).to_dict()["mutants"] is None


def test_provenance(tmp_path, monkeypatch):
    monkeypatch.setenv("VAE_FN_EPOCH", "2026-11-25")
    file = tmp_path / "mine.py"
    file.write_bytes(b"x = 1\n")
    found = provenance("mine.py:x", "function", file, "mine.py")
    assert found.blake2b == hashlib.blake2b(b"x = 1\n", digest_size=16).hexdigest()
    assert found.epoch == "2026-11-25"
    assert found.versions["generator"] == random.GENERATOR
    assert {"vae_fn", "torch", "python"} < set(found.versions)
    assert found.replay.startswith("VAE_FN_EPOCH=2026-11-25 ")
    assert provenance("math:sin", "function", None, None).blake2b is None
