"""What it costs to find the processes below one.

`descendants` against psutil's recursive children, on a real tree two levels deep. Wall time.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator

import psutil

from benchmarks.rounds import alternate, middle, ratio, timed
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


def measure(quick: bool = False) -> dict[str, float]:
    """Find them both ways.

    Returns:
        The medians in microseconds (`descendants_us`, `psutil_us`), their `ratio`, the number of `processes` in the
        tree and on the whole `machine` (psutil's time grows with the latter).
    """
    pid = os.getpid()
    with tree() as processes:
        found = descendants(pid)
        if sorted(found) != sorted(with_psutil(pid)) or len(found) != processes:
            raise RuntimeError(f"found {len(found)} processes of {processes}")
        took = alternate(
            {
                "descendants": lambda: timed([lambda: descendants(pid)], time.perf_counter),
                "psutil": lambda: timed([lambda: with_psutil(pid)], time.perf_counter),
            },
            3 if quick else 300,
        )
        machine = len(psutil.pids())
    return {
        "ratio": ratio(took, "descendants", "psutil"),
        **{f"{name}_us": middle(took, name) * 1e6 for name in took},
        "processes": processes,
        "machine": machine,
    }
