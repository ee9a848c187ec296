"""Waiting for a condition instead of for luck."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(condition: Callable[[], object], seconds: float = 60.0, what: str = "", pause: float = 0.01) -> None:
    """Return as soon as the condition holds; fail when it does not within so many seconds; look every `pause`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:g} seconds in vain {what}"
        time.sleep(pause)
