"""Whether the process that runs a loop is still there: of a run without an end, whether it goes on or was killed."""

from __future__ import annotations

from ralph_otel.state import RunState
from ralph_otel.tracecontext import host_name


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
