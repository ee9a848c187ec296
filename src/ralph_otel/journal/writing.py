"""The writing end of one run's file."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from ralph_otel.events import Line
from ralph_otel.journal.lines import encode
from ralph_otel.journal.places import create_folder
from ralph_otel.own_files import file_of, open_own


class Journal:
    """The writing end of one run's file.

    Args:
        path: the file; made (0600) if it is not there, with its folder.

    Raises:
        OSError: the file cannot be opened for appending.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        create_folder(path.parent)
        self._fd = self._open()
        self.size = os.fstat(self._fd).st_size
        """How much was in the file when it was opened, in bytes."""
        self.problem = ""
        """Why the last line that failed could not be written, as the operating system says it."""
        self._torn = self.size > 0 and os.pread(self._fd, 1, self.size - 1) != b"\n"
        self._closed = False

    def _open(self) -> int:
        fd = open_own(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT)
        self._identity = file_of(fd)
        return fd

    def _look(self) -> None:
        """Let go of a descriptor that is not of our file any more, or whose file was removed.

        A host that becomes a daemon closes whatever is open, and may have opened a file of its own by that number.
        """
        try:
            status = os.fstat(self._fd)
        except OSError:
            self._fd = -1
            return
        if (status.st_dev, status.st_ino) != self._identity:
            self._fd = -1
        elif not status.st_nlink:
            os.close(self._fd)
            self._fd = -1

    def _reopen(self) -> int:
        """Open it again. A folder that was removed is made again, but not the home folder around it."""
        self.path.parent.mkdir(mode=0o700, exist_ok=True)
        return self._open()

    def append(self, line: Line) -> int:
        """Put one line at the end, with a single write, and return how many bytes that took; 0 if it failed.

        A line that got only half way (a full disk) is closed off by the next one, so that no other line is harmed.
        """
        data = encode(line) + b"\n"
        if self._torn:
            data = b"\n" + data
        try:
            if self._fd >= 0:
                self._look()
            if self._fd < 0:
                self._fd = self._reopen()
            written = os.write(self._fd, data)
        except OSError as error:
            self.problem = error.strerror or str(error)
            return 0
        finally:
            if self._closed:
                self.close()
        if written == len(data):
            self._torn = False
            return written
        self._torn = True
        self.problem = os.strerror(errno.ENOSPC)
        return 0

    def lock(self) -> bool:
        """Claim the file for this process until it is closed: whether no other one has. Appending needs no claim."""
        try:
            import fcntl

            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (ImportError, OSError):
            return False
        return True

    def close(self) -> None:
        """Give the file handle back. A line that comes afterwards opens the file for itself alone."""
        self._closed = True
        fd, self._fd = self._fd, -1
        if fd >= 0 and file_of(fd) == self._identity:
            os.close(fd)
