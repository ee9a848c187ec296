"""Runs that were killed: their journals have no end. Whoever starts next on this machine writes it.

A run is dead when its journal has no `loop.stopped` and the process that ran it is gone from this machine. Its end is
put at its last event, with reason `crashed`; the spans that it left open, or had no time to send, are exported then.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from ralph_otel.events import VERSION, Line, LoopStopped
from ralph_otel.journal import Journal, has_end
from ralph_otel.notices import notice
from ralph_otel.runs import fold, journals
from ralph_otel.state import RunState
from ralph_otel.tracecontext import host_name

_NEWEST = 200
"""Journals that are looked at, the newest first."""
_QUIET = 5.0
"""Seconds without a line after which a journal may be a dead run's."""

Record = Callable[[Line, RunState, bool], None]


def recover(home: Path, record: Record | None = None) -> list[str]:
    """End the dead runs of a home folder.

    Args:
        home: the folder.
        record: takes each line of a dead run, its state after it, and whether the line is new, as
            `ralph_otel.pipeline.Pipeline.record_trace` does.

    Returns:
        Their run ids.
    """
    found = []
    for path in journals(home)[-_NEWEST:]:
        try:
            if _may_be_dead(path) and end(path, record):
                found.append(path.stem)
        except (OSError, ValueError) as error:
            notice(f"cannot look at {path}: {getattr(error, 'strerror', None) or error}")
    return found


def _may_be_dead(path: Path) -> bool:
    """The cheap part of the question: a journal that is quiet and does not say its end."""
    status = path.stat()
    if not status.st_size or time.time() - status.st_mtime < _QUIET:
        return False
    return not has_end(path)


def gone(state: RunState) -> bool:
    """Whether the process that runs a loop is known to be gone from this machine; one that is not named may live."""
    return state.pid is not None and state.host == host_name() and is_gone(state.pid, state.began)


def is_gone(pid: int, began: int | None) -> bool:
    """Whether a process of this machine, which was there at `began` (Unix nanoseconds), is known to be gone."""
    import psutil  # few runs raise the question

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return True
        born = process.create_time()
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False
    return began is not None and born > began / 1e9 + 2  # another process has its number now


def end(path: Path, record: Record | None = None) -> bool:
    """Write the end of a dead run: at its last event, with reason `crashed`.

    Returns:
        Whether it was this call that did it: False for a run that has stopped or may live, or where another process
        is doing the same.

    Raises:
        OSError: the journal cannot be read or written.
    """
    journal = Journal(path)
    try:
        if not journal.lock():
            return False
        state = fold(path, None if record is None else lambda line, state: record(line, state, False)).run
        if not state.active or not gone(state):
            return False
        line = _end_of(state)
        if not journal.append(line):
            return False
        if state.apply(line) and record is not None:
            record(line, state, True)
        return True
    finally:
        journal.close()


def _end_of(state: RunState) -> Line:
    event = LoopStopped("crashed")
    line: Line = {"v": VERSION, "type": event.type, "ts": state.last, "loop": state.run_id, "reason": event.reason}
    if state.root is not None:
        line["trace_id"], line["span_id"] = state.root
    return line
