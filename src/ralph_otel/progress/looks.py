"""What is looked at the moment an agent ends, before anything else: when files were changed, and what is checked out.

A snapshot comes some ten milliseconds later, when the next agent of a quick script may be at work already.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterable
from pathlib import Path

from ralph_otel.progress.shares import changed_at

MOST = 2000
"""Files that are looked at; a look at so many takes some milliseconds."""
_REMEMBERED = 64
"""The most changes that are remembered of a file, and the most ends of which it is known what was checked out."""


class Looks:
    """The looks of one launch. `look` may be called on another thread than the rest."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._times: dict[Path, int | None] = {}
        self._changes: dict[Path, list[int]] = {}
        self._heads: dict[int, str] = {}
        self._git: tuple[Path, Path] | None = None
        self._last = 0

    def follow(self, own: Path, shared: Path) -> None:
        """From now on look at what is checked out; the folders are those of `head_of`."""
        self._git = own, shared

    def watch(self, paths: Iterable[Path], since: int = 0) -> None:
        """From now on look at these files as well, as long as there are not too many.

        Args:
            paths: the files.
            since: what was changed from then on, in Unix nanoseconds, counts as seen.
        """
        with self._lock:
            for path in paths:
                if path not in self._times and len(self._times) < MOST:
                    self._times[path] = when = changed_at(path)
                    if since and when is not None and when >= since:
                        self._changes[path] = [when]

    def look(self, ended: int) -> None:
        """An agent ended then."""
        head = head_of(*self._git) if self._git is not None else None
        with self._lock:
            if head is not None:
                self._heads[ended] = head
                if len(self._heads) > _REMEMBERED:
                    del self._heads[next(iter(self._heads))]
            for path, before in self._times.items():
                when = changed_at(path)
                if when is not None and when != before:
                    self._times[path] = when
                    changes = self._changes.setdefault(path, [])
                    changes.append(max(when, self._last))  # a file's time may be a tick behind
                    del changes[:-_REMEMBERED]
            self._last = time.time_ns()

    def changes(self, path: Path) -> list[int]:
        """When a file was changed, as far as that is known, the last time last."""
        when = changed_at(path)
        with self._lock:
            seen = list(self._changes.get(path, ()))
            looked_at = path in self._times
            if when is None or (looked_at and seen and when == self._times[path]):
                return seen
            if looked_at and when != self._times[path]:
                return [*seen, max(when, self._last)]  # changed since the last look
            return [when]

    def head(self, ended: int) -> str | None:
        """The commit that was checked out when an agent ended; None where that is not known."""
        with self._lock:
            return self._heads.get(ended)

    def forget(self, until: int) -> None:
        """The changes up to then have been counted."""
        with self._lock:
            for path, changes in list(self._changes.items()):
                if later := [when for when in changes if when > until]:
                    self._changes[path] = later
                else:
                    del self._changes[path]


def head_of(own: Path, shared: Path) -> str | None:
    """The id of the commit that is checked out, read as git does; None where there is none, or it is kept otherwise.

    Args:
        own: the repository's folder, `.git`.
        shared: the one that has the branches, another one for a linked worktree.
    """
    try:
        text = (own / "HEAD").read_text().strip()
        if not text.startswith("ref: "):
            return text or None
        name = text[5:]
        for folder in (own, shared):
            try:
                return (folder / name).read_text().strip() or None
            except OSError:
                continue
        packed: Collection[str] = (shared / "packed-refs").read_text().splitlines()
        return next((line.split(" ")[0] for line in packed if line.endswith(f" {name}")), None)
    except (OSError, ValueError):
        return None
