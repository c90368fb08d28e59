"""What the driver asks of pytest: leave out what a list names, and say of each test how it ended.

--deselected=FILE has a line for each test to leave out: its id, in which `*` stands for anything, two spaces or more, and
the reason. A line without a reason or that fits no test is an error: so the list stays true.
--outcomes=FILE gets a line for each test when it is over: how it ended, the seconds, the id;
one more, `rerun`, stands before it for each time that it failed and was run again.
"""

import collections
import pathlib
import re

import pytest


def pytest_addoption(parser):
    group = parser.getgroup("haremq")
    group.addoption("--deselected", type=pathlib.Path)
    group.addoption("--outcomes", type=pathlib.Path)


def pytest_configure(config):
    if config.getoption("--outcomes"):
        config.pluginmanager.register(Outcomes(config.getoption("--outcomes")))
    # Marks of the suites that their own configuration does not declare.
    config.addinivalue_line("markers", "env(name): what it needs")
    config.addinivalue_line("markers", "flaky(reruns, reruns_delay, cause): the suite runs it again")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    if not config.getoption("--deselected"):
        return
    entries = [Entry(line) for line in config.getoption("--deselected").read_text().splitlines() if line[:1] not in ("", "#")]
    kept, left_out = [], []
    for item in items:
        fitting = [entry for entry in entries if entry.fits(item.nodeid)]
        (left_out if fitting else kept).append(item)
        for entry in fitting:
            entry.used = True
    unused = [entry.pattern for entry in entries if not entry.used]
    if unused:
        raise pytest.UsageError(f"deselected, but no such test: {unused}")
    items[:] = kept
    config.hook.pytest_deselected(items=left_out)
    outcomes = config.getoption("--outcomes")
    if outcomes:
        with outcomes.open("a") as file:
            file.writelines(f"deselected 0 {item.nodeid}\n" for item in left_out)


class Entry:
    def __init__(self, line):
        self.pattern, *reason = re.split(r"\s{2,}", line.strip(), maxsplit=1)
        if not reason:
            raise pytest.UsageError(f"deselected without a reason: {line}")
        self.expression = re.compile(".*".join(re.escape(part) for part in self.pattern.split("*")))
        self.used = False

    def fits(self, test):
        return self.expression.fullmatch(test) is not None


class Outcomes:
    """A test has set-up, call and tear-down, and may have subtests: the worst of them is how it ended."""

    WORST = ["failed", "skipped", "passed"]

    def __init__(self, path):
        self.path = path
        self.seen = collections.defaultdict(list)
        self.seconds = collections.Counter()

    def pytest_runtest_logreport(self, report):
        if report.outcome == "rerun":
            self.seen.pop(report.nodeid, None)
            return self.write("rerun", report.nodeid)
        self.seen[report.nodeid].append(report.outcome)
        self.seconds[report.nodeid] += report.duration
        if report.when == "teardown":
            seen = self.seen.pop(report.nodeid)
            outcome = next(outcome for outcome in self.WORST if outcome in seen)
            self.write(outcome, report.nodeid)

    def write(self, outcome, test):
        with self.path.open("a") as file:
            file.write(f"{outcome} {self.seconds[test]:.2f} {test}\n")
