"""What a report is made of: a journal's fold and history, and the runs of the same loop before it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from heapq import nlargest
from pathlib import Path

from ralph_otel.model import LoopMetrics
from ralph_otel.processes import gone
from ralph_otel.runs import Folded
from ralph_otel.state import RunState
from ralph_otel.tracecontext import host_name
from ralph_otel.views.history import History, read
from ralph_otel.views.records import Iteration
from ralph_otel.views.report.comparison import Comparison, compare

RANKED = 5
"""How many iterations are named as the slowest and as the most expensive."""


class Status(StrEnum):
    """Where a run stands."""

    STOPPED = "stopped"
    RUNNING = "running"
    KILLED = "killed"
    """Its process is gone from this machine, and nobody has written its end."""
    OPEN = "open"
    """It has no end, and whether it runs cannot be known here."""
    EMPTY = "empty"
    """Its journal has no usable line."""


@dataclass(frozen=True)
class Report:
    """A run, gathered.

    Args:
        run: its id, the journal's name.
        folded: its journal's fold.
        history: its iterations, and what adds up by name.
        comparison: the runs before it.
        now: the time of the report, Unix nanoseconds.
    """

    run: str
    folded: Folded
    history: History
    comparison: Comparison
    now: int
    status: Status = field(init=False)
    metrics: LoopMetrics = field(init=False)
    """At the run's last event; of one that is known to run, at the time of the report."""

    def __post_init__(self) -> None:
        status = _status(self.state, self.folded.lines)
        object.__setattr__(self, "status", status)
        object.__setattr__(self, "metrics", self.state.metrics(self.now if status is Status.RUNNING else None))

    @property
    def state(self) -> RunState:
        """The run's state after its last line."""
        return self.folded.run

    @property
    def tokens(self) -> int:
        """Tokens of all kinds together."""
        return self.metrics.rollups["all"].tokens

    @property
    def slowest(self) -> list[Iteration]:
        """The iterations that took longest, the slowest first."""
        finished = (row for row in self.history.rows if row.duration)
        return nlargest(RANKED, finished, key=lambda row: row.duration or 0.0)

    @property
    def most_expensive(self) -> list[Iteration]:
        """The iterations that cost most: US dollars, or tokens in a run where nobody spoke of money."""
        by_money = self.history.cost > 0
        spent = (row for row in self.history.rows if (row.cost if by_money else row.tokens))
        return nlargest(RANKED, spent, key=lambda row: row.cost if by_money else row.tokens)

    @property
    def failed(self) -> list[Iteration]:
        """The iterations that finished with anything but success, the newest last."""
        return [row for row in self.history.rows if row.outcome not in (None, "success")]

    @property
    def failing_tests(self) -> list[tuple[str, int]]:
        """The tests that failed in the last run that named its tests, each with how often it has failed."""
        return _by_count((test, self.history.test_failures[test]) for test in self.history.failing)

    @property
    def flaky_tests(self) -> list[tuple[str, int]]:
        """The tests that pass and fail by turns, each with how often it has failed."""
        return _by_count((test, self.history.test_failures[test]) for test in self.state.flakiness.flaky)


def _by_count(counted: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    return sorted(counted, key=lambda pair: (-pair[1], pair[0]))


def _status(state: RunState, lines: int) -> Status:
    if not lines:
        return Status.EMPTY
    if state.stopped is not None:
        return Status.STOPPED
    if gone(state):
        return Status.KILLED
    return Status.RUNNING if state.pid is not None and state.host == host_name() else Status.OPEN


def gather(path: Path, home: Path, now: int | None = None) -> Report:
    """Read a run and those before it.

    Args:
        path: the run's journal.
        home: the home folder, where the earlier runs are.
        now: the time of the report in Unix nanoseconds; by default this moment.

    Raises:
        OSError: the journal cannot be read.
    """
    folded, history = read(path)
    return Report(path.stem, folded, history, compare(folded.run, home), time.time_ns() if now is None else now)
