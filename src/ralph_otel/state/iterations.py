"""An iteration as the fold knows it."""

from __future__ import annotations


class OpenIteration:
    """An iteration that has started and not finished, or the last that finished."""

    __slots__ = ("number", "progress", "span_id", "started")

    def __init__(self, number: int, started: int, span_id: str | None) -> None:
        self.number = number
        self.started = started
        self.span_id = span_id
        self.progress: bool | None = None
