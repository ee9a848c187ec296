"""What a snapshot for 1,000 subscribers costs the thread that publishes it, against one.

Subscribers that are busy elsewhere when it comes (`busy`), that wait for it as tasks of one asyncio loop (`asyncio`),
and that wait for it in a thread each (`threads`). Processor time of the publishing thread; its caches are cold where
subscribers wait, for it waits for them in between.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

from benchmarks.rounds import Rounds, alternate, middle, ratio, timed
from ralph_otel.model import LoopMetrics
from ralph_otel.subscription import Broadcaster, Subscription

_PAUSE = 0.01
"""Seconds in which a subscriber that has read goes back to waiting."""
_PATIENCE = 30.0


class Subscribers:
    """Subscribers, and a count of what each has read."""

    def __init__(self, how_many: int) -> None:
        self._broadcaster = Broadcaster()
        self._readers = [self._broadcaster.subscribe() for _ in range(how_many)]
        self._read = [0] * how_many
        self._published = 0
        self._threads: list[threading.Thread] = []

    def in_tasks(self) -> Subscribers:
        """Let them wait in tasks."""
        return self._start(lambda: asyncio.run(self._all_tasks()))

    def in_threads(self) -> Subscribers:
        """Let them wait in threads."""
        for number, reader in enumerate(self._readers):
            self._start(partial(self._thread, number, reader))
        return self

    def _start(self, target: Callable[[], None]) -> Subscribers:
        self._threads.append(threading.Thread(target=target, daemon=True))
        self._threads[-1].start()
        return self

    async def _all_tasks(self) -> None:
        await asyncio.gather(*(self._task(number, reader) for number, reader in enumerate(self._readers)))

    async def _task(self, number: int, reader: Subscription) -> None:
        async for _ in reader:
            self._read[number] += 1

    def _thread(self, number: int, reader: Subscription) -> None:
        for _ in reader:
            self._read[number] += 1

    def publish(self) -> float:
        """Seconds it takes to publish one snapshot; then wait until those who wait have read it."""
        time.sleep(_PAUSE if self._threads else 0.0)
        took = timed([partial(self._broadcaster.publish, LoopMetrics())])
        self._published += 1
        deadline = time.monotonic() + _PATIENCE
        while self._threads and min(self._read) < self._published:
            if time.monotonic() > deadline:
                raise RuntimeError("a subscriber has not got its snapshot")
            time.sleep(0.001)
        return took

    def close(self) -> None:
        """End them."""
        self._broadcaster.close()
        for thread in self._threads:
            thread.join(_PATIENCE)


def measure(quick: bool = False) -> dict[str, float]:
    """Publish snapshots.

    Returns:
        `busy`, `asyncio`, `threads`: how often as much as for one subscriber; and the microseconds behind them.
    """
    many, rounds = (20, 3) if quick else (1000, 25)
    figures: dict[str, float] = {}
    for name, begin in (
        ("busy", lambda subscribers: subscribers),
        ("asyncio", Subscribers.in_tasks),
        ("threads", Subscribers.in_threads),
    ):
        took = _compare(begin, many, rounds)
        figures[name] = ratio(took, "many", "one")
        figures[f"{name}_one_us"], figures[f"{name}_many_us"] = (middle(took, side) * 1e6 for side in ("one", "many"))
    return figures


def _compare(begin: Callable[[Subscribers], Subscribers], many: int, rounds: int) -> Rounds:
    with ExitStack() as stack:
        one, all_ = begin(Subscribers(1)), begin(Subscribers(many))
        stack.callback(one.close)
        stack.callback(all_.close)
        return alternate({"one": one.publish, "many": all_.publish}, rounds)
