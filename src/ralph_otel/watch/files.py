"""A folder on disk, as formats look at it: files that come, grow, shrink, are replaced, and are half written."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ralph_otel.journal import Follower
from ralph_otel.notices import notice
from ralph_otel.watch.source import record

MOST = 64 << 20
"""The most that is read of a file, in bytes."""
EDGE = 256 << 10
"""The most that is read of a long file's head or tail."""

_Stamp = tuple[int, int, int]


class DiskFolder:
    """A folder. It need not exist yet.

    Args:
        path: the folder.
        name: what its loop is called; by default the folder's name.
    """

    def __init__(self, path: Path, name: str | None = None) -> None:
        self.path = path
        self.name = (name or path.absolute().name or "loop")[:100]
        self.now = time.time_ns()
        self._followers: dict[str, Follower] = {}
        self._stamps: dict[str, _Stamp] = {}

    def look(self) -> None:
        """Begin another look."""
        self.now = time.time_ns()

    @property
    def oversized(self) -> int:
        """Lines that were skipped for their length."""
        return sum(follower.oversized for follower in self._followers.values())

    def lines(self, name: str) -> Iterator[bytes]:
        """See `ralph_otel.watch.source.Folder`. A long file is read as it is worked off."""
        path = self.path / name
        if name not in self._followers and not path.is_file():
            return
        follower = self._followers.setdefault(name, Follower(path, strangers=True))
        try:
            while (more := follower.read()) or not follower.at_end:
                yield from more
        except OSError as error:
            notice(f"cannot read {path}: {error.strerror}")

    def document(self, name: str) -> dict[str, Any] | None:
        """See `ralph_otel.watch.source.Folder`."""
        stamp = self._stamp(name)
        if stamp is None or stamp == self._stamps.get(name):
            return None
        value = record(self.content(name) or b"")
        if value is not None:
            self._stamps[name] = stamp
        return value

    def _stamp(self, name: str) -> _Stamp | None:
        try:
            status = (self.path / name).stat()
        except OSError:
            return None
        return status.st_ino, status.st_size, status.st_mtime_ns

    def content(self, name: str) -> bytes | None:
        """See `ralph_otel.watch.source.Folder`."""
        return self._read(name, MOST)

    def head(self, name: str) -> bytes:
        """See `ralph_otel.watch.source.Folder`."""
        return self._read(name, EDGE) or b""

    def tail(self, name: str) -> bytes:
        """See `ralph_otel.watch.source.Folder`."""
        return self._read(name, EDGE, from_end=True) or b""

    def _read(self, name: str, most: int, from_end: bool = False) -> bytes | None:
        try:
            fd = os.open(self.path / name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe is not waited for
        except OSError:
            return None
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                return None
            if from_end:
                os.lseek(fd, max(0, status.st_size - most), os.SEEK_SET)
            with open(fd, "rb", closefd=False) as file:
                return file.read(most)
        except OSError as error:
            notice(f"cannot read {self.path / name}: {error.strerror}")
            return None
        finally:
            os.close(fd)

    def names(self, pattern: str) -> list[str]:
        """See `ralph_otel.watch.source.Folder`."""
        try:
            found = sorted(self.path.glob(pattern)) if pattern else [self.path]
        except OSError:
            return []
        return [path.relative_to(self.path).as_posix() for path in found]

    def modified(self, name: str) -> int | None:
        """See `ralph_otel.watch.source.Folder`."""
        stamp = self._stamp(name)
        return stamp[2] if stamp is not None else None

    def close(self) -> None:
        """Give the file handles back."""
        for follower in self._followers.values():
            follower.close()
