"""From batches to journals: each event once, whatever is read again.

A run's id is made of its beginning and of its source, its trace and span ids of the run's id and of what they stand
for. So after a kill nothing is needed but the journals: a line carries, in its field `source`, the mark of its batch
and its key, and what is there already is not written again. A batch is written with one append.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from ralph_otel import tracecontext
from ralph_otel.events import (
    VERSION,
    ContextMeasured,
    Event,
    Line,
    LoopStarted,
    LoopStopped,
    StopConditionTriggered,
    TestsFinished,
    ToolCalled,
    TraceContinued,
    UsageMeasured,
    problem_with,
)
from ralph_otel.journal import BadLine, Follower, Journal, decode, encode
from ralph_otel.notices import notice
from ralph_otel.processes import gone
from ralph_otel.state import RunState
from ralph_otel.tracecontext import TraceContext
from ralph_otel.watch.source import SECOND, Batch, Seen

_PARTS = ("session", "iteration", "agent")
"""The spans of an iteration, from the outside in."""


class Scribe:
    """Writes the journals of one source.

    Args:
        folder: where journals are.
        source: the source's name, the same after a restart.
        trace_iterations: after so many iterations a loop goes on in a trace of its own; 0: never.
        place: where new runs belong: a trace, its flags, and the span around them, "" where there is none.
    """

    def __init__(self, folder: Path, source: str, trace_iterations: int = 0, place: TraceContext | None = None) -> None:
        self.runs: dict[str, Run] = {}
        """By run id: those of the source that there are, and those that are written."""
        self._folder = folder
        self._suffix = sha256(source.encode(errors="surrogateescape")).hexdigest()[:8]
        self._trace_iterations = trace_iterations
        self._place = place
        self._by_name: dict[str, Run] = {}
        self._by_mark: dict[str, Run] = {}
        for path in sorted(folder.glob(f"*-{self._suffix}.jsonl")):
            self._load(path)

    def _load(self, path: Path) -> None:
        run = Run(path, self._trace_iterations)
        for mark in run.load():
            self._by_mark[mark] = run
        if run.keys:
            self.runs[run.run_id] = run

    def write(self, batch: Batch) -> Run | None:
        """Write what is new in a batch.

        Returns:
            The run, if anything was written.
        """
        run = self._by_mark.get(batch.mark) or self._by_name.get(batch.run)
        if run is None:
            run = self._new(batch)
        self._by_name[batch.run] = self._by_mark[batch.mark] = run
        return run if run.write(batch) else None

    def _new(self, batch: Batch) -> Run:
        """A run that begins with a batch. Of two in one second, the second is put a second later."""
        began = min(seen.ts for seen in batch.seen) // SECOND
        while True:
            run_id = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(began)) + f"-{self._suffix}"
            if run_id not in self.runs:
                break
            began += 1
        run = self.runs[run_id] = Run(self._folder / f"{run_id}.jsonl", self._trace_iterations, self._place)
        return run

    def settle(self, now: int, patience: float) -> Iterator[Run]:
        """End the runs that are over for certain, though their source does not say so.

        Args:
            now: Unix nanoseconds.
            patience: see `ralph_otel.watch.source.Format.patience`.

        Yields:
            Those runs.
        """
        for run in self.runs.values():
            if run.dead(now, patience):
                event = Seen(run.state.last, LoopStopped("crashed"), f"crashed.{run.state.last}")
                if run.write(Batch("", f"crashed {run.state.last}", [event])):
                    yield run

    def end(self, reason: str, now: int) -> None:
        """End the runs that go on and have been written to here, as of a time in Unix nanoseconds."""
        for run in {id(run): run for run in self._by_name.values()}.values():
            if run.state.active:
                run.write(Batch("", f"ended {now}", [Seen(now, LoopStopped(reason), f"ended.{now}")]))

    def close(self) -> None:
        """Give the file handles back."""
        for run in self.runs.values():
            run.close()


class _Batches(Journal):
    """A journal that takes several lines with one append."""

    def append_all(self, lines: list[Line]) -> bool:
        data = b"\n" * self._torn + b"".join(encode(line) + b"\n" for line in lines)
        try:
            written = os.write(self._fd, data)
        except OSError:
            written = 0
        self._torn = 0 < written < len(data) or (self._torn and not written)
        return written == len(data)


class Run:
    """One journal of a source.

    Args:
        path: the journal; its stem is the run's id.
        trace_iterations, place: see `Scribe`.
    """

    def __init__(self, path: Path, trace_iterations: int = 0, place: TraceContext | None = None) -> None:
        self.path = path
        self.run_id = path.stem
        self.keys: set[str] = set()
        """What has been written."""
        self.state = RunState(path.stem)
        self.size = 0
        """How long the journal was when it was loaded, in bytes."""
        self._trace_iterations = trace_iterations
        self._part = 0
        self._place = place
        self._journal: _Batches | None = None

    def load(self) -> Iterator[str]:
        """Read the journal; the marks of the batches in it."""
        follower = Follower(self.path)
        try:
            while (raws := follower.read()) or not follower.at_end:
                for raw in raws:
                    yield from self._loaded(raw)
            yield from self._loaded(follower.torn)  # a line that lacks its end alone gets it with the next one
            self.size = follower.offset
        except OSError as error:
            notice(f"cannot read {self.path}: {error.strerror}")
        finally:
            follower.close()

    def _loaded(self, raw: bytes) -> Iterator[str]:
        try:
            line = decode(raw)
        except BadLine:
            return
        source = line.get("source")
        if isinstance(source, dict) and isinstance(source.get("key"), str) and isinstance(source.get("mark"), str):
            self.keys.add(source["key"])
            yield source["mark"]
        if line["type"] == LoopStarted.type and self._place is None and "trace_id" in line:
            sampled = line.get("trace_flags", tracecontext.SAMPLED)
            self._place = TraceContext(line["trace_id"], line.get("parent_span_id", ""), sampled)
        if line["type"] == TraceContinued.type:
            self._part = line["part"] - 1
        self.state.apply(line)

    @property
    def stopped(self) -> bool:
        """Whether the run has ended."""
        return self.state.stopped is not None

    def dead(self, now: int, patience: float) -> bool:
        """Whether the loop is over and nothing will say so."""
        if not self.state.active:
            return False
        return gone(self.state) if self.state.pid is not None else now - self.state.last > patience * SECOND

    def write(self, batch: Batch) -> bool:
        """Append what is new in a batch; whether that was anything."""
        new = [seen for seen in batch.seen if seen.key not in self.keys]
        if self.stopped:
            new = [seen for seen in new if not isinstance(seen.event, (LoopStopped, StopConditionTriggered))]
        if not new:
            return False
        lines = list(self._lines(batch, new))
        if not self._open().append_all(lines):
            notice(f"cannot write {self.path}; once there is room, start again, and what is missing is read again")
            self.keys.difference_update(seen.key for seen in new)
            return False
        for line in lines:
            self.state.apply(line)
        if self.stopped:
            self.close()
        return True

    def _open(self) -> _Batches:
        if self._journal is None:
            self._journal = _Batches(self.path)
            self._journal.lock()  # while it is written here, nobody else declares its loop dead
        return self._journal

    def close(self) -> None:
        """Give the file handle back."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    # -- lines ------------------------------------------------------------------------------------------------------

    def _lines(self, batch: Batch, new: list[Seen]) -> Iterator[Line]:
        if not isinstance(new[0].event, LoopStarted) and not self.state.active:
            yield from self._line(batch, Seen(new[0].ts, self._again(), f"started.{new[0].ts}"))
        for seen in new:
            if seen.iteration:
                yield from self._next_trace(batch, seen)
            yield from self._line(batch, seen)

    def _again(self) -> LoopStarted:
        """What begins a run that goes on after its end, or whose beginning was not told."""
        state = self.state
        return LoopStarted(state.name or "loop", state.runner or None, None, state.max_iterations)

    def _line(self, batch: Batch, seen: Seen) -> Iterator[Line]:
        self.keys.add(seen.key)
        event = seen.event
        if isinstance(event, LoopStarted):
            event.pid, event.host = batch.pid, tracecontext.host_name() if batch.pid else None
        line: Line = {"v": VERSION, "type": event.type, "ts": seen.ts, "loop": self.run_id}
        line.update(self._ids(seen))
        if isinstance(event, LoopStarted) and not self._sampled():
            line["trace_flags"] = 0
        line.update((name, value) for name, value in vars(event).items() if value is not None)
        line["source"] = {"mark": batch.mark, "key": seen.key}
        if (problem := problem_with(line)) is None:
            yield line
        else:
            notice(f"an event of {self.path.name} is left out: {problem}")

    def _next_trace(self, batch: Batch, seen: Seen) -> Iterator[Line]:
        part = self._part_of(seen.iteration)
        if part > self._part:
            before = self._trace(self._part), self._span("loop", self._part)
            self._part = part
            yield from self._line(batch, Seen(seen.ts, TraceContinued(part + 1, *before), f"trace.{part}"))

    def _part_of(self, iteration: str) -> int:
        number = iteration.partition(".")[0]
        return (int(number) - 1) // self._trace_iterations if self._trace_iterations and number.isdecimal() else 0

    def _sampled(self) -> bool:
        if self._place is not None:
            return bool(self._place.flags & tracecontext.SAMPLED)
        return tracecontext.sampled_at_root(self._trace(0), os.environ)

    def _ids(self, seen: Seen) -> dict[str, str]:
        """Trace, span and parent of a line."""
        if not seen.iteration:
            ids = {"trace_id": self._trace(self._part), "span_id": self._span("loop", self._part)}
            if isinstance(seen.event, LoopStarted) and self._place is not None and self._place.span_id:
                ids["parent_span_id"] = self._place.span_id
            return ids
        part, open_ = self._part_of(seen.iteration), self._parts(seen.iteration)
        ids = {"trace_id": self._trace(part)}
        kind = seen.event.type.partition(".")[0]
        if kind in _PARTS:
            around = open_[: open_.index(kind)] if kind in open_ else []
            ids["span_id"] = self._span(kind, seen.iteration)
        elif isinstance(seen.event, (ToolCalled, TestsFinished)):
            around = open_ if isinstance(seen.event, ToolCalled) else open_[: _upto(open_, "iteration")]
            ids["span_id"] = self._span("event", seen.key)
        else:
            inner = open_ if _is_agents(seen.event) else open_[: _upto(open_, "iteration")]
            ids["span_id"] = self._span(inner[-1], seen.iteration) if inner else self._span("loop", part)
            return ids
        ids["parent_span_id"] = self._span(around[-1], seen.iteration) if around else self._span("loop", part)
        return ids

    def _parts(self, iteration: str) -> list[str]:
        """The spans that an iteration has, from the outside in."""
        known = {"session": "session", "iteration": "started", "agent": "agent"}
        return [part for part in _PARTS if f"{iteration}/{known[part]}" in self.keys]

    def _trace(self, part: int) -> str:
        if part == 0 and self._place is not None:
            return self._place.trace_id
        return sha256(f"{self.run_id} trace {part}".encode()).hexdigest()[:32]

    def _span(self, kind: str, name: str | int) -> str:
        return sha256(f"{self.run_id} {kind} {name}".encode()).hexdigest()[:16]


def _upto(parts: list[str], last: str) -> int:
    return parts.index(last) + 1 if last in parts else len(parts)


def _is_agents(event: Event) -> bool:
    """Whether an event tells of the agent rather than of what it has brought about."""
    return isinstance(event, (UsageMeasured, ContextMeasured))
