"""The requests that wait on disk for one receiver: a folder, a file each, in the order they came.

    <home>/queue/<host>_<port>-<protocol>-<signal>-<tenant>/
        <ns>-<pid>-<items>-<run>-<bytes>.otlp      a request, packed by zlib; `ns`: when it came, Unix nanoseconds
        .<the same>                                one that is being written
        state.json                                 how the last attempt went; its lock says who sends

A name says all that is asked of a request that waits, so that looking reads no file. Any process appends; one at a time
sends and removes. No file holds a header or a token. Written files are not synced: they survive the death of every
process, and a loss of power as far as the file system's own habits go; docs/delivery.md says why.
"""

from __future__ import annotations

import json
import os
import re
import threading
import time
import weakref
import zlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ralph_otel.journal import create_folder

_NAME = re.compile(r"(\d{20})-(\d{1,10})-(\d{1,12})-([0-9a-f]{8})-(\d{1,12})\.otlp")
_BLOCK = 4096
"""Bytes that the smallest file takes on a disk."""
_LARGEST = 64 << 20
"""Bytes of a request, unpacked: what says more is no request of ours."""
_ABANDONED = 60 * 10**9
"""Nanoseconds after which a file that is being written is a dead process's."""
_FLAGS = os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
SEVERAL = "0" * 8
"""The tag of a request with more than one run."""


class DamagedError(Exception):
    """A file that is none of ours, or not whole."""


