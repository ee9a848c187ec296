"""An iteration as the fold knows it."""

from __future__ import annotations


class OpenIteration:
    """An iteration that has started and not finished, or one that finished lately.

    Args:
        number: its number, from 1.
        started: when it began, Unix nanoseconds.
        span_id: its span.
        paused: how long its loop had paused by then, nanoseconds.
    """

    __slots__ = ("number", "paused", "progress", "span_id", "started")

    def __init__(self, number: int, started: int, span_id: str | None, paused: int) -> None:
        self.number = number
        self.started = started
        self.span_id = span_id
        self.paused = paused
        self.progress: bool | None = None
