"""What a program may run into: the variable FAULT_LIMIT names it.

It comes when everything is imported, before the telemetry is set up; or with `_later` in its name, after that.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SLOW = 0.005
"""Seconds that a write to a slow disk takes."""
FILE_SIZE = 64 * 1024
HOUR = 3600 * 10**9
_TAKEN: list[int] = []


def threads() -> None:
    """There is no memory for the stack of another thread."""
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + (4 << 20),) * 2)


def file_handles() -> None:
    """All file handles are taken."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
    with contextlib.suppress(OSError):
        while True:
            _TAKEN.append(os.open(os.devnull, os.O_RDONLY))


def file_size() -> None:
    """No file may grow any further."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_SIZE,) * 2)


def slow_disk() -> None:
    """A write to a journal takes its time."""
    known = os.write

    def write(fd: int, data: Any) -> int:
        if Path(f"/proc/self/fd/{fd}").readlink().suffix == ".jsonl":
            time.sleep(SLOW)
        return known(fd, data)

    os.write = write


def clock() -> None:
    """The clock is set forwards by an hour in the middle of an iteration, and back in the middle of a later one."""
    known, calls = time.time_ns, itertools.count()

    def time_ns() -> int:
        return known() + (HOUR if 20 < next(calls) <= 101 else 0)

    for module in list(sys.modules.values()):
        if vars(module).get("time_ns") is known:
            vars(module)["time_ns"] = time_ns


LIMITS: dict[str, Callable[[], None]] = {
    "threads": threads,
    "file_handles": file_handles,
    "file_handles_later": file_handles,
    "file_size": file_size,
    "slow_disk": slow_disk,
    "clock": clock,
}


EARLY = ("threads", "file_handles")
"""Those with which exporters cannot be set up."""


def apply(later: bool = False) -> None:
    """Have it happen, if this is the time for it."""
    name = os.environ.get("FAULT_LIMIT", "")
    if name in LIMITS and name.endswith("_later") is later:
        LIMITS[name]()


def lift() -> None:
    """The file handles that were taken later are free again."""
    while _TAKEN and os.environ.get("FAULT_LIMIT", "").endswith("_later"):
        os.close(_TAKEN.pop())
