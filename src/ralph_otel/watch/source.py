"""What a format of another runner's files is, and what it makes of them.

A format looks at a folder and says what has happened since it looked last, as batches of events. It knows no file
system and no journal: the folder is handed to it, and whoever gets the batches sees to it that each event is written
once, also when the same files are read again after a restart. For that every event has a key, which is the same each
time the event is read.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar, Protocol

from ralph_otel.agents import lines
from ralph_otel.events import (
    MAX_INTEGER,
    AgentFinished,
    AgentStarted,
    Event,
    IterationFinished,
    IterationStarted,
    LoopStarted,
    LoopStopped,
    SessionEnded,
    SessionStarted,
    StopConditionTriggered,
)

SECOND = 1_000_000_000
"""Nanoseconds."""
AHEAD = 86_400 * SECOND
"""How far ahead of ours another clock may be, or a time that names no zone."""


@dataclass(frozen=True)
class Seen:
    """An event, as read from a source.

    Args:
        ts: when, in Unix nanoseconds.
        event: what.
        key: its name within its run, the same whenever it is read.
        iteration: the name of the iteration it belongs to; "" for the loop itself.
    """

    ts: int
    event: Event
    key: str
    iteration: str = ""


@dataclass(frozen=True)
class Batch:
    """Events of one run that a source tells together.

    Args:
        run: the run they belong to, by a name that holds while the format object lives.
        mark: a name for the batch that no other batch of the source has, the same whenever it is read. By it the run
            is found again after a restart.
        seen: the events, in order.
        pid: the process that runs the loop, where known.
    """

    run: str
    mark: str
    seen: Sequence[Seen]
    pid: int | None = None


class Late:
    """Holds back the batches of a run until one of them tells of something that has happened since a moment.

    Args:
        since: the moment, in Unix nanoseconds.
    """

    def __init__(self, since: int) -> None:
        self._since = since
        self._held: dict[str, list[Batch]] = {}
        self._wanted: set[str] = set()

    def only(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """The batches of wanted runs, those that were held back first."""
        for batch in batches:
            held = self._held.setdefault(batch.run, [])
            held.append(batch)
            if batch.run in self._wanted or any(seen.ts >= self._since for seen in batch.seen):
                self._wanted.add(batch.run)
                yield from held
                held.clear()


class Folder(Protocol):
    """The files that a format reads. Names are relative, with `/`."""

    name: str
    """What the folder is called: the loop's name."""
    now: int
    """The time, in Unix nanoseconds, at which the format looks."""

    def lines(self, name: str) -> Iterable[bytes]:
        """The whole lines that have come since the last call; none where there is no such file."""

    def document(self, name: str) -> dict[str, Any] | None:
        """A JSON object that is rewritten as a whole, if it has changed since the last call; None if not, if there is
        no such file, or if it is only half written yet."""

    def content(self, name: str) -> bytes | None:
        """The content; None where there is no such file."""

    def head(self, name: str) -> bytes:
        """The beginning of a file that may be long."""

    def tail(self, name: str) -> bytes:
        """The end of a file that may be long."""

    def names(self, pattern: str) -> list[str]:
        """The files that match a pattern such as `logs/*.log`, sorted."""

    def modified(self, name: str) -> int | None:
        """When a file was last written, in Unix nanoseconds."""


class Format(Protocol):
    """One runner's files. An object reads one folder."""

    runner: ClassVar[str]
    """The runner's name, as its package is called."""
    watched: ClassVar[tuple[str, ...]]
    """The folders whose changes matter; "" is the folder itself. Patterns allowed."""
    resolution: ClassVar[int]
    """The nanoseconds between two times that the files can tell apart."""
    bad: int
    """Lines and files that could not be used."""

    @staticmethod
    def here(folder: Folder) -> bool:
        """Whether this runner's files are in a folder."""

    def read(self, folder: Folder) -> Iterable[Batch]:
        """What has happened since the last call."""

    def patience(self) -> float:
        """Seconds of silence after which a loop is over for certain, whose process is not known."""


# -- what all formats need ---------------------------------------------------------------------------------------------


