"""Finding the processes below one: `descendants` against psutil's recursive children, side by side.

Run it: `python benchmarks/child_tree.py`. It prints one line of JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator

import psutil

from ralph_otel.signals.process_tree import descendants

SHELLS = 3
SLEEPERS = 3


@contextlib.contextmanager
def tree() -> Iterator[int]:
    """A real tree below this process, two levels deep: shells with sleepers. Gives the number of its processes."""
    script = "sleep 600 & " * SLEEPERS + "echo; wait"
    shells = [subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE) for _ in range(SHELLS)]
    try:
        for shell in shells:
            assert shell.stdout is not None
            shell.stdout.readline()  # its sleepers are there
        yield SHELLS * (1 + SLEEPERS)
    finally:
        for shell in shells:
            for sleeper in descendants(shell.pid):
                os.kill(sleeper, signal.SIGKILL)
            shell.communicate()  # it collects its sleepers and ends


def with_psutil(pid: int) -> list[int]:
    """What `descendants` stands in for."""
    return [process.pid for process in psutil.Process(pid).children(recursive=True)]


def seconds(find: Callable[[int], list[int]], pid: int) -> float:
    """How long one call takes."""
    begin = time.perf_counter()
    find(pid)
    return time.perf_counter() - begin


def measure(rounds: int = 300) -> dict[str, float]:
    """Time both in turn.

    Returns:
        The medians in microseconds (`descendants_us`, `psutil_us`), their `ratio`, the number of `processes` in the
        tree and on the whole `machine` (psutil's time grows with the latter).
    """
    pid = os.getpid()
    with tree() as processes:
        found = descendants(pid)
        if sorted(found) != sorted(with_psutil(pid)) or len(found) != processes:
            raise RuntimeError(f"found {len(found)} processes of {processes}")
        pairs = [(seconds(descendants, pid), seconds(with_psutil, pid)) for _ in range(rounds)]
        machine = len(psutil.pids())
    ours, theirs = (statistics.median(column) * 1e6 for column in zip(*pairs, strict=True))
    return {
        "descendants_us": round(ours, 1),
        "psutil_us": round(theirs, 1),
        "ratio": round(ours / theirs, 4),
        "processes": processes,
        "machine": machine,
    }


def main() -> None:
    """Print the measurement."""
    print(json.dumps(measure()))


if __name__ == "__main__":
    main()
