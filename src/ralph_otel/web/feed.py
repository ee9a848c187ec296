"""Server-sent events: every change of a run, to any number of readers, at the cost of one.

What is kept is the newest snapshot of each run and the number of its change, not a queue: a reader is one number, that
of the last change it has seen. So a reader that is slow, or was away, gets the newest of each run that has changed
meanwhile, and what came between is skipped. A reader that comes back says the number by `Last-Event-ID`.

Events (https://html.spec.whatwg.org/multipage/server-sent-events.html): `hello` at the start of every connection,
`run` with a summary, `gone` with a run's key, `home` with what is said of the whole folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from ralph_otel.notices import notice, shown
from ralph_otel.web.answers import line
from ralph_otel.web.library import Library
from ralph_otel.wording import iso

_SOON = 0.02
"""Seconds until the next look at the journals while there is more to read."""
_PING = 15.0
"""Seconds of silence after which a comment keeps the connection from being taken for dead."""
_RETRY = 2000
"""Milliseconds after which a browser comes back."""
_MAX_GONE = 1_000
"""Runs that are no longer there and are still told to those who come back."""
_HOME = ""
"""The key of what is said of the whole folder."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """The newest of a run: the number of its change, what it says, and the event that says it."""

    number: int
    body: bytes
    event: str


class Feed:
    """Looks at the journals as long as somebody reads, and tells what has changed.

    Args:
        library: the journals.
        interval: seconds between two looks.
    """

    def __init__(self, library: Library, interval: float) -> None:
        self._library = library
        self._interval = interval
        self._boot = secrets.token_hex(4)
        """What tells the numbers of this process from those of the one before."""
        self._number = 0
        self._entries: dict[str, _Entry] = {}
        self._changed = asyncio.Event()
        self._wanted = asyncio.Event()
        self._closed = False
        self.readers = 0
        """How many are connected."""
        self._frames = lru_cache(64)(self._make_frames)

    async def run(self) -> None:
        """Look and tell, until it is closed."""
        while not self._closed:
            await self._wanted.wait()
            try:
                await self.look()
            except Exception as error:  # noqa: BLE001  # readers wait for the next look, not for ever
                notice(f"the journals cannot be looked at just now: {type(error).__name__}: {shown(str(error))}")
            await asyncio.sleep(_SOON if self._library.reading else self._interval)

    async def look(self) -> None:
        """Look once, and tell what has changed."""
        snapshots = await self._library.ask(Library.snapshots)
        home = {"reading": self._library.reading, "errors": self._library.errors}
        self._publish({**snapshots, _HOME: line(home)})

    def _publish(self, snapshots: Mapping[str, bytes]) -> None:
        before = self._number
        for key, body in snapshots.items():
            entry = self._entries.get(key)
            if entry is None or (entry.body is not body and entry.body != body):
                self._note(key, body, "run" if key != _HOME else "home")
        gone = [key for key, entry in self._entries.items() if key not in snapshots and entry.event != "gone"]
        for key in gone:
            self._note(key, line({"run": key}), "gone")
        if self._number != before:
            self._forget()
            self._wake()

    def _note(self, key: str, body: bytes, event: str) -> None:
        self._number += 1
        self._entries.pop(key, None)  # so that they stand in the order of their changes
        self._entries[key] = _Entry(self._number, body, event)

    def _forget(self) -> None:
        gone = [key for key, entry in self._entries.items() if entry.event == "gone"]
        for key in gone[:-_MAX_GONE]:
            del self._entries[key]

    def _wake(self) -> None:
        self._frames.cache_clear()
        self._changed.set()
        self._changed = asyncio.Event()

    def close(self) -> None:
        """End every connection."""
        self._closed = True
        self._wanted.set()
        self._wake()

    async def events(self, last: str | None = None, only: frozenset[str] = frozenset()) -> AsyncIterator[bytes]:
        """The stream for one reader.

        Args:
            last: the id of the last event that was seen.
            only: the keys of the runs that are wanted; none: all.
        """
        self.readers += 1
        self._wanted.set()
        try:
            if not self._entries:
                await self.look()
            seen = self._seen(last)
            yield self._hello(seen)
            while not self._closed:
                changed, upto = self._changed, self._number
                if frames := self._frames(seen, only):
                    yield frames
                seen = upto
                if self._number == upto and not await _set(changed):
                    yield b": still here\n\n"
        finally:
            self.readers -= 1
            if not self.readers and not self._closed:
                self._wanted.clear()

    def _seen(self, last: str | None) -> int:
        """The number that an id stands for; 0 for one that is not of this process."""
        boot, _, number = (last or "").partition(".")
        return min(int(number), self._number) if boot == self._boot and number.isdecimal() and number.isascii() else 0

    def _hello(self, seen: int) -> bytes:
        keys = [key for key, entry in self._entries.items() if entry.event == "run"]
        hello = line({"ts": iso(time.time_ns()), "resumed": seen > 0, "runs": keys})
        return b"retry: %d\n%b" % (_RETRY, _frame("hello", hello))

    def _make_frames(self, seen: int, only: frozenset[str]) -> bytes:
        """What has changed since that number, as events; the same bytes for all who have seen the same."""
        return b"".join(
            _frame(entry.event, entry.body, f"{self._boot}.{entry.number}")
            for key, entry in self._entries.items()
            if entry.number > seen and (not only or key in only or key == _HOME)
        )


def _frame(event: str, body: bytes, number: str = "") -> bytes:
    said = f"id: {number}\n" if number else ""
    return b"%bevent: %b\ndata: %b\n\n" % (said.encode(), event.encode(), body)


async def _set(event: asyncio.Event) -> bool:
    """Wait for an event, but no longer than readers may hear nothing."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_PING):
            await event.wait()
    return event.is_set()
