"""Journals written by hand, and what they fold to."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ralph_otel.events import Line
from ralph_otel.journal import BadLine, decode, encode
from ralph_otel.model import LoopMetrics
from ralph_otel.state import RunState, States

T0 = 1_700_000_000_000_000_000
"""When every tape begins, in Unix nanoseconds."""
TRACE = "0af7651916cd43dd8448eb211c80319c"


def at(seconds: float) -> int:
    """A moment of a tape in Unix nanoseconds."""
    return T0 + round(seconds * 1e9)


class Tape:
    """The lines of one run, in the order they are added; each is an event at so many seconds from the start.

    Args:
        name: the loop's name; "" leaves out the `loop.started` that every tape begins with.
        run: the run id.
    """

    def __init__(self, name: str = "tape", run: str = "run-1", **started: Any) -> None:
        self.run = run
        self.lines: list[Line] = []
        if name:
            self.add(0, "loop.started", name=name, **started)

    def add(self, seconds: float, type_: str, **fields: Any) -> Tape:
        """Add an event; a field `span` is the line's span id."""
        line: Line = {"v": 1, "type": type_, "ts": at(seconds), "loop": self.run, **fields}
        if "span" in line:
            line["trace_id"], line["span_id"] = TRACE, line.pop("span")
        self.lines.append(line)
        return self

    def iteration(self, start: float, number: int, outcome: str = "success", duration: float = 1.0) -> Tape:
        """Add an iteration's start and end."""
        self.add(start, "iteration.started", iteration=number)
        return self.add(start + duration, "iteration.finished", iteration=number, outcome=outcome, duration=duration)

    def write(self, path: Path) -> Path:
        """Put the lines into a journal file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(encode(line) + b"\n" for line in self.lines))
        return path

    def state(self) -> RunState:
        """The run's state after all lines."""
        return fold(self.lines).by_run[self.run]

    def metrics(self, now: float | None = None) -> LoopMetrics:
        """What the lines come to, by default at the last of them."""
        return fold(self.lines).metrics(None if now is None else at(now))


def fold(lines: Iterable[Line]) -> States:
    """Lines through bytes and back, as a recorder gets them, into states."""
    states = States()
    for line in lines:
        states.apply(decode(encode(line)))
    return states


def lines_of(path: Path) -> list[Line]:
    """Every line of a journal file, checked; but for blank ones, which readers pass over, and a last one of which only
    a part is there yet: a reader may look while it is being written.
    """
    raws = [raw for raw in path.read_bytes().splitlines(keepends=True) if raw.strip(b"\r\n")]
    if raws and not raws[-1].endswith(b"\n"):
        try:
            decode(raws[-1])
        except BadLine:
            raws.pop()
    return [decode(raw.rstrip(b"\r\n")) for raw in raws]
