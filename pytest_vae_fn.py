"""The pytest plugin of `vae_fn.verify`: it counts statistical assertions, holds their budget, and refuses re-runs.

A run that executed any ends with

    statistical: 312 assertions, suite false-alarm <= 3.1e-07
    mutants: 71 of 71 rejected

It fails if the levels sum to more than the ini option `statistical_budget` (1e-6), if a mutant survived, if a test with
statistical assertions was run again, or if counts of a pytest-xdist worker that crashed are lost. The sum is the union
bound, which holds under any dependence. A failed test shows the line that runs it again with the same keys.

Re-runs are refused because a check has its own: it rejects after several stages on fresh draws, at a level that counts
them all. The examples of a Hypothesis test are executed within one run, and each is counted.

A pull request runs with the keys of epoch "0", the same each time. A nightly run moves all keys on:

    VAE_FN_EPOCH=$(date -I) pytest

Not seen are assertions that a test executes in processes of its own, and loops that repeat a check within one run of a
test until it passes.

The module stands beside the package and imports nothing of it: it is loaded before any conftest.py wherever the package
is installed, and what is imported by then escapes jaxtyping's import hook and the measurement of coverage. It reads the
ledger once a test has imported it; until then it prints and changes nothing. PYTEST_DONT_REWRITE: it asserts nothing.
"""

import math
import sys
from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

if TYPE_CHECKING:
    from vae_fn.verify.ledger import Entry

BUDGET = "statistical_budget"
MESSAGE = "vae_fn_statistics"
"""Under this name a worker's tally travels: with every report, and at its end with `workeroutput`."""

REFUSAL = (
    "this statistical test ({executed}) is run again, which is refused: the confirmation stages of a check are its "
    "re-runs, at a stated level, and each further run adds to the false-alarm rate of the suite. Exclude it from "
    "whatever re-runs tests (pytest-rerunfailures, flaky)."
)


START = pytest.StashKey[int]()
"""How many entries the ledger had when the item's setup began."""

FIRST = pytest.StashKey["tuple[tuple[Entry, ...], tuple[str, ...]]"]()
"""What the item's first run executed, if it was statistical, and the error it ended with, where it is known."""