class Waiting(NamedTuple):
    """A request that waits, as its file's name says.

    Args:
        name: the file's name.
        since: when it came, in Unix nanoseconds.
        items: its spans, data points or log records.
        run: a tag of the run it is of, or `SEVERAL`.
        packed: bytes of the file.
    """

    name: str
    since: int
    items: int
    run: str
    packed: int

    @property
    def room(self) -> int:
        """Bytes on the disk, in whole blocks."""
        return -(-max(self.packed, 1) // _BLOCK) * _BLOCK


class State(NamedTuple):
    """How the last attempt went.

    Args:
        said: what the receiver said, or why it could not be reached.
        until: when the next attempt is, in Unix seconds.
        asked: whether that is what the receiver has asked for.
    """

    said: str = ""
    until: float = 0.0
    asked: bool = False


class Queue:
    """The requests that wait in a folder. From any thread and process.

    Args:
        folder: the folder; made with the first request.
        most: bytes on the disk that may wait; the oldest make room for the newest.
    """

    def __init__(self, folder: Path, most: int) -> None:
        self.folder = folder
        self._most = most
        self._lock = threading.Lock()
        self._last = 0
        self._fd = -1
        _queues.add(self)

    # -- appending -----------------------------------------------------------------------------------------------------

    def append(self, body: bytes, items: int, run: str = SEVERAL) -> list[Waiting]:
        """Put a request behind all others.

        Args:
            body: the request, serialized.
            items: its spans, data points or log records.
            run: a tag of the run that it is of.

        Returns:
            Those that had to go to make room; the request itself, where there is none for it.

        Raises:
            OSError: it cannot be written; nothing is left behind.
        """
        packed = zlib.compress(body, 1)
        with self._lock:
            create_folder(self.folder)
            entries = self.waiting()
            self._last = max(time.time_ns(), self._last + 1, entries[-1].since + 1 if entries else 0)
            entry = _entry(self._last, items, run, len(packed))
            gone = self._make_room(entries, entry)
            if entry not in gone:
                self._write(entry.name, packed)
            return gone

    def _make_room(self, entries: list[Waiting], entry: Waiting) -> list[Waiting]:
        if entry.room > self._most:
            return [entry]
        gone = []
        total = sum(each.room for each in entries) + entry.room
        for each in entries:
            if total <= self._most:
                break
            self.remove(each)
            gone.append(each)
            total -= each.room
        return gone

    def _write(self, name: str, content: bytes) -> None:
        path, written = self.folder / name, self.folder / f".{name}"
        try:
            fd = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, 0o600)
            try:
                left = memoryview(content)
                while left:
                    left = left[os.write(fd, left) :]
            finally:
                os.close(fd)
            written.rename(path)
        except BaseException:
            with suppress(OSError):
                written.unlink()
            raise

    def replace(self, entry: Waiting, parts: Sequence[tuple[bytes, int]]) -> list[Waiting]:
        """Put parts of a request, serialized and with the numbers of their items, in its place.

        Returns:
            What waits there now.

        Raises:
            OSError: they cannot be written; it is still there, maybe with a part of them.
        """
        made = []
        for number, (body, items) in enumerate(parts):
            packed = zlib.compress(body, 1)
            made.append(_entry(entry.since + number, items, entry.run, len(packed)))
            self._write(made[-1].name, packed)
        self.remove(entry)
        return made

    # -- looking -------------------------------------------------------------------------------------------------------

    def waiting(self) -> list[Waiting]:
        """What waits, oldest first; nothing where the folder cannot be read."""
        try:
            names = os.listdir(self.folder)  # noqa: PTH208 — names are all that is wanted, of thousands maybe
        except OSError:
            return []
        return [parsed for name in sorted(names) if (parsed := _parsed(name)) is not None]

    def read(self, entry: Waiting) -> bytes | None:
        """The request, serialized; None where it is gone.

        Raises:
            DamagedError: the file is not what its name says.
        """
        try:
            fd = os.open(self.folder / entry.name, os.O_RDONLY | _FLAGS)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise DamagedError from error
        try:
            with os.fdopen(fd, "rb") as file:
                packed = file.read(entry.packed + 1)
            unpacker = zlib.decompressobj()
            body = unpacker.decompress(packed, _LARGEST)
        except (OSError, zlib.error) as error:
            raise DamagedError from error
        if len(packed) != entry.packed or not unpacker.eof:
            raise DamagedError
        return body

    def remove(self, entry: Waiting) -> bool:
        """Take a request out: whether it is gone."""
        try:
            (self.folder / entry.name).unlink(missing_ok=True)
        except OSError:
            return False
        return True

    def state(self) -> State:
        """How the last attempt went, whoever made it."""
        try:
            found = json.loads((self.folder / "state.json").read_bytes()[:1024])
            return State(str(found["said"])[:80], float(found["until"]), found["asked"] is True)
        except (OSError, ValueError, KeyError, TypeError):
            return State()

    # -- sending -------------------------------------------------------------------------------------------------------

    def lock(self) -> bool:
        """Become the one that sends, until `unlock`: False if another is. See `locked` for whether it is so now."""
        if self._fd >= 0:
            return True
        try:
            fd = os.open(self.folder / "state.json", os.O_RDWR | os.O_CREAT | _FLAGS, 0o600)
        except OSError:
            return True  # there is no folder yet, or nobody can write here
        if _taken(fd):
            os.close(fd)
            return False
        self._fd = fd
        self._sweep()
        return True

    @property
    def locked(self) -> bool:
        """Whether this queue is the one that sends."""
        return self._fd >= 0

    def unlock(self) -> None:
        """Let others send."""
        if self._fd >= 0:
            _release(self._fd)
        self.forget()

    def forget(self) -> None:
        """Give the handle back, and leave the lock to another process that has a copy of it."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def note(self, state: State) -> None:
        """Say how the last attempt went; only who sends does."""
        if self._fd < 0:
            return
        with suppress(OSError):
            content = json.dumps(state._asdict()).encode()
            os.lseek(self._fd, 0, os.SEEK_SET)
            os.write(self._fd, content)
            os.ftruncate(self._fd, len(content))

    def _sweep(self) -> None:
        """Remove what dead processes have left half-written."""
        with suppress(OSError):
            for path in self.folder.glob(".*.otlp"):
                parsed = _parsed(path.name.removeprefix("."))
                if parsed is not None and abs(time.time_ns() - parsed.since) > _ABANDONED:
                    path.unlink(missing_ok=True)


def _entry(since: int, items: int, run: str, packed: int) -> Waiting:
    return Waiting(f"{since:020d}-{os.getpid()}-{items}-{run}-{packed}.otlp", since, items, run, packed)


def _parsed(name: str) -> Waiting | None:
    found = _NAME.fullmatch(name)
    return Waiting(name, int(found[1]), int(found[3]), found[4], int(found[5])) if found else None


def _taken(fd: int) -> bool:
    """Whether another has locked the file; where files cannot be locked, nobody has."""
    try:
        import fcntl

        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except (ImportError, OSError):
        pass
    return False


def _release(fd: int) -> None:
    """Unlock it though a child that was forked off just now has a copy of the handle."""
    with suppress(ImportError, OSError):
        import fcntl

        fcntl.flock(fd, fcntl.LOCK_UN)


_queues: weakref.WeakSet[Queue] = weakref.WeakSet()


def _forget_locks() -> None:
    """In a forked child: its copies of the handles would hold the parent's locks beyond the parent's end."""
    for queue in list(_queues):
        queue.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_locks)
