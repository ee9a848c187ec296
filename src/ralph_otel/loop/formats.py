"""What the output of test programs looks like: one reader a program, fed line by line.

A program's closing summary is the truth about the counts. The lines that it prints for single tests give the test
ids, and the counts too where there is no summary: a program that was killed, or told to be quiet.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from ralph_otel.loop.tally import FAILED, MAX_RESULTS, PASSED, SKIPPED, Tally, counts_in

OUTCOMES = {
    **dict.fromkeys(("PASSED", "PASS", "pass", "ok", "XFAIL", "XPASS", "expected failure"), PASSED),
    **dict.fromkeys(("FAILED", "FAIL", "fail", "ERROR", "unexpected success"), FAILED),
    **dict.fromkeys(("SKIPPED", "SKIP", "skip", "skipped", "ignored"), SKIPPED),
}
"""What test programs call the outcome of one test."""
PYTEST_LETTERS = {".": PASSED, "x": PASSED, "X": PASSED, "F": FAILED, "E": FAILED, "s": SKIPPED}
"""How pytest shows the outcome of one test when it isn't verbose; its other letters are no tests of their own."""


class Reader(Protocol):
    """Reads one test program's output."""

    def line(self, text: str) -> None:
        """Take one line: without colours, line end and trailing blanks."""

    def tally(self) -> Tally | None:
        """Return what was read, or None if this program did not speak."""


@dataclass(frozen=True)
class Format:
    """A test program whose lines can be read one by one."""

    summary: tuple[re.Pattern[str], ...]
    """Lines of the closing summary; the first group is the part with the counts."""
    results: tuple[re.Pattern[str], ...] = ()
    """Lines that say how one test ended; groups `test`, `outcome` and perhaps `scope`, what the test is in."""
    head: re.Pattern[str] | None = None
    """The first line of a result that goes on in the next line."""


FORMATS = {
    "unittest": Format(
        summary=(
            re.compile(r"^(Ran [0-9]{1,9}) tests? in [0-9.]+s$"),
            re.compile(r"^(?:OK|FAILED|NO TESTS RAN) \((.+)\)$"),
        ),
        results=(
            re.compile(
                r"^(?P<test>\w+) \((?P<scope>[\w.]+)\).*? \.\.\. "
                r"(?P<outcome>ok|FAIL|ERROR|skipped|expected failure|unexpected success)\b"
            ),
            re.compile(r"^(?P<outcome>FAIL|ERROR): (?P<test>\w+) \((?P<scope>[\w.]+)\)"),
        ),
        head=re.compile(r"^\w+ \([\w.]+\)$"),
    ),
    "cargo test": Format(
        summary=(re.compile(r"^test result: \w+\. (.+)$"),),
        results=(re.compile(r"^test (?P<test>.+?) \.\.\. (?P<outcome>ok|FAILED|ignored)\b"),),
    ),
    "jest": Format(summary=(re.compile(r"^Tests: +(.+, [0-9]+ total)$"),)),
    "vitest": Format(summary=(re.compile(r"^ +Tests  +(.+) \([0-9]+\)$"),)),
    "mocha": Format(summary=(re.compile(r"^  ([0-9]{1,9} (?:passing|failing|pending))(?: \(\w+\))?$"),)),
    "node --test": Format(summary=(re.compile(r"^[ℹ#] ((?:pass|fail|cancelled|skipped|todo) [0-9]{1,9})$"),)),
}
"""Programs for which a table is enough, each as the program itself prints it."""


class TableReader:
    """Reads the output of a program of `FORMATS`."""

    def __init__(self, format_: Format) -> None:
        self._format = format_
        self._sum: Counter[str] | None = None
        self._tests = Tally()
        self._head = ""

    def line(self, text: str) -> None:
        for summary in self._format.summary:
            if (match := summary.match(text)) and (counts := counts_in(match[1])):
                self._sum = (self._sum or Counter()) + counts
        self._result(f"{self._head} {text}" if self._head else text)
        self._head = text if self._format.head and self._format.head.match(text) else ""

    def _result(self, text: str) -> None:
        for result in self._format.results:
            if match := result.match(text):
                found = match.groupdict()
                self._tests.count(OUTCOMES[found["outcome"]], _scoped(found["test"], found.get("scope")))

    def tally(self) -> Tally | None:
        return _best(self._sum, self._tests)


def _scoped(test: str, scope: str | None) -> str:
    """A test's full name. unittest names the scope with the test in it since Python 3.11, without it before."""
    return test if not scope else scope if scope.endswith(f".{test}") else f"{scope}.{test}"


def _best(summary: Counter[str] | None, tests: Tally) -> Tally | None:
    """The summary's counts, or else those of the single tests; None without either."""
    if summary is not None:
        return Tally(summary, tests.results)
    return tests if tests.counts else None