class Tally(NamedTuple):
    """Executed assertions, the sum of their levels, mutants that were tried, survivors, tests that were run again."""

    assertions: int = 0
    level: float = 0.0
    mutants: int = 0
    survivors: tuple[str, ...] = ()
    repeated: tuple[str, ...] = ()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register the one ini option."""
    parser.addini(BUDGET, "what the levels of all statistical assertions may sum to", default="1e-6")


def pytest_configure(config: pytest.Config) -> None:
    """Count for this session."""
    config.pluginmanager.register(Statistics(config), "vae_fn.statistics")


class Statistics:
    """What one session executed: in this process, and on the controller of pytest-xdist in its workers."""

    def __init__(self, config: pytest.Config):
        """Begin to count: what another session executed in this process before is not counted."""
        self.budget = _probability(config.getini(BUDGET))
        self.is_worker = hasattr(config, "workerinput")
        ledger = _ledger()
        self.before = (len(ledger.ENTRIES), len(ledger.TRIALS)) if ledger else (0, 0)
        self.repeated: list[str] = []
        self.of_workers: dict[str, Tally] = {}
        self.unfinished: set[str] = set()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """A run of a test begins."""
        ledger = _ledger()
        item.stash[START] = len(ledger.ENTRIES) if ledger else 0

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Run a test, for plugins that repeat the call phase."""
        return (yield from self._once(item))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> Generator[None, Any, Any]:
        """Call a test's function, for plugins that repeat it within the call phase."""
        return (yield from self._once(pyfuncitem))

    def _once(self, item: pytest.Item) -> Generator[None, Any, Any]:
        if FIRST in item.stash:
            self.repeated.append(item.nodeid)
            entries, error = item.stash[FIRST]
            refusal = REFUSAL.format(executed=_assertions(len(entries)))
            pytest.fail("\n".join([refusal, *error, *_replays(entries)]), pytrace=False)
        try:
            return (yield)
        except BaseException as error:
            _end(item, f"The first run ended with {type(error).__name__}: {error}")
            raise
        finally:
            _end(item)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Say how a failed test is run again with the same keys."""
        report = yield
        if report.when == "teardown":
            _end(item)
        if report.failed:
            _say(report, [line for line in _replays(_executed(item)) if line not in report.longreprtext])
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Send a worker's tally with each report, so that little is lost when it crashes."""
        if self.is_worker and _ledger():
            setattr(report, MESSAGE, tuple(self.own()))
        elif hasattr(report, MESSAGE):
            self.of_workers[report.node.gateway.id] = Tally(*getattr(report, MESSAGE))

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodeready(self, node: Any) -> None:
        """A worker starts."""
        self.unfinished.add(node.gateway.id)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """A worker has finished, or it has crashed and sent no output."""
        output = getattr(node, "workeroutput", None)
        if output is not None:
            self.unfinished.discard(node.gateway.id)
            if MESSAGE in output:
                self.of_workers[node.gateway.id] = Tally(*output[MESSAGE])

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Send a worker's tally; elsewhere fail a session that would pass in spite of what is wrong."""
        if self.is_worker and _ledger():
            session.config.workeroutput[MESSAGE] = tuple(self.own())  # type: ignore[attr-defined]
        elif not self.is_worker and session.exitstatus == pytest.ExitCode.OK and self.faults():
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: "pytest.TerminalReporter") -> None:
        """Print what was executed, and what is wrong with it."""
        for line in self.lines():
            terminalreporter.write_line(line)
        for fault in self.faults():
            terminalreporter.write_line(fault, red=True)

    def own(self) -> Tally:
        """What this process executed."""
        ledger = _ledger()
        if ledger is None:
            return Tally()
        entries, trials = ledger.ENTRIES[self.before[0] :], ledger.TRIALS[self.before[1] :]
        survivors = tuple(trial.mutant for trial in trials if not trial.killed)
        level = math.fsum(entry.alpha for entry in entries)
        return Tally(len(entries), level, len(trials), survivors, tuple(dict.fromkeys(self.repeated)))

    def total(self) -> Tally:
        """What all processes executed."""
        assertions, levels, mutants, survivors, repeated = zip(self.own(), *self.of_workers.values(), strict=True)
        return Tally(sum(assertions), math.fsum(levels), sum(mutants), sum(survivors, ()), sum(repeated, ()))

    def lost(self) -> list[str]:
        """The workers whose counts are not complete; none where no process uses the ledger."""
        return sorted(self.unfinished) if self.of_workers or _ledger() else []

    def lines(self) -> list[str]:
        """What was executed, as it is printed; nothing if that is nothing."""
        total, lines = self.total(), []
        if total.assertions:
            lines.append(f"statistical: {_assertions(total.assertions)}, suite false-alarm <= {total.level:.2g}")
        if total.mutants and not total.survivors:
            lines.append(f"mutants: {total.mutants} of {total.mutants} rejected")
        return lines

    def faults(self) -> list[str]:
        """Why the run fails, a line each."""
        total, lost, found = self.total(), self.lost(), []
        if total.level > self.budget * (1 + 1e-9):  # a thousand times 1e-9 is 1e-6
            sums = f"the levels sum to {total.level:.3g}, more than {BUDGET} = {self.budget:g}"
            found.append(f"statistical: {sums}: make fewer assertions or lower levels, or integrate where you can")
        if total.survivors:
            killed = total.mutants - len(total.survivors)
            found.append(f"mutants: {killed} of {total.mutants} rejected; survived: {', '.join(total.survivors)}")
        if total.repeated:
            found.append(f"statistical: run again, which is refused: {', '.join(total.repeated)}")
        if lost:
            found.append(f"statistical: {', '.join(lost)} did not finish: counts after the last report are lost")
        return found


def _ledger() -> Any:
    """The ledger, if anything has imported it."""
    return sys.modules.get("vae_fn.verify.ledger")


def _assertions(count: int) -> str:
    return f"{count} assertion{'s' * (count != 1)}"


def _executed(item: pytest.Item) -> "tuple[Entry, ...]":
    """The statistical assertions since the item's setup began."""
    ledger = _ledger()
    return tuple(ledger.ENTRIES[item.stash[START] :]) if ledger and START in item.stash else ()


def _end(item: pytest.Item, *error: str) -> None:
    """Remember the item's first run, if it was statistical."""
    if entries := _executed(item):
        item.stash.setdefault(FIRST, (entries, error))


def _replays(entries: "Iterable[Entry]") -> list[str]:
    """The distinct lines that run assertions again."""
    return [f"replay: {line}" for line in dict.fromkeys(entry.replay for entry in entries)]


def _say(report: pytest.TestReport, lines: list[str]) -> None:
    """Add lines to what a report says of its failure."""
    if lines and hasattr(report.longrepr, "addsection"):
        report.longrepr.addsection("statistical", "\n".join(lines))  # type: ignore[union-attr]
    elif lines:
        report.longrepr = "\n".join([report.longreprtext, *lines])


def _probability(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise pytest.UsageError(f"{BUDGET} is a probability such as 1e-6, not {text!r}")
    return value
