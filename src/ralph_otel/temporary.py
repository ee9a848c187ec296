"""Private folders for temporary files, and the removal of those whose makers were killed.

Whoever makes one holds a lock on a file in it for as long as it lives. So a folder without such a holder is left over;
the next launch or recorder of the same user removes it, unless somebody was started with it in the environment: a shell
loop that outlives its launch finds its agents there.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

_PREFIX = "ralph-otel-"
_NAME = re.compile(re.escape(_PREFIX) + "(?:[a-z]+-)?[a-z0-9_]{8}")
"""With what it is for, and the characters that `tempfile` draws."""
_LOCK, _EARLY_LOCK = "lock", ".lock"
_SAID = b"held by ralph-otel\n"
"""What the file with the lock says."""
_UNLOCKED = 3600.0
"""Seconds after which a folder without a lock is left over: it was to get one when its maker was killed."""


class TemporaryFolder:
    """A new private folder; as a context manager, one that is removed at the end.

    Args:
        parent: where; by default, where temporary files are.
        what: what it is for, a word of small letters for its name.

    Raises:
        OSError: it cannot be made; nothing is left behind.
    """

    def __init__(self, parent: Path | None = None, what: str = "") -> None:
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX + (f"{what}-" if what else ""), dir=parent))
        self._lock = -1
        try:
            early = self.path / _EARLY_LOCK
            self._lock = os.open(early, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            _taken(self._lock)
            os.write(self._lock, _SAID)
            early.rename(self.path / _LOCK)  # whoever sees it by this name sees it taken
        except OSError:
            self.release()
            shutil.rmtree(self.path, ignore_errors=True)
            raise

    def __enter__(self) -> TemporaryFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def used(self) -> bool:
        """Whether there are processes that were started with it in their environment."""
        return bool(_used([self.path]))

    def release(self) -> None:
        """Leave it to those who use it; a later launch removes it."""
        fd, self._lock = self._lock, -1
        if fd >= 0:
            os.close(fd)

    def remove(self) -> None:
        """Remove it, with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self.release()


def parents(home: Path) -> list[Path]:
    """Where such folders are made, the first that will do; the last is the home folder of ralph-otel."""
    usual = []
    with suppress(OSError):  # there is none that can be written
        usual.append(Path(tempfile.gettempdir()))
    return list(dict.fromkeys((*usual, Path("/tmp"), home)))


def sweep(home: Path) -> list[Path]:
    """Remove the folders of this user whose makers were killed.

    Args:
        home: see `parents`.

    Returns:
        Those that have been removed.
    """
    found = [path for parent in parents(home) for path in _candidates(parent) if _is_left_over(path)]
    used = _used(found) if found else set()
    gone = [path for path in found if path not in used]
    for path in gone:
        shutil.rmtree(path, ignore_errors=True)
    return gone


def _candidates(parent: Path) -> Iterator[Path]:
    """The folders that are called as ours are, belong to us, and are closed to others."""
    with suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            if _NAME.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                status = entry.stat(follow_symlinks=False)
                if status.st_uid == os.geteuid() and stat.S_IMODE(status.st_mode) == stat.S_IRWXU:
                    yield Path(entry.path)


def _is_left_over(path: Path) -> bool:
    """Whether it is ours, and nobody holds it."""
    try:
        fd = os.open(path / _LOCK, os.O_RDWR | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        return _never_had_a_lock(path)
    try:
        return os.read(fd, len(_SAID) + 1) == _SAID and not _taken(fd)
    finally:
        os.close(fd)


def _never_had_a_lock(path: Path) -> bool:
    """Whether its maker was killed before anything else was in it."""
    try:
        return set(os.listdir(path)) <= {_EARLY_LOCK} and time.time() - path.stat().st_mtime > _UNLOCKED  # noqa: PTH208
    except OSError:
        return False


def _taken(fd: int) -> bool:
    """Take the lock on a file: whether another has it; where files cannot be locked, that cannot be known."""
    try:
        import fcntl

        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError):
        return True
    return False


def _used(paths: Iterable[Path]) -> set[Path]:
    """Those of the folders that are in the environment with which some process was started."""
    wanted = {str(path): path for path in paths}
    try:
        import psutil
    except ImportError:  # the command has removed what we are installed in
        return set(wanted.values())
    used: set[Path] = set()
    for process in psutil.process_iter():
        try:
            values = "\n".join(process.environ().values())
        except (psutil.Error, OSError):  # somebody else's, or gone
            continue
        used.update(path for text, path in wanted.items() if text in values)
    return used