class Pytest:
    """Reads pytest's terminal output, with any of its options.

    What a failed test printed is shown in the report of its failure, and may itself look like pytest's summary: one
    found there counts only if none comes after it.
    """

    SECTION = re.compile(r"^=+ (FAILURES|ERRORS|PASSES|XFAILURES|XPASSES|short test summary info) =+$")
    SUMMARY = re.compile(r"^(?:=+ )?([0-9][0-9a-z, ]*|no tests ran) in [0-9.]+(?:s| seconds)(?: \([0-9:]+\))?(?: =+)?$")
    VERBOSE = re.compile(
        r" (?P<outcome>PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS)(?: \(.*\))?"
        r"(?: +\[ *[0-9]+(?:%|/[0-9]+)\]| +[0-9.]+[mun]?s)?$"
    )
    TEST_ID = re.compile(r"^[^\s:]+::")  # cargo's names have :: too, but not in their first word
    XDIST = re.compile(r"^\[gw[0-9]+\] (?:\[ *[0-9]+%\] )?(?P<outcome>PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS) (.+)$")
    SHORT = re.compile(r"^(?P<outcome>PASSED|FAILED|ERROR|XFAIL|XPASS) ([^\[]+?(?:\[.*?\])?)(?: - .*)?$")
    DOTS = re.compile(r"^(?:\S+ )?([.FEsxXuyR,-]+) +\[ *[0-9]+(?:%|/[0-9]+)\]$")

    def __init__(self) -> None:
        self._sum: Counter[str] | None = None
        self._sum_before_reports: Counter[str] | None = None
        self._tests = Tally()
        self._section = "tests"  # then "reports", then "short", then "tests" of the next run in the same output

    def line(self, text: str) -> None:
        if match := self.SECTION.match(text):
            self._enter("short" if match[1].startswith("short") else "reports")
        elif match := self.SUMMARY.match(text):
            self._sum_up(match[1])
        elif self._section == "tests":
            self._test(text)
        elif self._section == "short" and (match := self.SHORT.match(text)):
            self._tests.record(match[2], OUTCOMES[match["outcome"]] == PASSED)

    def _enter(self, section: str) -> None:
        if self._section == "reports":
            self._sum = self._sum_before_reports
        else:
            self._sum_before_reports = self._sum
        self._section = section

    def _sum_up(self, text: str) -> None:
        counts = counts_in(text)
        if not counts and text != "no tests ran":
            return
        if self._section == "reports":
            self._sum = self._sum_before_reports
        else:
            self._section = "tests"
        self._sum = (self._sum or Counter()) + counts

    def _test(self, text: str) -> None:
        if match := self.XDIST.match(text):
            self._tests.count(OUTCOMES[match["outcome"]], match[2])
        elif match := self.VERBOSE.search(text):
            test = text[: match.start()]
            if self.TEST_ID.match(test):
                self._tests.count(OUTCOMES[match["outcome"]], test)
        elif match := self.DOTS.match(text):
            self._tests.counts.update(PYTEST_LETTERS[letter] for letter in match[1] if letter in PYTEST_LETTERS)

    def tally(self) -> Tally | None:
        return _best(self._sum, self._tests)


class GoTest:
    """Reads `go test`, plain, with `-v` or with `-json`. A test's id is `package.Test/subtest`.

    Tests count with their subtests, as Go reports them. A package that fails without a failed test (it does not
    build, its `TestMain` exits) is one failure. Without `-v`, Go names no test that passes: then a package that passes
    counts as one.
    """

    EVENT = re.compile(r'"Action":"(?:pass|fail|skip)"')
    TEST = re.compile(r"^ *--- (?P<outcome>PASS|FAIL|SKIP): (?P<test>\S+) \([0-9.]+s\)$")
    PACKAGE = re.compile(r"^(?P<outcome>ok  |FAIL|\?   )\t(?P<package>\S+)[\t ](?P<note>.*)$")

    def __init__(self) -> None:
        self._total = Tally()
        self._failing: set[str] = set()  # packages with a failed test, until they end (-json)
        self._open = Tally()  # tests whose package is not yet known: plain output names it after them

    def line(self, text: str) -> None:
        if text.startswith("{"):
            if self.EVENT.search(text):
                self._event(text)
        elif match := self.TEST.match(text):
            self._open.count(OUTCOMES[match["outcome"]], match["test"])
        elif match := self.PACKAGE.match(text):
            self._package(match["outcome"].strip(), match["package"], match["note"])

    def _event(self, text: str) -> None:
        try:
            event = json.loads(text)
        except (ValueError, RecursionError):
            return
        package, test, outcome = event.get("Package"), event.get("Test"), OUTCOMES.get(str(event.get("Action")))
        if not isinstance(package, str) or outcome is None:
            return
        if isinstance(test, str):
            self._total.count(outcome, f"{package}.{test}")
            if outcome == FAILED and len(self._failing) < MAX_RESULTS:
                self._failing.add(package)
        elif outcome == FAILED and package not in self._failing:
            self._total.count(FAILED, package)
        else:
            self._failing.discard(package)
            self._total.add(Tally())

    def _package(self, outcome: str, package: str, note: str) -> None:
        tests, self._open = self._open, Tally()
        nothing_ran = note.endswith("[no tests to run]")
        if (outcome == "ok" and not tests.counts and not nothing_ran) or (outcome == "FAIL" and not tests.failed):
            self._total.count(OUTCOMES[outcome], package)
        self._total.add(tests, prefix=f"{package}.")

    def tally(self) -> Tally | None:
        if self._open.counts:  # it was killed before it could name the package
            self._total.add(self._open)
        return self._total if self._total.counts else None


READERS: tuple[Callable[[], Reader], ...] = (
    Pytest,
    GoTest,
    *(partial(TableReader, format_) for format_ in FORMATS.values()),
)
"""Makes one reader for every test program we know."""