@dataclass
class Turn:
    """An iteration, as far as a runner tells of it.

    Args:
        number: from 1.
        name: its name in the run; the number, unless numbers come again.
        agent: the agent's name, where known.
        model: the agent's model, where known.
    """

    number: int
    name: str = ""
    agent: str | None = None
    model: str | None = None
    fresh: bool = True
    """Whether the agent begins with a fresh context: then the iteration is in a session of its own."""

    def __post_init__(self) -> None:
        self.name = self.name or str(self.number)

    def started(self, ts: int) -> Iterator[Seen]:
        """Its beginning."""
        if self.fresh:
            yield self._seen(ts, SessionStarted(f"iteration-{self.name}"), "session")
        yield self._seen(ts, IterationStarted(self.number), "started")
        if self.agent is not None:
            yield self._seen(ts, AgentStarted(self.agent, self.model), "agent")

    def finished(self, ts: int, end: End, measured: Iterable[Event] = ()) -> Iterator[Seen]:
        """All of it, at its end. What was told of its beginning before is known by the same keys.

        Args:
            ts: when it ended.
            end: how.
            measured: what was measured in it.
        """
        yield from self.started(max(0, ts - round(end.duration * SECOND)))
        for number, event in enumerate(measured):
            yield self._seen(ts, event, f"{event.type}.{number}")
        if self.agent is not None:
            outcome = end.outcome if end.outcome != "success" else None
            agent = AgentFinished(self.agent, end.exit_code, end.duration, end.turns, outcome, None, end.conversation)
            yield self._seen(ts, agent, "agent.finished")
        event = IterationFinished(self.number, end.outcome, end.duration, end.error_type, end.exit_code)
        yield self._seen(ts, event, "finished")
        if self.fresh:
            yield self._seen(ts, SessionEnded(f"iteration-{self.name}", end.duration), "session.ended")

    def _seen(self, ts: int, event: Event, key: str) -> Seen:
        return Seen(ts, event, f"{self.name}/{key}", self.name)


@dataclass
class End:
    """How an iteration ended."""

    outcome: str
    duration: float
    """Seconds."""
    error_type: str | None = None
    exit_code: int | None = None
    turns: int | None = None
    conversation: str | None = None


def stopped(ts: int, reason: str, condition: str | None = None, key: str = "stopped") -> list[Seen]:
    """The end of a loop: the stop reason, and the runner's own word for it."""
    word = [Seen(ts, StopConditionTriggered(condition), f"{key}.condition")] if condition else []
    return [*word, Seen(ts, LoopStopped(reason), key)]


_TIME = re.compile(r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(?:[.,](\d{1,9})\d*)?\s*(Z|[+-]\d\d:?\d\d)?", re.ASCII)


def moment(text: Any) -> int | None:
    """An ISO 8601 time as Unix nanoseconds; one without a zone is local. None for anything else."""
    found = _TIME.fullmatch(text.strip()) if isinstance(text, str) and len(text) < 64 else None
    if found is None:
        return None
    base, fraction, zone = found.groups()
    try:
        whole = datetime.fromisoformat(base + (zone or ""))
        seconds = int((whole if zone else whole.astimezone()).astimezone(UTC).timestamp())
    except (ValueError, OverflowError, OSError):
        return None
    return within(seconds * SECOND + int((fraction or "0").ljust(9, "0")))


def milliseconds(value: Any) -> int | None:
    """Unix milliseconds as nanoseconds; None for anything else."""
    return within(value * 1_000_000) if type(value) is int else None


def within(ts: int) -> int | None:
    """A time that a journal can hold and that has come, or None. What is said of next year is no time."""
    return ts if 0 <= ts <= min(MAX_INTEGER, time.time_ns() + AHEAD) else None


def record(raw: bytes) -> dict[str, Any] | None:
    """A line or a file as a JSON object; None if it is none."""
    found = lines.decode(raw) if raw.lstrip()[:1] == b"{" else []
    return found[0] if found else None


@dataclass
class Outline:
    """What formats keep of a run.

    Args:
        name: as in `Batch.run`.
        loop: the loop's name.
        runner: as in `Format.runner`.
        last: the time of the last thing that was told of it.
        iteration: the number of the last iteration that ended.
        over: whether its end was told.
        pid: the process that runs it, where known.
    """

    name: str
    loop: str
    runner: str
    last: int = 0
    iteration: int = 0
    over: bool = False
    pid: int | None = None
    told: set[str] = field(default_factory=set)

    def once(self, what: str) -> bool:
        """Whether this is the first time that it is told."""
        fresh = what not in self.told
        self.told.add(what)
        return fresh

    def begins(self, ts: int, max_iterations: int | None = None) -> Iterator[Seen]:
        """Its beginning, if that has not been told."""
        if self.once("started"):
            yield Seen(ts, LoopStarted(self.loop, self.runner, None, max_iterations), "started")

    def batch(self, mark: str, ts: int, seen: Iterable[Seen]) -> Iterator[Batch]:
        """A batch of it, if there is anything in it. `ts`: when it was told."""
        self.last = max(self.last, ts)
        if found := list(seen):
            yield Batch(self.name, mark, found, self.pid)

    def ends(self, ts: int, reason: str, condition: str | None = None) -> Iterator[Batch]:
        """Its end."""
        self.over = True
        ts = max(ts, self.last)
        yield from self.batch(f"end {ts}", ts, stopped(ts, reason, condition, f"stopped.{ts}"))
