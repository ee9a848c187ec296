"""Runs as lines of JSON, for a program that watches: a snapshot whenever something has changed, or every event."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ralph_otel.events import Line
from ralph_otel.journal import BadLine, Follower, decode, encode
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


class Stream:
    """What has changed since it was asked last.

    Args:
        home: the folder of the journals.
        only: the one journal to look at; None: those of all runs that are under way, or begin from now on.
        events: give events instead of snapshots.
        new: leave out the events that are there already.
    """

    def __init__(self, home: Path, only: Path | None = None, events: bool = False, new: bool = False) -> None:
        self._live = Live(home, keep=0, only=only)
        self._only = only
        self._events = events
        self._new = new
        self._first = True
        self._passed_over: set[str] = set()
        """Runs that had ended when they were seen first: they are none of ours, until they go on."""
        self._told: dict[str, tuple[int, str]] = {}
        self._followers: dict[Path, Follower] = {}
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
        """The lines of a journal that have not been given yet; those that cannot be used are left out."""
        follower = self._followers.get(journal)
        if follower is None:
            skipped = journal.stat().st_size if self._new and self._first else 0
            follower = self._followers[journal] = Follower(journal, skipped)
        while (raws := follower.read()) or not follower.at_end:
            for raw in raws:
                try:
                    yield decode(raw)
                except BadLine:
                    continue
        follower.close()

    def close(self) -> None:
        """Give the file handles back."""
        self._live.close()
        for follower in self._followers.values():
            follower.close()
