"""What looking at loops costs.

`ralph-otel top` in a terminal of 200 x 50, list and detail at once, watches 20 loops in processes of their own, each of
which says something every three seconds: its processor time over a minute, once it has started. And `ralph-otel report`
of a journal of 100,000 events as HTML, Markdown and JSON: the processor time of the whole command, start included.
"""

from __future__ import annotations

import fcntl
import os
import pty
import resource
import statistics
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from benchmarks.processes import clean
from benchmarks.workload import EVENTS, folder, write_journal
from ralph_otel.events import Line
from ralph_otel.journal import Journal
from ralph_otel.tracecontext import host_name

_LOOPS = 20
_EVERY = 3.0
"""Seconds between two events of a loop."""
_FORMATS = ("html", "markdown", "json")
_COMMAND = (sys.executable, "-m", "ralph_otel")


def measure(quick: bool = False) -> dict[str, float]:
    """Watch for a minute, and report.

    Returns:
        `top_percent` of a processor core; by format, such as `html_s`, seconds of processor time.
    """
    iterations, rounds = (20, 1) if quick else (100_000 // EVENTS, 5)
    with folder() as home:
        figures = {"top_percent": _top(home, 2.0 if quick else 60.0)}
    with folder() as home:
        write_journal(home / "runs" / "run.jsonl", iterations)
        for format_ in _FORMATS:
            figures[f"{format_}_s"] = statistics.median(_report(home, format_) for _ in range(rounds))
    return figures


def _report(home: Path, format_: str) -> float:
    """Seconds of processor time that one report takes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    words = [*_COMMAND, "report", "--format", format_, "--output", str(home / "report")]
    subprocess.run(words, env={**clean(), "RALPH_OTEL_HOME": str(home)}, cwd=home, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _top(home: Path, seconds: float) -> float:
    """Percent of a core that the view uses."""
    with _loops(home) as say, _terminal(home) as process:
        _talk(say, seconds / 6 + 2)
        before, since = sum(process.cpu_times()[:2]), time.monotonic()
        _talk(say, seconds)
        used: float = sum(process.cpu_times()[:2]) - before
        return 100 * used / (time.monotonic() - since)


def _talk(say: Callable[[int], None], seconds: float) -> None:
    """Let the loops say something in turn, for so many seconds."""
    end, number = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        say(number % _LOOPS)
        number += 1
        time.sleep(_EVERY / _LOOPS)


@contextmanager
def _loops(home: Path) -> Iterator[Callable[[int], None]]:
    """Loops whose processes live: what makes one of them, by its number, call a tool."""
    processes = [subprocess.Popen(["sleep", "600"]) for _ in range(_LOOPS)]
    journals = [Journal(home / "runs" / f"loop-{number:02}.jsonl") for number in range(_LOOPS)]

    def write(number: int, type_: str, **fields: object) -> None:
        line: Line = {"v": 1, "type": type_, "ts": time.time_ns(), "loop": journals[number].path.stem, **fields}
        journals[number].append(line)

    try:
        for number, process in enumerate(processes):
            write(number, "loop.started", name=f"loop {number}", pid=process.pid, host=host_name())
            for iteration in range(1, 40):
                write(number, "iteration.finished", iteration=iteration, outcome="success", duration=90.0)
                write(number, "usage.measured", input_tokens=100, output_tokens=3000, cost_usd=0.25)
            write(number, "iteration.started", iteration=40)
        yield lambda number: write(number, "tool.called", tool="Bash", outcome="success")
    finally:
        for process in processes:
            process.kill()
            process.wait()
        for journal in journals:
            journal.close()


@contextmanager
def _terminal(home: Path) -> Iterator[psutil.Process]:
    """The view in a terminal that takes what it draws."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
    environment = {**clean(), "RALPH_OTEL_HOME": str(home), "TERM": "xterm-256color"}
    process = subprocess.Popen(
        [*_COMMAND, "top"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment,
        cwd=home,
        start_new_session=True,
    )
    os.close(theirs)
    threading.Thread(target=_drain, args=(ours,), daemon=True).start()
    try:
        yield psutil.Process(process.pid)
        if process.poll() is not None:
            raise RuntimeError(f"top has ended with {process.returncode}")
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def _drain(descriptor: int) -> None:
    with suppress(OSError):
        while os.read(descriptor, 65_536):
            pass
