"""`python -m ralph_otel.launch.companion RUN FOLDER PID BEGAN`: records a runner that registered itself.

A runner whose environment `ralph-otel enable` has prepared starts it with its first loop
(`ralph_otel.runners.standing`). Nobody sees what it says, and nobody waits for it.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import NoReturn

import psutil

from ralph_otel import redaction
from ralph_otel.config import MetricsConfig
from ralph_otel.launch import beside
from ralph_otel.runners.launched import Launch

GRACE = 2.0
"""Seconds that a runner has to end after we were asked to: whoever ends everything here has asked both."""
_REQUESTS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""The signals that ask us to end."""
_POLL = 0.5
"""Seconds between two looks for the runner, where the operating system cannot tell that it has ended."""


def accompany(launch: Launch, pid: int, began: int, config: MetricsConfig) -> None:
    """Record a runner's loops until its process has ended, and close the journals of those that were killed.

    Args:
        launch: where the journals are.
        pid: the runner's process.
        began: when its first loop began, in Unix nanoseconds.
        config: what is exported where.
    """
    redaction.use(config.redact)
    recorder = beside.start_recorder(config, launch, pid)
    progress = beside.watch_progress(launch.paths, pid, began, config.home)
    wait_for_end_or_request(pid)
    wait_for_end(pid, GRACE)
    if progress is not None:
        progress.stop(beside.PROGRESS_TIMEOUT)
    for path in beside.journals_of(launch):
        beside.end_if_killed(path)
    beside.stop_recorder(recorder)


def wait_for_end_or_request(pid: int) -> None:
    """Return when a process has ended, or when we are asked to, which is heard here alone: the rest is done whole."""
    with contextlib.suppress(_Asked):
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _REQUESTS)
            wait_for_end(pid)
        finally:
            signal.pthread_sigmask(signal.SIG_BLOCK, _REQUESTS)


def wait_for_end(pid: int, timeout: float | None = None) -> None:
    """Return when a process, which need not be a child of ours, has ended, or after `timeout` seconds."""
    deadline = None if timeout is None else time.monotonic() + timeout
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    except (AttributeError, OSError):  # not this operating system
        while _lives(pid) and (deadline is None or time.monotonic() < deadline):
            time.sleep(_POLL)
        return
    try:
        select.select([process], [], [], timeout)
    finally:
        os.close(process)


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


class _Asked(Exception):
    """We were asked to end."""


def _ask(number: int, frame: FrameType | None) -> NoReturn:
    for each in _REQUESTS:
        signal.signal(each, signal.SIG_IGN)  # once is enough
    raise _Asked


def main(run_id: str, folder: str, pid: str, began: str) -> None:
    """Run it; see `accompany`."""
    config = MetricsConfig()
    if config.enabled:
        signal.pthread_sigmask(signal.SIG_BLOCK, _REQUESTS)
        for number in _REQUESTS:
            signal.signal(number, _ask)
        accompany(Launch(run_id, Path(folder), config.trace_iterations), int(pid), int(began), config)


if __name__ == "__main__":
    main(*sys.argv[1:])
