"""The files of a runner that `ralph-otel run` has started: watched beside it, from its start to its end.

Agents of such a runner may be seen by their stand-ins as well (`ralph_otel.shims`). Whoever sees the loop first speaks
for it, and the other is silent: the files, if they tell of the loop before its first agent starts, as they do in the
versions that are known; else the stand-ins, so that an unknown version is still seen.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ralph_otel.notices import notice
from ralph_otel.tracecontext import TraceContext
from ralph_otel.watch.changes import Changes
from ralph_otel.watch.source import Format
from ralph_otel.watch.targets import CannotWatch, Source, Wanted

_LONGEST_END = 0.5
"""Seconds that the watching thread may take to notice that it is over."""


class LaunchedWatch:
    """Watches one folder, for one format.

    Args:
        make: makes what reads the runner's files.
        folder: where they are.
        home: the folder in whose `runs` the journals are written.
        since: when the runner was started, in Unix nanoseconds.
        trace_iterations, place: see `ralph_otel.watch.scribe.Scribe`.
        is_told: whether somebody else speaks for the loop already.
    """

    def __init__(
        self,
        make: Callable[[], Format],
        folder: Path,
        home: Path,
        since: int,
        trace_iterations: int,
        place: TraceContext | None,
        is_told: Callable[[], bool],
    ) -> None:
        self._follow: Callable[[Path, int], None] | None = None
        self._followed: dict[Path, int] = {}
        self._is_told = is_told
        self._others = False
        """Whether another ralph-otel watches the folder: it speaks for the loop."""
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._source: Source | None = None
        format_ = make()
        wanted = Wanted(since=since - since % format_.resolution)
        try:
            self._source = Source(home, folder, wanted, self._found, [format_], trace_iterations, place)
        except CannotWatch as error:
            self._others = True
            notice(f"{error}, and records this loop")
        self._thread = threading.Thread(target=self._run, name="ralph-otel-files", daemon=True)

    def start(self, follow: Callable[[Path, int], None]) -> None:
        """Begin to watch.

        Args:
            follow: has a journal recorded: its path, and how many of its bytes have been before.
        """
        with self._lock:
            self._follow = follow
            for path, recorded in self._followed.items():
                follow(path, recorded)
        self._thread.start()

    def speaks(self) -> bool:
        """Whether the loop has been seen here, or by another watch; looks once more for that."""
        self._look()
        return self._others or bool(self._followed)

    def paths(self) -> Iterator[Path]:
        """The journals of the loops that have been seen."""
        yield from list(self._followed)

    def stop(self, reason: str) -> None:
        """The runner has ended: look a last time, and end what has no end.

        Args:
            reason: why it has ended, one of the journal's stop reasons.
        """
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(_LONGEST_END)
        self._look()
        with self._lock:
            if self._source is not None:
                self._source.end(reason, time.time_ns())
                self._source.close()
                self._source.memory.close()
                self._source = None

    def _run(self) -> None:
        source = self._source
        if source is None:
            return
        changes = Changes(source.folders)
        while not self._stop.is_set():
            self._look()
            changes.wait(self._stop)

    def _look(self) -> None:
        with self._lock:
            if self._source is None or (not self._followed and self._is_told()):
                return
            try:
                self._source.look()
            except Exception as error:  # noqa: BLE001 — the runner goes on without
                notice(f"the runner's files are not seen on: {type(error).__name__}: {error}; please report this")
                self._source = None

    def _found(self, path: Path, recorded: int) -> None:
        if path not in self._followed:
            self._followed[path] = recorded
            if self._follow is not None:
                self._follow(path, recorded)
