"""The journal: one file a run, one JSON object a line, each written with one append.

The journal is the only truth: what is in it survives a kill, and everything shown or exported is a fold over it.
`Journal` appends, safely from several threads and processes; `Follower` reads on from where it was; `decode` makes a
line of bytes an event or says what is wrong with it. The format is a public protocol, see `docs/journal.md`.

Standard library only, Python 3.9 and later.
"""

from __future__ import annotations

import errno
import json
import os
import re
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from ralph_otel.escapes import all_spelled_out
from ralph_otel.events import Line, problem_with
from ralph_otel.notices import notice, shown
from ralph_otel.own_files import file_of, open_own, open_to_read
from ralph_otel.redaction import redacted

MAX_LINE = 8 * 1024 * 1024
"""The longest line that is read, in bytes; a longer one is skipped and counted."""
_CHUNK = 1 << 20
_TAIL = 64 * 1024
"""Bytes at a journal's end in which its last word is looked for."""
_KNOWN_BY = 64
"""Bytes before a place in a file by which it is known to be the same."""
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


class BadLine(ValueError):
    """A journal line that cannot be used; the text says why."""


def home(environment: Mapping[str, str] = os.environ) -> Path:
    """The folder that holds the runs: `RALPH_OTEL_HOME`, else `ralph-otel` under the XDG state folder."""
    if chosen := environment.get("RALPH_OTEL_HOME"):
        return Path(chosen).expanduser()
    state = environment.get("XDG_STATE_HOME", "")
    return (Path(state) if os.path.isabs(state) else Path.home() / ".local" / "state") / "ralph-otel"  # noqa: PTH117


def runs_folder(base: Path) -> Path:
    """Where the journals are, below the home folder."""
    return base / "runs"


def new_run_id() -> str:
    """A fresh run id: the UTC time and six random digits, so that ids sort by age and make good file names."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()) + "-" + os.urandom(3).hex()


def usable_run_id(run_id: object, instead: str) -> str:
    """A run id that somebody has chosen, if it can be a file's name; else, with a notice, another one."""
    if isinstance(run_id, str) and _RUN_ID.fullmatch(run_id):
        return run_id
    what = "1 to 128 letters, digits, '-', '_' or '.', the first of them a letter or digit"
    notice(f"run id: {shown(run_id)} will not do; it must be {what}; {instead} is taken")
    return instead


def create_folder(folder: Path) -> None:
    """Make a private folder (0700), its parents too.

    Raises:
        OSError: it cannot be made.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def encode(line: Line) -> bytes:
    """A line as the journal holds it, without its end. What JSON does not know becomes a number, or null."""
    line = redacted(line)
    try:
        return "".join(_ENCODE(line, 0)).encode("ascii")
    except (TypeError, ValueError, RecursionError):
        return "".join(_ENCODE(_plain(line), 0)).encode("ascii")


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


def _plain(value: Any, depth: int = 0) -> Any:
    """The same with everything that JSON does not know turned into numbers or left out (as null)."""
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, dict) and depth < 4:
        return {str(key): _plain(item, depth + 1) for key, item in value.items()}
    for convert in (_index, float):
        try:
            number = convert(value)
        except Exception:  # noqa: BLE001 — a foreign object, a tensor say, raises what it likes
            continue
        if isinstance(number, int) or number - number == 0:  # NaN and the infinities fail this
            return number
    return None


def _index(value: Any) -> int:
    return int(value.__index__()) if hasattr(value, "__index__") else _refuse()


def _refuse() -> int:
    raise TypeError


def _encoder() -> Callable[[Line, int], Iterable[str]]:
    """JSON without spaces. The C encoder behind `JSONEncoder` is made once; `encode` would make one for every line."""
    plain = json.JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False)
    make: Any = getattr(json.encoder, "c_make_encoder", None)
    try:
        encode: Callable[[Line, int], Iterable[str]] = make(
            None, plain.default, json.encoder.encode_basestring_ascii, None, ":", ",", False, False, False
        )
    except TypeError:  # another Python: there is none, or it wants other arguments
        return lambda line, level: (plain.encode(line),)
    return encode


_ENCODE = _encoder()


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


def _no_constant(name: str) -> float:
    raise BadLine(f"{name} is not a JSON number")


_DECODE = json.JSONDecoder(parse_constant=_no_constant).raw_decode


def decode(raw: bytes) -> Line:
    """One line as an event's dict, checked; what a terminal would obey is spelled out in its texts.

    Raises:
        BadLine: it is not JSON, not an object, or a field is not what the protocol says.
    """
    try:
        text = raw.decode().strip()
        line, end = _DECODE(text)
    except BadLine:
        raise
    except (ValueError, RecursionError) as error:
        raise BadLine(f"not a line of JSON: {shown(raw[:40])}") from error
    if end != len(text):
        raise BadLine(f"more than one value in a line: {shown(raw[:40])}")
    if type(line) is not dict:
        raise BadLine(f"a line must be an object, got {shown(line)}")
    if problem := problem_with(line):
        raise BadLine(problem)
    if "\\" in text or "\x7f" in text or not text.isascii():  # else there is nothing that could be obeyed
        line = all_spelled_out(line)
    checked: Line = redacted(line)  # it may be another program's, or older than what the user wants
    return checked


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
