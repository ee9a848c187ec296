"""What was given up, by reason: in memory for our metrics, in a file of the queue's folder for whoever asks later."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
_MOST = 64 * 1024
"""Bytes of the file, from which on a new one is begun; the one before is kept, those before that are not."""


class Reason(StrEnum):
    """Why spans, data points or log records were given up."""

    REFUSED = "refused"
    """The receiver's answer is one after which a request must not be sent again."""
    REJECTED = "rejected"
    """The receiver took the request, and left these out (partial success)."""
    TOO_LARGE = "too_large"
    """A single item, or a request that could not be cut smaller, is more than the receiver takes."""
    TOO_OLD = "too_old"
    """They have waited longer than `waiting_age`."""
    NO_ROOM = "no_room"
    """More waited than `waiting_size`: the oldest made room."""
    DAMAGED = "damaged"
    """Their file was not whole."""
    UNSAVED = "unsaved"
    """They could be neither sent nor written: the disk was full, say."""


class Entry(NamedTuple):
    """Some that were given up at once: when (Unix seconds), why, how many, and what the receiver said."""

    ts: float
    reason: str
    items: int
    said: str


class Dropped:
    """Counts what is given up of one signal.

    Args:
        folder: the queue's folder; None: nothing is written.
    """

    def __init__(self, folder: Path | None) -> None:
        self._path = folder / "dropped.jsonl" if folder is not None else None
        self.counts: Counter[Reason] = Counter()

    def add(self, reason: Reason, items: int, said: str = "") -> None:
        """Count some; what cannot be written is counted in memory all the same."""
        self.counts[reason] += items
        if self._path is None:
            return
        line = json.dumps(Entry(round(time.time(), 3), reason.value, items, said)._asdict()) + "\n"
        with suppress(OSError):
            fd = os.open(self._path, _FLAGS, 0o600)
            try:
                os.write(fd, line.encode())
                full = os.fstat(fd).st_size >= _MOST
            finally:
                os.close(fd)
            if full:
                self._path.replace(_earlier(self._path))


def read(folder: Path) -> list[Entry]:
    """What was given up in a queue's folder, oldest first; lines that cannot be read are left out."""
    path, lines = folder / "dropped.jsonl", list[bytes]()
    for each in (_earlier(path), path):
        with suppress(OSError):
            lines += each.read_bytes()[: 2 * _MOST].splitlines()
    return [entry for line in lines if (entry := _entry(line)) is not None]


def _earlier(path: Path) -> Path:
    return path.with_name("dropped-earlier.jsonl")


def _entry(line: bytes) -> Entry | None:
    try:
        found: Any = json.loads(line)
        return Entry(float(found["ts"]), Reason(found["reason"]).value, int(found["items"]), str(found["said"])[:80])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
