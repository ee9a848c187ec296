"""frankbria/ralph-claude-code: a bash loop around `claude`, and what it leaves in `.ralph/`.

In the order in which an iteration writes them: `status.json` (status `running`), `logs/claude_output_<local time>.log`
(what claude printed, as JSON unless told otherwise), `.response_analysis` (progress), `.circuit_breaker_state` (the
counters of iterations without progress and with the same error), a line of `logs/metrics.jsonl`
(`{timestamp, loop, duration, success, calls}`, whole seconds), and `status.json` again (success, error, paused, and at
the end completed, halted or stopped, with `exit_reason`). `.ralph_session_history` keeps the ends of earlier runs.

`metrics.jsonl` holds all runs there have been; `loop` begins with 1 in each. Read in the source of 0.11.5.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from ralph_otel.agents.claude import ClaudeParser
from ralph_otel.agents.values import code, count, mapping
from ralph_otel.events import Event, GaugeSet, LoopPaused, LoopResumed, ProgressMeasured
from ralph_otel.watch.source import SECOND, Batch, End, Folder, Outline, Seen, Turn, moment, record

RUNNER = "ralph-claude-code"
AGENT = "claude"
LOGS = ".ralph/logs/claude_output_*.log"
STOP_REASONS = {
    "completion_signals": "completed",
    "project_complete": "completed",
    "plan_complete": "completed",
    "safety_circuit_breaker": "completed",
    "test_saturation": "no_progress",
    "stagnation_detected": "no_progress",
    "circuit_breaker_open": "no_progress",
    "circuit_breaker_trip": "no_progress",
    "e2b_cost_limit": "max_cost",
    "interrupted": "user_signal",
    "manual_interrupt": "user_signal",
    "permission_denied": "error",
    "files_deleted": "error",
    "integrity_failure": "error",
    "api_5hour_limit": "error",
    "api_limit_exit": "error",
}
"""Its reasons (`exit_reason`, or `reason` of the session history), and ours."""
ENDS = ("completed", "halted", "stopped")
"""The status of a loop that is over."""
STREAKS = {"consecutive_no_progress": "no_progress_streak", "consecutive_same_error": "same_error_streak"}
"""The circuit breaker's counters, and the gauges they become."""
SLACK = 5 * SECOND
"""Times are whole seconds, and written by several commands."""


@dataclass(frozen=True)
class _Row:
    """A line of metrics.jsonl."""

    ts: int
    loop: int
    duration: int
    success: bool

    @property
    def began(self) -> int:
        return self.ts - self.duration * SECOND


