"""Recorders whose threads are setting up exporters: what ends threads, or copies the process, waits for them.

The SDK and gRPC use thread pools in their set-up. `concurrent.futures` closes those for good as soon as the main thread
has ended, by `threading._register_atexit`; we register the same way after it, for what was registered last comes first.
And the child of a process that forks in the middle of an import could never finish that import.
"""

from __future__ import annotations

import atexit
import concurrent.futures.thread  # noqa: F401 — its hooks must be there before ours
import os
import threading
from typing import Protocol
from weakref import WeakSet

_TIMEOUT = 2.0
"""Seconds that each is waited for."""


class SetsUp(Protocol):
    """What sets something up on a thread of its own."""

    def wait_ready(self, timeout: float) -> bool:
        """Wait for the end of that, for so many seconds: whether it has ended."""


_under_way: WeakSet[SetsUp] = WeakSet()


def begins(what: SetsUp) -> None:
    """A set-up begins."""
    _under_way.add(what)


def has_ended(what: SetsUp) -> None:
    """It has ended, well or not."""
    _under_way.discard(what)


def _finish() -> None:
    for each in list(_under_way):
        each.wait_ready(_TIMEOUT)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_finish)
getattr(threading, "_register_atexit", atexit.register)(_finish)
