"""Lines that a journal cannot take now: they wait in memory, and go into the file first as soon as it takes any."""

from __future__ import annotations

import os
import time
from collections import deque

from ralph_otel.events import VERSION, EventsDropped, Line
from ralph_otel.journal.writing import Journal
from ralph_otel.notices import notice

MOST = 10_000
"""Lines that may wait; what comes then is dropped and counted."""


class Held:
    """A journal's writing end for whoever has nowhere else to put a line.

    Args:
        journal: the journal.
        most: how many lines may wait.
    """

    def __init__(self, journal: Journal, most: int = MOST) -> None:
        self._journal = journal
        self._most = most
        self._waiting: deque[Line] = deque()
        self._pid = os.getpid()
        self._dropped = 0

    def append(self, line: Line) -> None:
        """Write a line, after those that wait; or have it wait."""
        if self._catch_up() and self._journal.append(line):
            return
        if len(self._waiting) < self._most:
            self._waiting.append(line)
        else:
            self._dropped += 1

    def _catch_up(self) -> bool:
        """Write what waits: whether nothing does any more. A forked child leaves that to its parent."""
        if self._pid != os.getpid():
            self._pid, self._dropped = os.getpid(), 0
            self._waiting.clear()
        while self._waiting:
            if not self._journal.append(self._waiting[0]):
                return False
            last = self._waiting.popleft()
            if not self._waiting and self._dropped:
                gap = EventsDropped(self._dropped)
                self._dropped = 0
                self._waiting.append(
                    {"v": VERSION, "type": gap.type, "ts": time.time_ns(), "loop": last["loop"], "count": gap.count}
                )
        return True

    def close(self) -> None:
        """Give the file back. What it cannot take even now is lost, which is said."""
        self._catch_up()
        lost = len(self._waiting) + self._dropped
        if lost:
            path, problem = self._journal.path, self._journal.problem
            notice(f"{lost} events could not be written to {path}: {problem}; make room, or set RALPH_OTEL_HOME")
        self._waiting.clear()
        self._dropped = 0
        self._journal.close()
