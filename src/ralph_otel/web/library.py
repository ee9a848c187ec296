"""The journals as the page sees them. All of it happens on one thread, so that nothing needs a lock."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from ralph_otel.runs import RunError, find_by_id
from ralph_otel.views.live import FollowedJournal, Live
from ralph_otel.views.live_run import LiveRun
from ralph_otel.views.rows import Row, ordered, row_of
from ralph_otel.views.usage import Meters, Usage
from ralph_otel.web import answers

_BUDGET = 0.1
"""Seconds that a look at the journals may take before others have their turn."""
_AT_HAND = 8
"""Older journals that stay open after somebody has asked for them."""
_REFRESH = 5_000_000_000
"""Nanoseconds after which a run that is under way is told anew though nothing has happened: its rates change."""

_T = TypeVar("_T")


class Library:
    """The runs of a home folder.

    Only `ask` and `close` are for other threads.

    Args:
        home: the folder.
        most: ended runs that are followed; others are read when somebody asks for them.
    """

    def __init__(self, home: Path, most: int) -> None:
        self.home = home
        self._live = Live(home, most, parts=True)
        self._older: OrderedDict[Path, FollowedJournal] = OrderedDict()
        self._meters = Meters()
        self._used: dict[str, Usage] = {}
        self._told: dict[str, tuple[tuple[Any, ...], bytes]] = {}
        self._thread = ThreadPoolExecutor(1, "ralph-otel-web")
        self.reading = True
        """Whether there is more to be read."""

    async def ask(self, question: Callable[..., _T], *arguments: Any) -> _T:
        """Call something with this library, and whatever else is given, on its thread."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, question, self, *arguments)

    def close(self) -> None:
        """Give the files back."""
        self._thread.shutdown(cancel_futures=True)
        self._live.close()
        for journal in self._older.values():
            journal.close()

    # -- on its thread ----------------------------------------------------------------------------------------------

    @property
    def errors(self) -> list[str]:
        """Journals that cannot be read, a line each."""
        return [f"cannot read {path.name}: {why}" for path, why in self._live.errors.items()]

    def poll(self) -> None:
        """Read what has come, for a moment."""
        self.reading = not self._live.poll(_BUDGET)
        now = time.time_ns()
        self._used = self._meters.look(run for run in self._live.runs if run.going(now))

    def rows(self) -> list[Row]:
        """The runs that are followed, those that are under way first."""
        now = time.time_ns()
        return ordered(self._row(run, now) for run in self._live.runs)

    def row(self, run: LiveRun) -> Row:
        """A run as it stands now."""
        return self._row(run, time.time_ns())

    def _row(self, run: LiveRun, now: int) -> Row:
        return row_of(run, now, self._used.get(run.key))

    def snapshots(self) -> dict[str, bytes]:
        """Read what has come, and tell each run as a line of JSON, by key; the same bytes where nothing has changed."""
        self.poll()
        now = time.time_ns()
        told = {}
        for run in self._live.runs:
            going = run.going(now)
            marks = run.version, run.status(now), self._used.get(run.key), going and now // _REFRESH
            before = self._told.get(run.key)
            same = before is not None and before[0] == marks
            told[run.key] = before if same and before else (marks, answers.line(answers.summary(self._row(run, now))))
        self._told = told
        return {key: line for key, (_, line) in told.items()}

    def run(self, key: str) -> tuple[FollowedJournal, LiveRun]:
        """A run, read to its end, and its journal.

        Args:
            key: its key, an unambiguous part of a run id, or `latest`. Never a path.

        Raises:
            RunError: there is none, or several.
            OSError: its journal cannot be read.
        """
        journal = self._journal(key)
        journal.read()
        if journal.error is not None:
            raise OSError(f"{journal.path.name}: {journal.error}")
        run = next((run for run in journal.runs.values() if run.key == key), None)
        run = run or next(reversed(journal.runs.values()), None)
        if run is None:
            raise RunError(f"the journal of {key!r} has no line that can be used")
        return journal, run

    def _journal(self, key: str) -> FollowedJournal:
        run_id = key.partition("/")[0]
        path = self._live.folder / f"{run_id}.jsonl"
        if path not in self._live.journals and path not in self._older:
            path = find_by_id(run_id, self.home)
        journal = self._live.journals.get(path) or self._older.pop(path, None) or FollowedJournal(path, parts=True)
        if path not in self._live.journals:
            self._older[path] = journal
            if len(self._older) > _AT_HAND:
                self._older.popitem(last=False)[1].close()
        return journal
