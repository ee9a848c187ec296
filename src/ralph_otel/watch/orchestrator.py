"""ralph-orchestrator 2 (the Rust one): the events file of a run. `ralph run --rpc` says more, see `orchestrator_rpc`.

A run has a file `.ralph/events-<UTC time>.jsonl`; `--continue` goes on in it. Its rows with `hat: loop` are Ralph's
own: the first one (iteration 0), `iteration.summary` with a JSON text as payload, and `loop.terminate`, whose payload
says the reason after `## Reason`. All other rows are written by agents. An iteration's beginning and its outcome are
not in the file; the lines of `--rpc` have both.

Tokens are those of an iteration's fullest request, with `input_tokens` including what caches held; without its
terminal interface Ralph knows none and writes zeros. Read in the source of 2.10.1, and seen from its program.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any, ClassVar

from ralph_otel.agents.values import amount, code, count, mapping
from ralph_otel.events import ContextMeasured, Event, LoopStarted, UsageMeasured
from ralph_otel.watch.source import (
    SECOND,
    Batch,
    End,
    Folder,
    Outline,
    Seen,
    Turn,
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
    resolution: ClassVar[int] = 1

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
            seen = [*self.begins(began), *self._turn(number).finished(ts, end, measured(metrics))]
            self.iteration = number
        elif topic == "loop.terminate":
            seen = [*self.begins(ts), *ending(payload, ts, mark)]
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


def measured(metrics: dict[str, Any], model: str | None = None) -> Iterator[Event]:
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


def ending(payload: Any, ts: int, mark: str) -> list[Seen]:
    """The end of a run from the text of `loop.terminate`."""
    _, _, rest = payload.partition("## Reason") if isinstance(payload, str) else ("", "", "")
    word = code(next(iter(rest.split()), None)) or "error"
    return stopped(ts, STOP_REASONS.get(word, "error"), word, f"{mark}.stopped")
