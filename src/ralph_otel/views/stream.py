"""Runs as lines of JSON, for a program that watches: a snapshot whenever something has changed, or every event.

An event is given with its `id`, the run id and the event's place in the journal: who comes back says the last one that
it has seen, and gets what came after.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from ralph_otel.events import Line
from ralph_otel.journal import MAX_LINE, BadLine, decode, encode
from ralph_otel.own_files import open_to_read
from ralph_otel.views.live import Live
from ralph_otel.views.live_run import LiveRun


def snapshot(run: LiveRun, now: int) -> dict[str, Any]:
    """A run as it stands now (Unix nanoseconds).

    Returns:
        `run`, `name`, `runner`, `state` (see `ralph_otel.views.live_run.status_of`), `stop_reason`, `ts` and
        `last_event` (Unix nanoseconds), `journal`, and `metrics`, which is `LoopMetrics.to_dict()`.
    """
    state = run.state
    return {
        "run": state.run_id,
        "name": state.name,
        "runner": state.runner or None,
        "state": run.status(now),
        "stop_reason": state.stop_reason,
        "ts": now,
        "last_event": state.last,
        "journal": str(run.journal),
        "metrics": run.metrics(now).to_dict(),
    }


class EventIdError(ValueError):
    """No event is meant by an id; the text says why in one line."""


def place_of(event_id: str) -> tuple[str, int]:
    """The run id, and how many bytes of its journal are before what comes next.

    Raises:
        EventIdError: it is no id of an event.
    """
    run, _, place = event_id.rpartition(":")
    if not run or not place.isdecimal() or len(place) > 18:
        raise EventIdError(f"{event_id!r} is no event's id; it must be as in an object's `id`, such as RUN:1234")
    return run, int(place)


class Events:
    """The events of a journal, read on from where it was.

    Args:
        path: the file.
        place: the bytes to leave out.

    Raises:
        EventIdError: no line ends there.
        OSError: it cannot be read.
    """

    def __init__(self, path: Path, place: int = 0) -> None:
        self._path = path
        self._place = place
        if place:
            with open_to_read(self._path) as file:
                file.seek(place - 1)
                if file.read(1) != b"\n":
                    raise EventIdError(f"no event of {path.name} ends at {place}; without --after, all are given")

    def skip(self) -> None:
        """Leave out all that is there."""
        with open_to_read(self._path) as file:
            while _line_of(file) is not None:
                self._place = file.tell()

    def read(self) -> Iterator[Line]:
        """The whole lines that have come, each with its `id`; those that cannot be used are left out."""
        with open_to_read(self._path) as file:
            if os.fstat(file.fileno()).st_size < self._place:  # another file by this name
                self._place = 0
            file.seek(self._place)
            while (raw := _line_of(file)) is not None:
                self._place = file.tell()
                try:
                    line = decode(raw)
                except BadLine:
                    continue
                yield {**line, "id": f"{self._path.stem}:{self._place}"}


def _line_of(file: BinaryIO) -> bytes | None:
    """The next whole line, b"" for one that is too long; None where its end has not come."""
    raw = file.readline(MAX_LINE + 1)
    if raw.endswith(b"\n"):
        return raw
    while part := file.readline(MAX_LINE):
        if part.endswith(b"\n"):
            return b""
    return None


class Stream:
    """What has changed since it was asked last.

    Args:
        home: the folder of the journals.
        only: the one journal to look at; None: those of all runs that are under way, or begin from now on.
        events: give events instead of snapshots.
        new: leave out the events that are there already.
        place: of the one journal, the bytes whose events are left out; see `place_of`.

    Raises:
        EventIdError: no event of the journal ends at that place.
        OSError: it cannot be read.
    """

    def __init__(
        self, home: Path, only: Path | None = None, events: bool = False, new: bool = False, place: int = 0
    ) -> None:
        self._live = Live(home, keep=0, only=only)
        self._only = only
        self._events = events
        self._new = new
        self._first = True
        self._passed_over: set[str] = set()
        """Runs that had ended when they were seen first: they are none of ours, until they go on."""
        self._told: dict[str, tuple[int, str]] = {}
        self._events_of: dict[Path, Events] = {} if only is None or not place else {only: Events(only, place)}
        self.ended = False
        """Whether every run that was asked for has ended."""

    @property
    def runs(self) -> int:
        """How many runs have been told of."""
        return len(self._told)

    def poll(self) -> Iterator[str]:
        """What has changed, as lines of JSON without their ends."""
        self._live.poll()
        now = time.time_ns()
        ended = True
        for run in reversed(self._live.runs):
            going = run.going(now)
            ended = ended and not going
            if self._is_ours(run, going):
                yield from self._changes_of(run, now)
        self._first = False
        self.ended = ended

    def _is_ours(self, run: LiveRun, going: bool) -> bool:
        if self._only is None and not going and (self._first or run.key in self._passed_over):
            self._passed_over.add(run.key)
            return False
        self._passed_over.discard(run.key)
        return True

    def _changes_of(self, run: LiveRun, now: int) -> Iterator[str]:
        told = run.version, run.status(now)
        if self._told.get(run.key) == told:
            return
        self._told[run.key] = told
        if not self._events:
            yield json.dumps(snapshot(run, now), separators=(",", ":"), allow_nan=False)
            return
        for line in self._lines(run.journal):
            yield encode(line).decode("ascii")

    def _lines(self, journal: Path) -> Iterator[Line]:
        """The events of a journal that have not been given yet."""
        events = self._events_of.get(journal)
        if events is None:
            events = self._events_of[journal] = Events(journal)
            if self._new and self._first:
                events.skip()
        return events.read()

    def close(self) -> None:
        """Give the file handles back."""
        self._live.close()
