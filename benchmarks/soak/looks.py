"""What the process that lives on holds, looked at every few seconds, and whether any of it grows."""

from __future__ import annotations

import os
import statistics
import threading
import time
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Look:
    """What there was at one time. `at`: seconds since the beginning; sizes in bytes."""

    at: float
    rss: int
    threads: int
    handles: int
    waiting: int
    disk: int
    load: float
    cpu: float
    """Seconds of processor time so far."""


@dataclass(frozen=True)
class Watched:
    """A figure that must not grow.

    Args:
        name: for the table.
        of: takes it from a look.
        unit: what it is divided by for the table.
        more: by how much the highest of the last quarter may be above the highest of the quarter before, besides 5 %.
    """

    name: str
    of: Callable[[Look], float]
    unit: float = 1.0
    more: float = 0.0


WATCHED = (
    Watched("resident memory, MB", lambda look: look.rss, 1e6),
    Watched("threads", lambda look: look.threads, more=2),
    Watched("open files and sockets", lambda look: look.handles, more=2),
)
GROWTH = 1.05


@dataclass(frozen=True)
class Trend:
    """How a figure went in the second half of the time.

    Args:
        middle: the look in the middle of all, the first of the second half.
        third: the highest in the third quarter.
        last: the highest in the last.
        slope: an hour's growth by the line of least squares through the second half.
        flat: whether `last` is at most 5 % and `Watched.more` above `third`.
    """

    middle: float
    third: float
    last: float
    slope: float
    flat: bool


def trend(watched: Watched, looks: Sequence[Look]) -> Trend:
    """The trend of a figure; of eight looks at least."""
    half = looks[len(looks) // 2 :]
    values = [watched.of(look) / watched.unit for look in half]
    third, last = max(values[: len(half) // 2]), max(values[len(half) // 2 :])
    slope = statistics.linear_regression([look.at / 3600 for look in half], values).slope
    return Trend(values[0], third, last, slope, last <= third * GROWTH + watched.more)


class Looker(threading.Thread):
    """Looks every few seconds, and scrapes, until `stop`.

    Args:
        pid: the process.
        home: the home folder of all.
        scraped: the URL of the process's Prometheus endpoint.
        every: seconds.
    """

    def __init__(self, pid: int, home: Path, scraped: str, every: float) -> None:
        super().__init__(name="looker", daemon=True)
        self._process, self._home, self._url, self._every = psutil.Process(pid), home, scraped, every
        self._began, self._over = time.monotonic(), threading.Event()
        self.looks: list[Look] = []
        self.scrapes = 0
        self.failed_scrapes = 0

    def run(self) -> None:
        """Look, scrape, and wait."""
        while not self._over.is_set():
            with suppress(psutil.Error):
                self.looks.append(self._look())
            try:
                self.scrape()
                self.scrapes += 1
            except OSError:
                self.failed_scrapes += 1
            self._over.wait(self._every)

    def _look(self) -> Look:
        process = self._process
        times = process.cpu_times()
        return Look(
            time.monotonic() - self._began,
            process.memory_info().rss,
            process.num_threads(),
            process.num_fds(),
            waiting(self._home),
            size_of(self._home),
            os.getloadavg()[0],
            times.user + times.system,
        )

    def scrape(self) -> str:
        """The text of a scrape.

        Raises:
            OSError: there was no answer within ten seconds.
        """
        with urllib.request.urlopen(self._url, timeout=10) as answer:
            return str(answer.read().decode())

    def stop(self) -> None:
        """No further look."""
        self._over.set()
        self.join()


def waiting(home: Path) -> int:
    """Requests that wait to be sent, of all signals."""
    return sum(1 for _ in (home / "queue").rglob("*.otlp"))


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder, as the disk holds them."""
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += (Path(where) / name).lstat().st_blocks * 512
    return total