class RalphClaudeCode:
    """Reads `.ralph/` of a project."""

    runner: ClassVar[str] = RUNNER
    watched: ClassVar[tuple[str, ...]] = ("", ".ralph", ".ralph/logs")
    resolution: ClassVar[int] = SECOND

    def __init__(self) -> None:
        self.bad = 0
        self._run: Outline | None = None
        self._analysis: dict[str, Any] = {}
        self._breaker: dict[str, Any] = {}
        self._paused = False
        self._status_at = 0

    @staticmethod
    def here(folder: Folder) -> bool:
        """Whether the loop has run there."""
        if folder.names(".ralph/logs/metrics.jsonl") or folder.names(".ralph/.circuit_breaker_state"):
            return True
        return "loop_count" in (record(folder.content(".ralph/status.json") or b"") or {})

    def patience(self) -> float:
        """An iteration lasts two hours at most, a wait for the limit's end one."""
        return 4 * 3600.0

    def read(self, folder: Folder) -> Iterator[Batch]:
        """What is new. What is written last is looked at first: so what belongs to it is there."""
        status = folder.document(".ralph/status.json")
        rows = [row for raw in folder.lines(".ralph/logs/metrics.jsonl") if (row := self._row(raw)) is not None]
        self._breaker = folder.document(".ralph/.circuit_breaker_state") or self._breaker
        self._analysis = folder.document(".ralph/.response_analysis") or self._analysis
        for row in rows:
            yield from self._iteration(row, folder)
        if status is not None:
            yield from self._status(status, folder)

    def _row(self, raw: bytes) -> _Row | None:
        if not raw.strip():
            return None
        fields = record(raw) or {}
        ts, loop, duration = moment(fields.get("timestamp")), count(fields.get("loop")), count(fields.get("duration"))
        if ts is None or not loop or duration is None or duration * SECOND > ts:
            self.bad += 1
            return None
        return _Row(ts, loop, duration, fields.get("success") is True)

    # -- iterations -------------------------------------------------------------------------------------------------

    def _iteration(self, row: _Row, folder: Folder) -> Iterator[Batch]:
        run = self._run
        if run is not None and row.ts < run.last and row.loop <= run.iteration:
            return  # the file was replaced: this is known
        if run is None or row.loop <= run.iteration or (run.over and row.began >= run.last):
            yield from self._begin(row.began, folder)
            run = self._run
            assert run is not None
        parser, output = ClaudeParser(), self._output(row, folder)
        events = [*parser.feed(output), *parser.close()]
        end = End(
            "success" if row.success else "failure",
            float(row.duration),
            None if row.success else parser.error_type,
            turns=parser.turns,
            conversation=parser.conversation,
        )
        turn = Turn(row.loop, agent=AGENT, model=parser.model, fresh=False)
        seen = [*run.begins(row.began), *turn.finished(row.ts, end, [*events, *self._progress(row)])]
        seen += [Seen(row.ts, gauge, f"{row.loop}/{gauge.name}") for gauge in self._streaks(row)]
        run.iteration = row.loop
        yield from run.batch(f"{row.ts} {row.loop}", row.ts, seen)

    @staticmethod
    def _output(row: _Row, folder: Folder) -> bytes:
        """What claude printed in an iteration: the file whose name's time is in it."""
        for name in reversed(folder.names(LOGS)):
            began = moment(re.sub(r".*_(\d{4}-\d\d-\d\d)_(\d\d)-(\d\d)-(\d\d)\.log", r"\1T\2:\3:\4", name))
            if began is not None and row.began - SECOND <= began <= row.ts:
                return folder.content(name) or b""
        return b""

    def _progress(self, row: _Row) -> Iterator[Event]:
        """The analysis of the iteration; those of earlier ones are overwritten."""
        at, analysis = moment(self._analysis.get("timestamp")), mapping(self._analysis.get("analysis"))
        if self._analysis.get("loop_number") == row.loop and at is not None and row.began <= at <= row.ts + SLACK:
            made = analysis.get("has_progress") is True
            yield ProgressMeasured(float(made), made, count(analysis.get("files_modified")))

    def _streaks(self, row: _Row) -> Iterator[GaugeSet]:
        """The breaker's counters. It says the iteration; of the time only when its state changed."""
        if self._breaker.get("current_loop") == row.loop and row.began <= self._written() <= row.ts + SLACK:
            for name, gauge in STREAKS.items():
                value = count(self._breaker.get(name))
                if value is not None:
                    yield GaugeSet(gauge, value)

    def _written(self) -> int:
        return moment(self._breaker.get("last_change")) or 0

    # -- runs -------------------------------------------------------------------------------------------------------

    def _begin(self, ts: int, folder: Folder) -> Iterator[Batch]:
        """A new run begins, so the one before is over; the session history may know why."""
        run = self._run
        if run is not None and not run.over:
            at, reason = self._remembered(run, ts, folder)
            yield from run.ends(at, STOP_REASONS.get(reason, "crashed"), reason or None)
        self._run = Outline(f"run {ts}", folder.name, RUNNER, last=ts)
        self._paused = False

    @staticmethod
    def _remembered(run: Outline, before: int, folder: Folder) -> tuple[int, str]:
        """When and why a run ended, by the session history."""
        history = record(b'{"all":' + (folder.content(".ralph/.ralph_session_history") or b"[]") + b"}") or {}
        entries = history.get("all")
        for entry in reversed(entries if isinstance(entries, list) else []):
            at, reason = moment(mapping(entry).get("timestamp")), code(mapping(entry).get("reason"))
            if at is not None and run.last - SLACK <= at <= before and reason in STOP_REASONS:
                return at, reason or ""
        return run.last, ""

    def _status(self, status: dict[str, Any], folder: Folder) -> Iterator[Batch]:
        ts, loop, word = moment(status.get("timestamp")), count(status.get("loop_count")), status.get("status")
        if ts is None or not loop:
            self.bad += 1
            return
        if ts < self._status_at:
            return
        self._status_at = ts
        run = self._run
        if word == "running":
            yield from self._running(ts, loop, folder)
        elif run is not None and not run.over and ts >= run.last - SLACK:
            if word in ENDS:
                reason = code(status.get("exit_reason")) or code(status.get("last_action")) or "error"
                yield from run.ends(ts, STOP_REASONS.get(reason, "error"), reason)
            elif word == "paused" and not self._paused:
                self._paused = True
                yield from run.batch(f"paused {ts}", ts, [Seen(ts, LoopPaused(), f"paused.{ts}")])

    def _running(self, ts: int, loop: int, folder: Folder) -> Iterator[Batch]:
        run = self._run
        if run is not None and ts < run.last and not run.over:
            return  # left behind by an iteration that has ended
        if run is None or run.over or loop <= run.iteration:
            yield from self._begin(ts, folder)
            run = self._run
            assert run is not None
        resumed = [Seen(ts, LoopResumed(), f"resumed.{ts}")] if self._paused else []
        self._paused = False
        seen = [*run.begins(ts), *resumed, *Turn(loop, agent=AGENT, fresh=False).started(ts)]
        yield from run.batch(f"running {ts} {loop}", ts, seen)
