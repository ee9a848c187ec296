"""Calls into the SDK and the exporters, which may raise or hang, and must do neither to a loop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from ralph_otel.notices import notice, shown


def together(calls: Sequence[Callable[[], Any]], timeout: float) -> bool:
    """Make calls that may hang, side by side, and wait for them no longer than one common deadline.

    Returns:
        Whether all of them came back. Those that did not are left to themselves, on daemon threads.
    """
    deadline = time.monotonic() + timeout
    threads = [threading.Thread(target=guarded, args=("shutdown", call), daemon=True) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return not any(thread.is_alive() for thread in threads)


def guarded(what: str, call: Callable[[], Any]) -> None:
    """Make a call that must not raise: what it raises is said in one line that begins with `what`."""
    try:
        call()
    except Exception as error:  # noqa: BLE001 — telemetry's own troubles are said, and end here
        notice(f"{what}: {type(error).__name__}: {shown(str(error), 160)}")


def fault(what: str, error: Exception) -> None:
    """Say that something of ours has failed that should not have, in one line that begins with `what`."""
    notice(f"{what}: {type(error).__name__}: {' '.join(str(error).split())}; please report this")
