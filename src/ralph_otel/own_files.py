"""Files that are what they seem: no links, no pipes, and nobody else's; and which file a descriptor is of.

Standard library only, Python 3.9 and later.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO


def open_own(path: Path, flags: int, strangers: bool = False) -> int:
    """Open a file that is what it seems: no link, no pipe, no device, and nobody else's.

    Ours is what belongs to us, or to whom the folder belongs: root may look after others' journals.

    Args:
        path: the file.
        flags: as for `os.open`; it is made with 0600.
        strangers: whether it may belong to anybody.

    Returns:
        Its descriptor.

    Raises:
        OSError: it cannot be opened, or is not what it seems; `strerror` says what would do.
    """
    flags |= os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # a pipe is not waited for
    try:
        fd = os.open(path, flags, 0o600)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(error.errno, "a link is not followed; put the file itself there", str(path)) from error
        raise
    if problem := _problem_with(os.fstat(fd), path, strangers, bool(flags & os.O_APPEND)):
        os.close(fd)
        raise OSError(errno.EPERM, problem, str(path))
    return fd


def open_to_read(path: Path) -> BinaryIO:
    """A journal, to be read.

    Raises:
        OSError: as for `open_own`.
    """
    return os.fdopen(open_own(path, os.O_RDONLY), "rb")


def _problem_with(status: os.stat_result, path: Path, strangers: bool, writes: bool) -> str:
    kind = stat.S_IFMT(status.st_mode)
    if kind not in (stat.S_IFREG, stat.S_IFDIR, *((stat.S_IFCHR,) if writes else ())):  # a folder: to be read is enough
        return "it is no file; move it away"
    if strangers or not hasattr(os, "geteuid") or status.st_uid in (os.geteuid(), path.parent.stat().st_uid):
        return ""
    return f"it belongs to user {status.st_uid}, and is not trusted; copy it, or move it away"


def file_of(fd: int) -> tuple[int, int] | None:
    """Which file a descriptor is of; None where it is closed."""
    try:
        status = os.fstat(fd)
    except OSError:
        return None
    return status.st_dev, status.st_ino
