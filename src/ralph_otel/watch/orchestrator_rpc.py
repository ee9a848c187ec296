"""ralph-orchestrator 2: the lines that `ralph run --rpc` prints, as 2.10.1 does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

from ralph_otel.agents.values import code, count, text
from ralph_otel.events import ErrorRaised, LoopStarted, ToolCalled
from ralph_otel.watch.orchestrator import RUNNER, STOP_REASONS, ending, measured
from ralph_otel.watch.source import SECOND, Batch, End, Seen, Turn, milliseconds, stopped


class OrchestratorRpc:
    """Turns the lines that `ralph run --rpc` prints into batches. There may be several loops in one stream.

    An iteration's end comes twice, from the agent's reader and from the loop: the last before another line counts.
    """

    runner: ClassVar[str] = RUNNER

    def __init__(self) -> None:
        self._loops = 0
        self._over = True
        self._name = "ralph"
        self._started = 0
        self._number = 0
        self._agent: str | None = None
        self._error: str | None = None
        self._ended: dict[str, Any] | None = None
        self._lines = 0
        self._calls: dict[str, str] = {}

    def feed(self, line: dict[str, Any], now: int) -> Iterator[Batch]:
        """A line, and the time at which it came, in Unix nanoseconds."""
        kind = line.get("type")
        reader = _READERS.get(kind) if isinstance(kind, str) else None
        self._lines += 1
        if kind != "iteration_end":
            yield from self._batch(self._end_turn())
        if kind == "loop_started":
            yield from self._batch(self._stop("crashed", None, now))  # the one before has not said its end
        if reader is not None:
            yield from self._batch(reader(self, line, now))

    def close(self, now: int) -> Iterator[Batch]:
        """The stream has ended; a loop that has not said so has been killed."""
        yield from self._batch(self._end_turn())
        if not self._over:
            yield from self._batch(self._stop("crashed", None, now))

    def _batch(self, seen: Iterable[Seen]) -> Iterator[Batch]:
        if found := list(seen):
            yield Batch(f"rpc {self._loops}", f"{self._loops}.{self._lines}", found)

    def _loop_started(self, line: dict[str, Any], now: int) -> Iterator[Seen]:
        self._loops += 1
        self._over, self._number, self._error = False, 0, None
        root = text(line.get("workspace_root"))
        self._name = (root or "").rstrip("/").rpartition("/")[2] or "ralph"
        self._agent = text(line.get("backend"))
        started = LoopStarted(self._name, RUNNER, max_iterations=count(line.get("max_iterations")))
        yield Seen(milliseconds(line.get("started_at")) or now, started, "started")

    def _iteration_start(self, line: dict[str, Any], now: int) -> Iterator[Seen]:
        number = count(line.get("iteration"))
        if number and not self._over:
            self._number, self._error = number, None
            self._agent = text(line.get("backend")) or self._agent
            self._started = milliseconds(line.get("started_at")) or now
            yield from self._turn().started(self._started)

    def _iteration_end(self, line: dict[str, Any], now: int) -> Iterator[Seen]:
        if count(line.get("iteration")) == self._number and self._number:
            self._ended = line
        yield from ()

    def _end_turn(self) -> Iterator[Seen]:
        line, self._ended = self._ended, None
        if line is not None:
            outcome = "failure" if self._error else "success"
            end = End(outcome, (count(line.get("duration_ms")) or 0) / 1000, self._error)
            yield from self._turn().finished(self._started + round(end.duration * SECOND), end, measured(line))
            self._number = 0

    def _tool_call_start(self, line: dict[str, Any], now: int) -> Iterator[Seen]:
        call, tool = line.get("tool_call_id"), text(line.get("tool_name"))
        if isinstance(call, str) and tool is not None and len(self._calls) < 1000:
            self._calls[call] = tool
        yield from ()

    def _tool_call_end(self, line: dict[str, Any], now: int) -> Iterator[Seen]:
        call, spent = line.get("tool_call_id"), count(line.get("duration_ms"))
        tool = self._calls.pop(call, None) if isinstance(call, str) else None
        if tool is not None and self._number:
            outcome = "failure" if line.get("is_error") is True else "success"
            event = ToolCalled(tool, outcome, None if spent is None else spent / 1000)
            yield Seen(now, event, f"tool.{self._lines}", str(self._number))

    def _failed(self, line: dict[str, Any], now: int) -> Iterator[Seen]:
        word = code(line.get("code")) or "error"
        self._error = word
        if not self._over:
            yield Seen(now, ErrorRaised(word), f"error.{self._lines}", str(self._number or ""))

    def _orchestration_event(self, line: dict[str, Any], now: int) -> Iterator[Seen]:
        if line.get("topic") == "loop.terminate" and not line.get("source") and not self._over:
            self._over = True
            yield from ending(line.get("payload"), now, "rpc")

    def _loop_terminated(self, line: dict[str, Any], now: int) -> Iterator[Seen]:
        word = code(line.get("reason")) or "error"
        ts = milliseconds(line.get("terminated_at")) or now
        yield from self._stop(STOP_REASONS.get(word, "error"), word, ts)

    def _stop(self, reason: str, condition: str | None, ts: int) -> list[Seen]:
        if self._over:
            return []
        self._over = True
        return stopped(ts, reason, condition)

    def _turn(self) -> Turn:
        return Turn(self._number, agent=self._agent)


_READERS = {
    "loop_started": OrchestratorRpc._loop_started,
    "iteration_start": OrchestratorRpc._iteration_start,
    "iteration_end": OrchestratorRpc._iteration_end,
    "tool_call_start": OrchestratorRpc._tool_call_start,
    "tool_call_end": OrchestratorRpc._tool_call_end,
    "error": OrchestratorRpc._failed,
    "orchestration_event": OrchestratorRpc._orchestration_event,
    "loop_terminated": OrchestratorRpc._loop_terminated,
}
