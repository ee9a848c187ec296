"""From an agent's output to JSON records, within bounds.

The bytes come from outside in pieces of any size, while somebody else waits for them. So whatever they hold, reading
them costs memory up to a limit and time in proportion to their number, and never raises.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

MAX_LINE = 8 * 1024 * 1024
"""The longest line, and the longest document of several lines, in bytes. Longer ones are dropped and counted.

Decoded, the worst of them takes some thirty times as much for a moment.
"""
MAX_DIGITS = 20
"""The longest integer of a JSON text, in characters. The conversion of longer ones takes more than linear time."""

Record = dict[str, Any]
"""A JSON object that an agent printed, decoded."""


class Lines:
    """Splits bytes into lines, and holds no more of a line than the limit.

    Attributes:
        dropped: lines that were longer.
    """

    def __init__(self, limit: int = MAX_LINE) -> None:
        self.dropped = 0
        self._limit = limit
        self._pending = bytearray()
        self._dropping = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The lines that these bytes complete, without their newline."""
        view = memoryview(data)
        start = 0
        while True:
            end = data.find(b"\n", start)
            if end < 0:
                self._add(view[start:])
                return
            self._add(view[start:end])
            if not self._dropping:
                yield bytes(self._pending)
            self._start()
            start = end + 1

    def close(self) -> Iterator[bytes]:
        """The last line, where the output does not end with a newline."""
        if self._pending:
            yield bytes(self._pending)
        self._start()

    def _add(self, piece: memoryview) -> None:
        if self._dropping:
            return
        if len(self._pending) + len(piece) > self._limit:
            self._start()
            self._dropping = True
            self.dropped += 1
        else:
            self._pending += piece

    def _start(self) -> None:
        self._pending = bytearray()
        self._dropping = False


class Records:
    """Finds the JSON objects in an output: one a line, a line that is an array of them, or one indented document.

    Other lines are not decoded, so plain text costs little, and may come before, between and after the records.
    """

    def __init__(self, limit: int = MAX_LINE) -> None:
        self._lines = Lines(limit)
        self._limit = limit
        self._document: bytearray | None = None
        self._dropped_documents = 0

    @property
    def dropped(self) -> int:
        """Lines and documents that were longer than the limit."""
        return self._lines.dropped + self._dropped_documents

    def feed(self, data: bytes) -> Iterator[list[Record]]:
        """The objects in the lines that these bytes complete, by line."""
        for line in self._lines.feed(data):
            yield from self._read(line)

    def close(self) -> Iterator[list[Record]]:
        """The objects in the last line, where it has no newline."""
        for line in self._lines.close():
            yield from self._read(line)
        self._document = None

    def _read(self, line: bytes) -> Iterator[list[Record]]:
        text = line.rstrip()
        if self._document is not None:
            if text[:1].isspace():
                self._extend(text)
                return
            document, self._document = self._document, None
            if text == b"}":
                yield decode(bytes(document) + text)
                return
        if text == b"{":
            self._document = bytearray(text)
        elif text[:1] in (b"{", b"["):
            yield decode(text)

    def _extend(self, text: bytes) -> None:
        if self._document is None:
            return
        if len(self._document) + len(text) > self._limit:
            self._document = None
            self._dropped_documents += 1
        else:
            self._document += text


def decode(text: bytes) -> list[Record]:
    """The JSON objects of a line: itself, or the members of an array. None of a line that is not JSON.

    Bytes that are not UTF-8 become U+FFFD. NaN, infinities and integers that no counter can hold become None.
    """
    try:
        value = _DECODER.decode(str(text, "utf-8", "replace"))
    except (ValueError, RecursionError):
        return []
    members = value if isinstance(value, list) else [value]
    return [member for member in members if isinstance(member, dict)]


def _integer(digits: str) -> int | None:
    return int(digits) if len(digits) <= MAX_DIGITS else None


def _nothing(_: str) -> None:
    return None


_DECODER = json.JSONDecoder(parse_int=_integer, parse_constant=_nothing)
