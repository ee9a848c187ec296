"""Turns the run of a test command into a `tests.finished` event.

Any command will do. The counts come from the best source there is:

1. a JUnit XML report that this run has written;
2. the output of the test programs in `formats`; several in one output (`make test`) add up;
3. else the exit code: the command itself is the one test.

A command that exits with an error although every test passed (a coverage threshold, a linter after the tests, a crash
before the first test) is one failed test too, so that it is never taken for a good run.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from ralph_otel.events import TestsFinished
from ralph_otel.loop import junit
from ralph_otel.loop.formats import READERS
from ralph_otel.loop.tally import Tally

MAX_LINE = 16 * 1024
"""Bytes kept of one line of output; what follows in it is not looked at."""
NO_TESTS = 5
"""The exit code by which pytest and unittest say that there were no tests; no failure then."""

LINE_END = re.compile(rb"[\r\n]")
TERMINAL_CODES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])")
JUNIT_OPTION = re.compile(r"--(?:junit-?xml|junitfile|log-junit|output-junit)(?:=(.+))?", re.DOTALL)
"""What pytest, gotestsum, PHPUnit and CTest call the option for the report's path."""


class ResultsReader:
    """Reads the output of one run of a test command while it runs, in bounded memory.

    Args:
        junit: A JUnit XML file, or a folder of them, that the command writes.
        started: When the command started, in Unix seconds: an older report is of an earlier run.
    """

    def __init__(self, junit: Path | None = None, started: float | None = None) -> None:
        self.problem: str | None = None
        """Why the JUnit report could not be used: one line for the user. Known once finished."""
        self._junit = junit
        self._started = started
        self._readers = [make() for make in READERS]
        self._line = b""

    def feed(self, output: bytes) -> None:
        """Take the next piece of output, however it is cut. Standard output and error may come in one stream."""
        first, *rest = LINE_END.split(output)
        self._line += first[: MAX_LINE - len(self._line)]
        for piece in rest:
            self._end_line()
            self._line = piece[:MAX_LINE]

    def _end_line(self) -> None:
        if not self._line:
            return
        text = TERMINAL_CODES.sub("", self._line.decode(errors="replace")).rstrip()
        self._line = b""
        if text:
            for reader in self._readers:
                reader.line(text)

    def finish(self, exit_code: int, duration: float | None = None) -> TestsFinished:
        """Say how the tests ended. To be called once.

        Args:
            exit_code: The command's exit code; negative: the signal that ended it.
            duration: Seconds it took, for the event.
        """
        self._end_line()
        tally = self._report() or self._output()
        if tally is None:
            return TestsFinished(passed=int(exit_code == 0), failed=int(exit_code != 0), duration=duration)
        ran = tally.passed + tally.failed + tally.skipped
        broke = exit_code != 0 and not tally.failed and not (exit_code == NO_TESTS and not ran)
        return TestsFinished(
            passed=tally.passed,
            failed=tally.failed + broke,
            skipped=tally.skipped,
            duration=duration,
            results=tally.results or None,
        )

    def _report(self) -> Tally | None:
        if self._junit is None:
            return None
        try:
            return junit.read(self._junit, self._started)
        except ValueError as error:
            self.problem = str(error)
            return None

    def _output(self) -> Tally | None:
        tallies = [tally for reader in self._readers if (tally := reader.tally()) is not None]
        if not tallies:
            return None
        total = Tally()
        for tally in tallies:
            total.add(tally)
        return total


def junit_path(command: str, folder: Path) -> Path | None:
    """Find where a test command writes its JUnit report, from its options (`--junitxml=report.xml` and the like).

    Args:
        command: The command, as one gives it to a shell.
        folder: Where it runs.
    """
    try:
        words = shlex.split(command)
    except ValueError:
        return None
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if (match := JUNIT_OPTION.fullmatch(word)) and (path := match[1] or following):
            return folder / path
    return None
