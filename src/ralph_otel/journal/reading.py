"""The reading end of one run's file, and a quick look at its end."""

from __future__ import annotations

import os
from pathlib import Path

from ralph_otel.journal.lines import BadLine, decode
from ralph_otel.own_files import file_of, open_own, open_to_read

MAX_LINE = 8 * 1024 * 1024
"""The longest line that is read, in bytes; a longer one is skipped and counted."""
_CHUNK = 1 << 20
_KNOWN_BY = 64
"""Bytes before a place in a file by which it is known to be the same."""
_TAIL = 64 * 1024
"""Bytes at a journal's end in which its last word is looked for."""


class Follower:
    """The reading end of one run's file: every call of `read` returns the lines that have come since.

    The file need not exist yet. A line without its end is kept until the end comes. A file that became shorter or was
    replaced is read from its start.

    Args:
        path: the file.
        offset: where to begin, in bytes.
        strangers: whether the file may belong to anybody.
    """

    def __init__(self, path: Path, offset: int = 0, strangers: bool = False) -> None:
        self.path = path
        self._strangers = strangers
        self.offset = offset
        """How far the file has been read, in bytes, the rest of an unfinished line included."""
        self.oversized = 0
        """Lines that were skipped for their length."""
        self._rest = bytearray()
        self._skipping = False
        self._fd = -1
        self._identity: tuple[int, int] | None = None
        self._before = b""
        self._at_end = True

    def read(self, limit: int = _CHUNK) -> list[bytes]:
        """The whole lines among the next `limit` bytes, without their ends; [] when there is nothing new.

        Raises:
            OSError: the file is there but cannot be read.
        """
        if self._fd >= 0 and file_of(self._fd) != self._identity:  # the host has closed it, see `Journal.append`
            self._fd = -1
        if self._fd < 0 and not self._open():
            self._at_end = True
            return []
        data = os.read(self._fd, limit)
        if data and not self._goes_on():
            self._restart()
            os.lseek(self._fd, 0, os.SEEK_SET)
            return self.read(limit)
        self._at_end = not data
        if not data:
            if self._replaced():
                return self.read(limit)
            return []
        self.offset += len(data)
        self._before = (self._before + data[-_KNOWN_BY:])[-_KNOWN_BY:]
        *lines, rest = data.split(b"\n")
        if lines and self._skipping:
            self._skipping = False
            del lines[0]
        elif lines and self._rest:
            lines[0] = bytes(self._rest) + lines[0]
        if lines:
            self._rest = bytearray(rest)
        else:
            self._rest += rest  # in place: a long line that comes in pieces is not copied with each
        whole = [line for line in lines if len(line) <= MAX_LINE]
        self.oversized += len(lines) - len(whole)
        if len(self._rest) > MAX_LINE or self._skipping:
            self.oversized += not self._skipping
            self._skipping, self._rest = True, bytearray()
        return whole

    @property
    def size(self) -> int:
        """How long the file is now, in bytes; 0 where there is none."""
        try:
            return self.path.stat().st_size
        except OSError:
            return 0

    @property
    def at_end(self) -> bool:
        """Whether the last `read` found nothing more in the file."""
        return self._at_end

    @property
    def torn(self) -> bytes:
        """The beginning of a line whose end has not come."""
        return bytes(self._rest)

    def _open(self) -> bool:
        try:
            self._fd = open_own(self.path, os.O_RDONLY, self._strangers)
        except FileNotFoundError:
            return False
        self._identity = file_of(self._fd)
        os.lseek(self._fd, self.offset, os.SEEK_SET)  # beyond the end nothing is found, and `_replaced` sees why
        return True

    def _replaced(self) -> bool:
        """At the end of what we have: is there another file by this name now, or has this one been cut?"""
        try:
            status = self.path.stat()
        except OSError:
            return False
        if (status.st_dev, status.st_ino) == self._identity and status.st_size >= self.offset:
            return False
        self.close()
        self._restart()
        return True

    def _goes_on(self) -> bool:
        """Whether before what comes now is what was read last: a file that was cut may have grown beyond that again."""
        return os.pread(self._fd, len(self._before), self.offset - len(self._before)) == self._before

    def _restart(self) -> None:
        self.offset, self._rest, self._skipping, self._before = 0, bytearray(), False, b""

    def close(self) -> None:
        """Give the file handle back; the next `read` opens the file again and goes on."""
        fd, self._fd = self._fd, -1
        if fd >= 0 and file_of(fd) == self._identity:
            os.close(fd)


def has_end(path: Path) -> bool:
    """Whether a journal says, near its end, that its run has stopped, and not that it has begun again since.

    That is the cheap part of the question, however long the file is. False says little: the end may be missing because
    the loop was killed, or stand before a great many late lines; a fold of the file knows.

    Raises:
        OSError: it cannot be read.
    """
    with open_to_read(path) as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL))
        lines = file.read().split(b"\n")
    for raw in reversed(lines):
        if b'"loop.st' in raw:
            try:
                type_ = decode(raw)["type"]
            except BadLine:  # cut by the beginning of what was read, or torn
                continue
            if type_ in ("loop.started", "loop.stopped"):
                return bool(type_ == "loop.stopped")
    return False
