"""All the runs of a home folder as they go on: every journal followed and folded, whoever writes it.

`Live.poll` reads what has come since, and costs a `stat` a journal when nothing has. It never writes: a run whose
process is gone is shown as dead, and the end of its journal is left to `ralph_otel.recorder.recovery`.
"""

from __future__ import annotations

import math
import os
import time
from collections import deque
from pathlib import Path

from ralph_otel.journal import BadLine, Follower, decode, has_end, runs_folder
from ralph_otel.processes import gone
from ralph_otel.state import States
from ralph_otel.views.history import History
from ralph_otel.views.live_run import LiveRun
from ralph_otel.views.parts import Parts

_UNENDED = 7 * 24 * 3600.0
"""Seconds without an event after which nobody looks whether an old journal has no end."""
_MOST = 500
"""Journals that are followed at once."""
_SCAN = 15.0
"""Seconds between two full looks into the folder; a new file is noticed at once."""
_CHECK = 2.0
"""Seconds between two looks whether the processes are there."""
_CHUNK = 64 * 1024


class FollowedJournal:
    """One journal and its runs: one, unless somebody joined several.

    Args:
        path: the file.
        parts: whether what was in the iterations is kept, too.

    Attributes:
        runs: by run id, the newest last.
        bad_lines: lines that were skipped.
        error: why the file cannot be read; None if it can.
    """

    def __init__(self, path: Path, parts: bool = False) -> None:
        self.path = path
        self._parts = parts
        self.error: str | None = None
        self._begin()

    def _begin(self) -> None:
        self._follower = Follower(self.path)
        self._states = States()
        self._seen: tuple[int, int, int] | None = None
        self.runs: dict[str, LiveRun] = {}
        self.bad_lines = 0

    def read(self, deadline: float = math.inf) -> bool:
        """Fold what has come, until `deadline` (monotonic seconds).

        Returns:
            Whether everything there is has been read.
        """
        try:
            status = self.path.stat(follow_symlinks=False)
            seen = status.st_ino, status.st_size, status.st_mtime_ns
            if seen == self._seen:
                return True
            if (self._seen is not None and self._seen[0] != status.st_ino) or status.st_size < self._follower.offset:
                self.close()
                self._begin()
            while (raws := self._follower.read(_CHUNK)) or not self._follower.at_end:
                for raw in raws:
                    if raw and not raw.isspace():
                        self._fold(raw)
                if time.monotonic() >= deadline:
                    return False
            self.error = None
        except FileNotFoundError:
            return True
        except OSError as error:
            self.error = error.strerror or str(error)
        self._seen = seen
        self._follower.close()  # there may be hundreds; opening it again costs little
        return True

    def _fold(self, raw: bytes) -> None:
        try:
            line = decode(raw)
        except BadLine:
            self.bad_lines += 1
            return
        state = self._states.apply(line)
        if state is None:
            return
        run = self.runs.get(state.run_id)
        if run is None:
            for forgotten in self.runs.keys() - self._states.by_run.keys():
                del self.runs[forgotten]
            own = state.run_id == self.path.stem
            key = state.run_id if own else f"{self.path.stem}/{state.run_id}"
            run = self.runs[state.run_id] = LiveRun(key, self.path, state, History(state.run_id))
            run.parts = Parts() if self._parts else None
        run.record(line)

    def close(self) -> None:
        """Give the file handle back."""
        self._follower.close()


class Live:
    """The runs of a home folder: those that are under way, and the last that have ended.

    Args:
        home: the folder.
        keep: how many runs are followed though they have ended: those written last. Runs that have no end, or that are
            written to from now on, come on top.
        only: one journal to follow, instead of the folder's.
        parts: whether what was in the iterations is kept, too.

    Attributes:
        journals: those that are followed, by path.
    """

    def __init__(self, home: Path, keep: int = 50, only: Path | None = None, parts: bool = False) -> None:
        self.folder = runs_folder(home)
        self.journals: dict[Path, FollowedJournal] = {}
        self._parts = parts
        self._keep = keep
        self._only = only
        self._born = time.time()
        self._pending: deque[FollowedJournal] = deque()
        self._ended: dict[Path, tuple[float, bool]] = {}
        self._folder_changed = -1
        self._scanned = self._checked = -math.inf
        self._caught_up = False

    @property
    def runs(self) -> list[LiveRun]:
        """The runs as far as they have been read; those whose journal was written last come first."""
        return [run for journal in self.journals.values() for run in journal.runs.values()]

    @property
    def errors(self) -> dict[Path, str]:
        """Journals that cannot be read, and why."""
        return {path: journal.error for path, journal in self.journals.items() if journal.error is not None}

    def poll(self, budget: float = math.inf) -> bool:
        """Read what has come, for at most about `budget` seconds.

        Returns:
            Whether everything there was has been read.
        """
        now = time.monotonic()
        if not self._pending:
            self._scan(now)
            self._pending.extend(self.journals.values())
        while self._pending and self._pending[0].read(now + budget):
            self._pending.popleft()
            if time.monotonic() >= now + budget:
                break
        caught_up = not self._pending
        if now - self._checked >= _CHECK or (caught_up and not self._caught_up):
            self._check()
            self._checked = now
        self._caught_up = caught_up
        return caught_up

    def close(self) -> None:
        """Give the file handles back."""
        for journal in self.journals.values():
            journal.close()

    def _check(self) -> None:
        """Look which processes are gone."""
        for run in self.runs:
            if run.state.active and run.dead != (dead := gone(run.state)):
                run.dead = dead
                run.version += 1

    def _scan(self, now: float) -> None:
        """Look which journals there are, if there may be others than before."""
        if self._only is not None:
            self.journals.setdefault(self._only, FollowedJournal(self._only, self._parts))
            return
        try:
            changed = self.folder.stat().st_mtime_ns
        except OSError:
            return
        if changed == self._folder_changed and now - self._scanned < _SCAN:
            return
        self._folder_changed, self._scanned = changed, now
        wanted = self._wanted()
        for path in self.journals.keys() - set(wanted):
            self.journals.pop(path).close()
        self.journals = {path: self.journals.get(path) or FollowedJournal(path, self._parts) for path in wanted}

    def _wanted(self) -> list[Path]:
        """The journals to follow, those that were written last first."""
        written = sorted(_written(self.folder), reverse=True)
        newest = [path for _, path in written[: self._keep]]
        further = (path for when, path in written[self._keep :] if self._goes_on(path, when))
        return [*newest, *further][:_MOST]

    def _goes_on(self, path: Path, when: float) -> bool:
        """Whether an older journal belongs to a run that may be under way."""
        if path in self.journals and any(run.going(time.time_ns()) for run in self.journals[path].runs.values()):
            return True
        if when < self._born - _UNENDED:
            return False
        if self._ended.get(path, (0.0, False))[0] != when:
            try:
                self._ended[path] = when, has_end(path)
            except OSError:
                self._ended[path] = when, True
        return when >= self._born or not self._ended[path][1]


def _written(folder: Path) -> list[tuple[float, Path]]:
    """The journals of a folder, and when each was written last, in Unix seconds."""
    found = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith(".jsonl") and entry.is_file(follow_symlinks=False):
                    found.append((entry.stat(follow_symlinks=False).st_mtime, Path(entry.path)))
    except OSError:  # no folder yet, or a file that has just gone: the next look will tell
        pass
    return found
