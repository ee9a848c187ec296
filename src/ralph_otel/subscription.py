"""Live snapshots for any number of readers, at one cost whatever their number is.

One ring of the latest snapshots; every reader has its own place in it. A reader that falls behind loses the oldest and
is told how many; nobody waits for it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from ralph_otel.model import LoopMetrics

if TYPE_CHECKING:
    import asyncio

DEPTH = 64
"""Snapshots that are kept for readers that are behind."""


class Broadcaster:
    """The ring."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._ring: deque[LoopMetrics] = deque(maxlen=DEPTH)
        self._published = 0
        self._closed = False
        self._loops: dict[asyncio.AbstractEventLoop, asyncio.Event] = {}

    def publish(self, metrics: LoopMetrics) -> None:
        """Give a snapshot to every reader. Never waits for one."""
        with self._changed:
            self._ring.append(metrics)
            self._published += 1
            self._changed.notify()  # each reader wakes the next: publishing costs the same whatever their number is
            self._tell_loops()

    def close(self) -> None:
        """No more will come: readers end once they have read what is there."""
        with self._changed:
            self._closed = True
            self._tell()

    def subscribe(self) -> Subscription:
        """A reader of everything that is published from now on."""
        with self._changed:
            return Subscription(self, self._published)

    def _tell(self) -> None:
        self._changed.notify_all()
        self._tell_loops()

    def _tell_loops(self) -> None:
        for loop, event in list(self._loops.items()):
            try:
                loop.call_soon_threadsafe(event.set)
            except RuntimeError:  # that loop has ended
                del self._loops[loop]

    def _event(self) -> asyncio.Event:
        """The event that wakes the readers of the running asyncio loop."""
        import asyncio

        return self._loops.setdefault(asyncio.get_running_loop(), asyncio.Event())


class Subscription:
    """A reader: an iterator and an async iterator over snapshots; a `with` closes it. See `MetricsCollector.subscribe`.

    Attributes:
        missed: snapshots that were lost because this reader was too slow.
    """

    def __init__(self, broadcaster: Broadcaster, place: int) -> None:
        self._broadcaster = broadcaster
        self._place = place
        self._closed = False
        self.missed = 0

    def get(self, timeout: float | None = None) -> LoopMetrics | None:
        """The next snapshot; waits for it, for at most `timeout` seconds if given.

        Returns:
            None when there is none in time, or when no more will come.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        ring = self._broadcaster
        with ring._changed:
            while True:
                found = self._take()
                if found is not None or self._ended:
                    ring._changed.notify()
                    return found
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return None
                ring._changed.wait(left)

    def close(self) -> None:
        """Read no more: whoever waits gets the end."""
        self._closed = True
        with self._broadcaster._changed:
            self._broadcaster._tell()

    @property
    def _ended(self) -> bool:
        return self._closed or self._broadcaster._closed

    def _take(self) -> LoopMetrics | None:
        """The next snapshot if there is one. The ring's lock is held."""
        ring = self._broadcaster
        oldest = ring._published - len(ring._ring)
        if self._place < oldest:
            self.missed += oldest - self._place
            self._place = oldest
        if self._closed or self._place >= ring._published:
            return None
        self._place += 1
        return ring._ring[self._place - 1 - oldest]

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __iter__(self) -> Subscription:
        return self

    def __next__(self) -> LoopMetrics:
        found = self.get()
        if found is None:
            raise StopIteration
        return found

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> LoopMetrics:
        while True:
            with self._broadcaster._changed:
                event = self._broadcaster._event()
                event.clear()
                found, ended = self._take(), self._ended
            if found is not None:
                return found
            if ended:
                raise StopAsyncIteration
            await event.wait()
