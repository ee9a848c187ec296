"""A run's iterations, one row each, and what adds up over a run by name: what the views show of a run.

`RunState` knows where a run stands; a `History` knows how it came there. It is a fold over the same completed lines and
stands beside the state: `fold(path, history.record)`, or `record` after `states.apply` where a journal is followed.
Its memory is bounded: the newest 20,000 iterations are kept, and so many names of a kind; what adds up is complete.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TypeVar

from ralph_otel.events import Line
from ralph_otel.runs import Folded, fold
from ralph_otel.state import RunState
from ralph_otel.views.records import Calls, Iteration, ModelUsage, Reboot, Tests

REDLINE = 85.0
"""Percent of the context window from which it is time for a fresh one."""
MAX_ROWS = 20_000
"""Iterations that are kept, the newest."""
MAX_REBOOTS = 1_000
MAX_NAMES = 1_000
"""Different tools, models, errors … that are told apart; what comes after goes under `OTHERS`."""
MAX_TESTS = 10_000
"""Tests whose failures are counted."""
OTHERS = "(others)"
_MAX_SPANS = 10_000

_T = TypeVar("_T")


@dataclass
class History:
    """What happened in a run.

    Args:
        run_id: the run; only a label, `record` takes whatever line it is given.

    Attributes:
        rows: its iterations in the order they began, the newest `MAX_ROWS`.
        forgotten: older iterations that are no longer in `rows`.
        outcomes: finished iterations by outcome, all of them; so the further counts.
        first_tests: the first run of the tests, whether or not an iteration had begun.
        failing: the tests that failed in the last run that named its tests, at most `MAX_TESTS`.
        test_failures: failed runs by test.
    """

    run_id: str = ""
    rows: deque[Iteration] = field(default_factory=lambda: deque(maxlen=MAX_ROWS))
    forgotten: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    tools: dict[str, Calls] = field(default_factory=dict)
    agents: dict[str, Calls] = field(default_factory=dict)
    models: dict[str, ModelUsage] = field(default_factory=dict)
    errors: Counter[str] = field(default_factory=Counter)
    conditions: Counter[str] = field(default_factory=Counter)
    reboots: deque[Reboot] = field(default_factory=lambda: deque(maxlen=MAX_REBOOTS))
    reboot_reasons: Counter[str] = field(default_factory=Counter)
    first_tests: Tests | None = None
    test_runs: int = 0
    failing: list[str] = field(default_factory=list)
    test_failures: Counter[str] = field(default_factory=Counter)
    lines_added: int = 0
    lines_removed: int = 0
    commits: int = 0
    _open: dict[int, Iteration] = field(default_factory=dict, repr=False)
    _spans: dict[str, Iteration] = field(default_factory=dict, repr=False)

    def record(self, line: Line, state: RunState | None = None) -> Iteration | None:
        """Fold one completed line in.

        Returns:
            The iteration that it belonged to; None where there is none, and for lines of which nothing is kept here.
        """
        handler = _HANDLERS.get(line["type"])
        if handler is None:
            return None
        row = self._row_of(line)
        handler(self, line, row)
        return row

    @property
    def cost(self) -> float:
        """US dollars in all."""
        return sum(usage.cost for usage in self.models.values())

    def _row_of(self, line: Line) -> Iteration | None:
        """The iteration that a line is about: that of its span, else the one that began last, else None."""
        spans, get = self._spans, line.get
        if spans and (row := spans.get(get("span_id", "")) or spans.get(get("parent_span_id", ""))) is not None:
            return row
        if self._open:
            return next(reversed(self._open.values()))
        return self.rows[-1] if self.rows else None

    # -- iterations ---------------------------------------------------------------------------------------------------

    def _begin(self, row: Iteration) -> Iteration:
        self.forgotten += len(self.rows) == MAX_ROWS
        self.rows.append(row)
        return row

    def _iteration_started(self, line: Line, _: Iteration | None) -> None:
        if not self._open or len(self._spans) >= _MAX_SPANS:
            self._spans.clear()
        if len(self._open) >= _MAX_SPANS:
            self._open.clear()
        row = self._open[line["iteration"]] = self._begin(Iteration(line["iteration"], line["ts"]))
        self._note_span(line, row)

    def _note_span(self, line: Line, row: Iteration | None) -> None:
        if row is not None and (span := line.get("span_id")) is not None:
            self._spans[span] = row

    def _iteration_finished(self, line: Line, _: Iteration | None) -> None:
        row = self._open.pop(line["iteration"], None) or self._begin(Iteration(line["iteration"]))
        row.ended, row.outcome, row.duration = line["ts"], line["outcome"], line["duration"]
        row.error_type, row.exit_code = line.get("error_type"), line.get("exit_code")
        if row.started is None:
            row.started = max(0, line["ts"] - round(min(line["duration"], 1e9) * 1e9))
        self.outcomes[line["outcome"]] += 1

    def _loop_stopped(self, line: Line, _: Iteration | None) -> None:
        self._open.clear()

    # -- what happens in them -----------------------------------------------------------------------------------------

    def _agent_started(self, line: Line, row: Iteration | None) -> None:
        self._note_span(line, row)

    def _agent_finished(self, line: Line, row: Iteration | None) -> None:
        self._call(self.agents, line["agent"], line).turns += line.get("turns") or 0

    def _tool_called(self, line: Line, row: Iteration | None) -> None:
        self._call(self.tools, line["tool"], line)
        if row is not None:
            row.tools += 1

    def _call(self, table: dict[str, Calls], name: str, line: Line) -> Calls:
        entry = _entry(table, name, Calls)
        entry.calls += 1
        entry.failures += line["outcome"] != "success"
        entry.seconds += line.get("duration") or 0.0
        return entry

    def _usage_measured(self, line: Line, row: Iteration | None) -> None:
        model = _entry(self.models, line.get("model") or "", ModelUsage)
        tokens, cost = 0, line.get("cost_usd") or 0.0
        for name in _TOKENS:
            if amount := line.get(name):
                setattr(model, name, getattr(model, name) + amount)
                tokens += amount
        model.cost += cost
        if line.get("cost_source") == "estimated":
            model.estimated += cost
        if row is not None:
            row.tokens += tokens
            row.cost += cost

    def _context_measured(self, line: Line, row: Iteration | None) -> None:
        if row is not None:
            row.context = max(row.context or 0.0, line["percent"])

    def _reboot_started(self, line: Line, row: Iteration | None) -> None:
        self.reboot_reasons[line["reason"]] += 1
        number = row.number if row is not None else None
        self.reboots.append(Reboot(line["ts"], line["reason"], number, line.get("context_percent")))
        if row is not None:
            row.reboots += 1

    def _reboot_finished(self, line: Line, _: Iteration | None) -> None:
        if self.reboots and self.reboots[-1].duration is None:
            self.reboots[-1].duration = line.get("duration")

    def _tests_finished(self, line: Line, row: Iteration | None) -> None:
        tests = Tests(line["passed"], line["failed"], line["skipped"], line["total"])
        self.test_runs += 1
        self.first_tests = self.first_tests or tests
        if row is not None:
            row.tests = tests
        results: dict[str, bool] | None = line.get("results")
        if results is not None:
            self.failing = list(islice((test for test, passed in results.items() if not passed), MAX_TESTS))
            for test in self.failing:
                if test in self.test_failures or len(self.test_failures) < MAX_TESTS:
                    self.test_failures[test] += 1

    def _progress_measured(self, line: Line, row: Iteration | None) -> None:
        self.lines_added += line.get("lines_added") or 0
        self.lines_removed += line.get("lines_removed") or 0
        self.commits += line.get("commits") or 0
        if row is not None:
            row.score = line["score"]
            row.progress = bool(row.progress) or line["made_progress"]
            row.files += line.get("files_changed") or 0

    def _error_raised(self, line: Line, row: Iteration | None) -> None:
        _count(self.errors, line["error_type"])
        if row is not None:
            row.errors += 1

    def _condition_triggered(self, line: Line, _: Iteration | None) -> None:
        _count(self.conditions, line["condition"])


_TOKENS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_creation_tokens")
_HANDLERS: dict[str, Callable[[History, Line, Iteration | None], None]] = {
    "loop.stopped": History._loop_stopped,
    "iteration.started": History._iteration_started,
    "iteration.finished": History._iteration_finished,
    "agent.started": History._agent_started,
    "agent.finished": History._agent_finished,
    "usage.measured": History._usage_measured,
    "context.measured": History._context_measured,
    "reboot.started": History._reboot_started,
    "reboot.finished": History._reboot_finished,
    "tests.finished": History._tests_finished,
    "progress.measured": History._progress_measured,
    "tool.called": History._tool_called,
    "error.raised": History._error_raised,
    "stop_condition.triggered": History._condition_triggered,
}


def _entry(table: dict[str, _T], name: str, make: Callable[[], _T]) -> _T:
    """The entry by that name, made if there is room for it."""
    entry = table.get(name)
    if entry is None:
        if len(table) >= MAX_NAMES:
            name = OTHERS
        entry = table.setdefault(name, make())
    return entry


def _count(counter: Counter[str], name: str) -> None:
    counter[name if name in counter or len(counter) < MAX_NAMES else OTHERS] += 1


def read(path: Path) -> tuple[Folded, History]:
    """Read a journal to its end: its fold, and the history of its run (`Folded.run`).

    Raises:
        OSError: the file cannot be read.
    """
    histories: dict[str, History] = {}

    def record(line: Line, state: RunState) -> None:
        history = histories.get(state.run_id)
        if history is None:  # of several runs in one file only the last is wanted
            for other in histories:
                histories[other] = _NOBODY
            history = histories[state.run_id] = History(state.run_id)
        if history is not _NOBODY:
            history.record(line)

    folded = fold(path, record)
    return folded, histories.get(folded.run.run_id, History())


_NOBODY = History()
