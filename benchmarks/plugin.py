"""What the pytest plugin costs in a test suite that uses nothing of the package.

    .venv/bin/python benchmarks/plugin.py

Runs pytest in fresh processes and writes results/plugin.json: the time to import the plugin inside pytest, and the
processor time that it adds to a trivial test, from runs with and without it in turn.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from tabulate import tabulate

from vae_fn import random
from vae_fn.run.environment import environment
from vae_fn.run.folder import write_atomic

RESULTS = Path(__file__).parent / "results" / "plugin.json"
SUITE = "import pytest\n@pytest.mark.parametrize('n', range({}))\ndef test_it(n): pass\n"
TIMED = """
import time
from importlib.metadata import EntryPoint

load = EntryPoint.load
def timed(self):
    start = time.perf_counter()
    plugin = load(self)
    if self.value == "pytest_vae_fn":
        print("LOADED", 1000 * (time.perf_counter() - start))
    return plugin
EntryPoint.load = timed

import pytest
pytest.main(["--version", "--version"])
"""
PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider")


def import_ms(folder: str) -> float:
    """Milliseconds that pytest takes to import the plugin and all that it imports."""
    found = subprocess.run([sys.executable, "-c", TIMED], cwd=folder, capture_output=True, text=True, check=True)
    return float(found.stdout.split("LOADED")[1].split()[0])


def seconds(folder: str, *args: str) -> float:
    """Seconds of processor time that a run of the suite takes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *PYTEST, *args], cwd=folder, capture_output=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="fresh processes of each kind")
    parser.add_argument("--tests", type=int, default=2000, help="tests of the suite")
    parser.add_argument("--json", type=Path, default=RESULTS, help="where to write the result")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "test_suite.py").write_text(SUITE.format(options.tests))
        import_ms(folder)  # writes the bytecode
        imports = [import_ms(folder) for _ in range(options.rounds)]
        added = [seconds(folder) - seconds(folder, "-p", "no:vae_fn") for _ in range(options.rounds)]
    q1, median, q3 = statistics.quantiles(1e6 * each / options.tests for each in added)
    result = {
        "rounds": options.rounds,
        "tests": options.tests,
        "import_ms": {"median": statistics.median(imports), "most": max(imports)},
        "added_to_a_test_us": {"q1": q1, "median": median, "q3": q3},
        "load": os.getloadavg(),
        "environment": environment("cpu", random.GENERATOR),
    }
    write_atomic(options.json, json.dumps(result, indent=2) + "\n")
    shown = [
        ("import in pytest", f"{statistics.median(imports):.2f} ms (at most {max(imports):.2f})"),
        ("added to a test", f"{median:.0f} us ({q1:.0f} to {q3:.0f})"),
    ]
    print(tabulate(shown))
    print(f"written to {options.json}")


if __name__ == "__main__":
    main()
