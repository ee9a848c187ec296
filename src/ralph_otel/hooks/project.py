"""What hooks of a project know of each other: a small file in the home folder, changed under a lock.

Tools run side by side, so hooks do. Each takes the lock, reads the state, appends its lines to journals, and puts the
state back.

Standard library only, Python 3.9 and later.
"""

from __future__ import annotations

import json
import os
import sys
from binascii import crc32

from ralph_otel import configfile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    Line = dict[str, Any]

_STATE_LIMIT = 4 << 20
DAMAGE = (LookupError, TypeError, ValueError, AttributeError)
"""What a state file leads to that is damaged, or another version's."""


def home(environment: Mapping[str, str]) -> str:
    """The home folder, as `ralph_otel.journal.home` finds it."""
    chosen = environment.get("RALPH_OTEL_HOME")
    if chosen:
        return os.path.expanduser(chosen)  # noqa: PTH111 — pathlib costs milliseconds
    state = environment.get("XDG_STATE_HOME", "")
    if not os.path.isabs(state):  # noqa: PTH117
        state = os.path.expanduser("~/.local/state")  # noqa: PTH111
    return state + "/ralph-otel"


def wanted(environment: Mapping[str, str]) -> bool:
    """Whether anything is to be recorded at all."""
    off = ("false", "0", "no", "off")
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    return not any(environment.get(f"RALPH_OTEL_{name}", "").strip().lower() in off for name in ("ENABLED", "JOURNAL"))


def state_file(base: str, project: str) -> str:
    """The state file of a project, which is named by its path."""
    data = project.encode("utf-8", "surrogateescape")
    return f"{base}/hooks/{crc32(data):08x}{crc32(data[::-1]):08x}.json"


def state_files(base: str) -> list[str]:
    """The state files there are."""
    try:
        return [f"{base}/hooks/{name}" for name in os.listdir(f"{base}/hooks") if name.endswith(".json")]  # noqa: PTH208
    except OSError:
        return []


class State:
    """A project's state, while it is locked. A context manager.

    Args:
        path: the state file; made if it is not there.
        wait: whether to wait for others; without, `locked` says whether it could be had.

    Attributes:
        content: what is kept; put back at the end.
        lines: lines to append, by journal.
    """

    def __init__(self, path: str, wait: bool = True) -> None:
        self.content: dict[str, Any] = {}
        self.lines: dict[str, list[Line]] = {}
        self.locked = False
        self._path = path
        self._wait = wait
        self._fd = -1

    def __enter__(self) -> State:
        import fcntl

        _make_folder_of(self._path)
        self._fd = os.open(self._path + ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX if self._wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return self
        self.locked = True
        self._before = _read(self._path)
        try:
            content = json.loads(self._before or b"{}")
        except (ValueError, RecursionError):
            content = {}
        self.content = content if isinstance(content, dict) else {}
        return self

    def __exit__(self, *error: object) -> None:
        try:
            if self.locked and error[0] is None:
                self._put_back()
            elif self.locked and isinstance(error[1], DAMAGE):
                os.unlink(self._path)  # noqa: PTH108 — the next hook starts anew
        finally:
            os.close(self._fd)

    def _put_back(self) -> None:
        for path, lines in self.lines.items():
            append(path, lines)
        after = json.dumps(self.content, separators=(",", ":")).encode() if any(self.content.values()) else b""
        if after == self._before:
            return
        if not after:
            os.unlink(self._path)  # noqa: PTH108
            return
        fresh = f"{self._path}.{os.getpid()}"
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, after)
        finally:
            os.close(fd)
        os.replace(fresh, self._path)  # noqa: PTH105


def _read(path: str) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(fd, _STATE_LIMIT)
    finally:
        os.close(fd)


def _make_folder_of(path: str) -> None:
    """Make the folder that a file is in and, if need be, the home folder around it; nobody else may look."""
    folder = os.path.dirname(path)  # noqa: PTH120
    for each in (os.path.dirname(folder), folder):  # noqa: PTH120
        os.makedirs(each, 0o700, exist_ok=True)  # noqa: PTH103


def append(path: str, lines: list[Line]) -> None:
    """Put lines at a journal's end with one append, as `ralph_otel.journal.Journal` does.

    Raises:
        OSError: it cannot be written.
    """
    _make_folder_of(path)
    fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0), 0o600)
    try:
        size = os.fstat(fd).st_size
        torn = size > 0 and os.pread(fd, 1, size - 1) != b"\n"
        lines = redacted(lines)
        data = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines).encode()
        os.write(fd, b"\n" + data if torn else data)
    finally:
        os.close(fd)


def use_redaction(folder: str) -> None:
    """Have what is to be in no signal taken out, as the variable says, or the configuration file of a folder."""
    found = None if os.environ.get("RALPH_OTEL_REDACT") else configfile.find(folder)
    if found is not None and "redact" in found[2]:  # else an import is saved: a hook runs at every use of a tool
        from ralph_otel import redaction

        redaction.use_configured(folder)


def redacted(lines: list[Line]) -> list[Line]:
    """Lines without what is to be in no signal."""
    if "ralph_otel.redaction" not in sys.modules and not os.environ.get("RALPH_OTEL_REDACT"):
        return lines
    from ralph_otel import redaction

    return [redaction.redacted(line) for line in lines]


def tail(path: str, most: int) -> bytes:
    """The end of a journal; b"" where it cannot be read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.pread(fd, most, max(0, os.fstat(fd).st_size - most))
    finally:
        os.close(fd)
