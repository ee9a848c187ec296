"""ralph-orchestrator 2 (the Rust one): the events file of a run, and the lines of `ralph run --rpc`.

A run has a file `.ralph/events-<UTC time>.jsonl`; `--continue` goes on in it. Its rows with `hat: loop` are Ralph's
own: the first one (iteration 0), `iteration.summary` with a JSON text as payload, and `loop.terminate`, whose payload
says the reason after `## Reason`. All other rows are written by agents. An iteration's beginning and its outcome are
not in the file; the lines of `--rpc` have both.

Tokens are those of an iteration's fullest request, with `input_tokens` including what caches held; without its
terminal interface Ralph knows none and writes zeros. Read in the source of 2.10.1, and seen from its program.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Any, ClassVar

from ralph_otel.agents.values import amount, code, count, mapping, text
from ralph_otel.events import ContextMeasured, ErrorRaised, Event, LoopStarted, ToolCalled, UsageMeasured
from ralph_otel.watch.source import (
    SECOND,
    Batch,
    End,
    Folder,
    Outline,
    Seen,
    Turn,
    milliseconds,
    moment,
    record,
    stopped,
)

RUNNER = "ralph-orchestrator"
STOP_REASONS = {
    "completed": "completed",
    "all_tasks_closed": "completed",
    "max_iterations": "max_iterations",
    "max_runtime": "max_duration",
    "max_cost": "max_cost",
    "consecutive_failures": "error",
    "loop_thrashing": "no_progress",
    "loop_stale": "no_progress",
    "backpressure_limit": "no_progress",
    "validation_failure": "error",
    "stopped": "user_signal",
    "interrupted": "user_signal",
    "cancelled": "user_signal",
    "restart_requested": "user_signal",
    "workspace_gone": "error",
}
"""Its termination reasons, and ours; any other is an error."""
UNKNOWN_AGENT = "unknown"
"""The events file does not say which agent runs."""
SETTLED = 2 * SECOND
"""After so long without a row, the loop is in its next iteration."""
NAME = "events*.jsonl"


class Orchestrator:
    """Reads the events files of a folder, or one of them.

    Args:
        name: the file, relative to the folder; by default all of `.ralph`.
    """

    runner: ClassVar[str] = RUNNER
    watched: ClassVar[tuple[str, ...]] = ("", ".ralph")

    def __init__(self, name: str | None = None) -> None:
        self.bad = 0
        self._pattern = name or f".ralph/{NAME}"
        self._runs: dict[str, _Run] = {}

    @staticmethod
    def here(folder: Folder) -> bool:
        """Whether Ralph's events files are there."""
        return bool(folder.names(f".ralph/{NAME}") or folder.names(".ralph/current-events"))

    def patience(self) -> float:
        """A process is known for the newest run; for the others a day is more than any backend takes."""
        return 24 * 3600.0

    def read(self, folder: Folder) -> Iterator[Batch]:
        """What is new in the files."""
        names = folder.names(self._pattern)
        for name in names:
            run = self._runs.setdefault(name, _Run(name, folder.name, RUNNER))
            for raw in folder.lines(name):
                yield from self._row(run, raw, folder, name == names[-1])
            if not run.over and run.last and folder.now - run.last > SETTLED:
                yield from run.goes_on()

    def _row(self, run: _Run, raw: bytes, folder: Folder, newest: bool) -> Iterator[Batch]:
        if not raw.strip():
            return
        row = record(raw)
        ts = moment(row.get("ts")) if row is not None else None
        if row is None or ts is None:
            self.bad += 1
        elif row.get("hat") == "loop":
            if newest and (not run.last or not row.get("iteration")):
                run.pid = _holder(folder, ts)
            yield from run.row(row, ts, blake2b(raw, digest_size=8).hexdigest())


def _holder(folder: Folder, started: int) -> int | None:
    """The process that held the lock when a run started; it may be that of a later or an earlier one."""
    lock = record(folder.content(".ralph/loop.lock") or b"") or {}
    locked = moment(lock.get("started"))
    return count(lock.get("pid")) or None if locked is not None and abs(locked - started) < 60 * SECOND else None


class _Run(Outline):
    """One events file."""

    resumed = 0

    def row(self, row: dict[str, Any], ts: int, mark: str) -> Iterator[Batch]:
        """What a row of Ralph's own tells."""
        if not self.once(mark):
            return  # the file was replaced: this is known
        topic, payload, number = row.get("topic"), row.get("payload"), count(row.get("iteration"))
        seen: list[Seen] = []
        if topic == "iteration.summary" and number:
            metrics = mapping(record(payload.encode(errors="replace")) if isinstance(payload, str) else payload)
            end = End("success", (count(metrics.get("duration_ms")) or 0) / 1000, turns=_turns(metrics))
            began = max(0, ts - round(end.duration * SECOND))
            seen = [*self.begins(began), *self._turn(number).finished(ts, end, _measured(metrics))]
            self.iteration = number
        elif topic == "loop.terminate":
            seen = [*self.begins(ts), *_end(payload, ts, mark)]
            self.over = True
        elif not number and row.get("triggered"):
            seen = [*self._goes_on_again(ts), *self.begins(ts)]
        yield from self.batch(mark, ts, seen)

    def _goes_on_again(self, ts: int) -> Iterator[Seen]:
        """The row that begins a process: after the first one, `--continue`."""
        if "started" not in self.told:
            return
        self.resumed += 1
        if self.over:
            self.over = False
            yield Seen(ts, LoopStarted(self.loop, RUNNER), f"started.{self.resumed}")

    def goes_on(self) -> Iterator[Batch]:
        """The next iteration has begun when the last one ended: nothing says so until it has ended as well."""
        turn = self._turn(self.iteration + 1)
        if self.once(turn.name):
            yield from self.batch(f"{self.name} {turn.name}", self.last, turn.started(self.last))

    def _turn(self, number: int) -> Turn:
        return Turn(number, f"{number}.{self.resumed}" if self.resumed else "", UNKNOWN_AGENT)


def _turns(metrics: dict[str, Any]) -> int | None:
    return count(metrics.get("num_turns")) or None


def _measured(metrics: dict[str, Any], model: str | None = None) -> Iterator[Event]:
    """Usage and context; zeros mean that Ralph does not know."""
    read, written = (count(metrics.get(f"cache_{kind}_tokens")) or 0 for kind in ("read", "write"))
    cost = amount(metrics.get("cost_usd")) or 0.0
    fresh = max(0, (count(metrics.get("input_tokens")) or 0) - read - written)
    output = count(metrics.get("output_tokens")) or 0
    if fresh or output or read or written or cost:
        yield UsageMeasured(model, fresh, output, read, written, cost, "reported")
    tokens, window = count(metrics.get("context_tokens")), count(metrics.get("context_window"))
    if tokens and window:
        yield ContextMeasured(100 * tokens / window, tokens, window)


def _end(payload: Any, ts: int, mark: str) -> list[Seen]:
    """The end of a run from the text of `loop.terminate`."""
    _, _, rest = payload.partition("## Reason") if isinstance(payload, str) else ("", "", "")
    word = code(next(iter(rest.split()), None)) or "error"
    return stopped(ts, STOP_REASONS.get(word, "error"), word, f"{mark}.stopped")


# -- ralph run --rpc ---------------------------------------------------------------------------------------------------


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
            end = End(
                "failure" if self._error else "success", (count(line.get("duration_ms")) or 0) / 1000, self._error
            )
            yield from self._turn().finished(self._started + round(end.duration * SECOND), end, _measured(line))
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
            yield from _end(line.get("payload"), now, "rpc")

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
