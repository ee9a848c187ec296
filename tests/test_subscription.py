"""Live snapshots: many readers, slow readers, readers in asyncio, and the end."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ralph_otel.model import LoopMetrics
from ralph_otel.subscription import DEPTH, Broadcaster
from support.waiting import until


def snapshot(number: int) -> LoopMetrics:
    return LoopMetrics(total_iterations=number)


def test_a_reader_gets_what_is_published_after_it_came() -> None:
    broadcaster = Broadcaster()
    broadcaster.publish(snapshot(1))
    reader = broadcaster.subscribe()
    broadcaster.publish(snapshot(2))
    broadcaster.publish(snapshot(3))
    assert [reader.get(0), reader.get(0), reader.get(0)] == [snapshot(2), snapshot(3), None]
    assert reader.missed == 0


def test_every_reader_gets_everything() -> None:
    broadcaster = Broadcaster()
    readers = [broadcaster.subscribe() for _ in range(50)]
    for number in range(5):
        broadcaster.publish(snapshot(number))
    broadcaster.close()
    assert all([each.total_iterations for each in reader] == [0, 1, 2, 3, 4] for reader in readers)


def test_a_slow_reader_loses_the_oldest_and_is_told_how_many() -> None:
    broadcaster = Broadcaster()
    reader = broadcaster.subscribe()
    for number in range(DEPTH + 10):
        broadcaster.publish(snapshot(number))
    assert reader.get(0) == snapshot(10)
    assert reader.missed == 10
    broadcaster.close()
    assert [each.total_iterations for each in reader] == list(range(11, DEPTH + 10))
    for number in range(3):
        broadcaster.publish(snapshot(number))
    assert reader.missed == 10


def test_publishing_waits_for_nobody() -> None:
    broadcaster = Broadcaster()
    readers = [broadcaster.subscribe() for _ in range(1000)]
    began = time.thread_time()
    for number in range(1000):
        broadcaster.publish(snapshot(number))
    assert time.thread_time() - began < 20
    assert readers[0].get(0) == snapshot(1000 - DEPTH)


def test_waiting_ends_in_time_or_with_a_snapshot() -> None:
    broadcaster = Broadcaster()
    reader = broadcaster.subscribe()
    began = time.monotonic()
    assert reader.get(0.05) is None
    assert 0.05 <= time.monotonic() - began < 60
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(reader.get, 60)
        broadcaster.publish(snapshot(7))
        assert waiting.result(60) == snapshot(7)


@pytest.mark.parametrize("who", ["reader", "broadcaster"])
def test_whoever_waits_learns_of_the_end(who: str) -> None:
    broadcaster = Broadcaster()
    reader = broadcaster.subscribe()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(list, reader)
        (reader if who == "reader" else broadcaster).close()
        assert waiting.result(60) == []
    assert reader.get() is None


def test_what_was_published_before_the_end_is_still_read_but_not_by_a_closed_reader() -> None:
    broadcaster = Broadcaster()
    reader, closed = broadcaster.subscribe(), broadcaster.subscribe()
    broadcaster.publish(snapshot(1))
    broadcaster.close()
    closed.close()
    assert list(reader) == [snapshot(1)]
    assert list(closed) == []


def test_readers_on_threads_lose_nothing_in_order() -> None:
    broadcaster = Broadcaster()
    results: list[list[int]] = []

    def read() -> None:
        reader = ready.pop()
        results.append([each.total_iterations for each in reader] + [reader.missed])

    ready = [broadcaster.subscribe() for _ in range(8)]
    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for number in range(DEPTH):
        broadcaster.publish(snapshot(number))
    broadcaster.close()
    for thread in threads:
        thread.join(60)
    assert results == [[*range(DEPTH), 0]] * 8


def test_asyncio_readers_are_woken_from_other_threads() -> None:
    broadcaster = Broadcaster()

    async def read(reader_number: int) -> list[int]:
        found = []
        async for each in readers[reader_number]:
            found.append(each.total_iterations)
            if each.total_iterations == 0:
                started.release()
        return found

    async def main() -> list[list[int]]:
        return await asyncio.gather(*(read(number) for number in range(3)))

    def publish() -> None:
        broadcaster.publish(snapshot(0))
        for _ in range(3):
            assert started.acquire(timeout=60)
        for number in range(1, 5):
            broadcaster.publish(snapshot(number))
        broadcaster.close()

    started, readers = threading.Semaphore(0), [broadcaster.subscribe() for _ in range(3)]
    publisher = threading.Thread(target=publish)
    publisher.start()
    assert asyncio.run(asyncio.wait_for(main(), 60)) == [[0, 1, 2, 3, 4]] * 3
    publisher.join(60)


def test_an_asyncio_loop_that_has_ended_disturbs_nobody() -> None:
    broadcaster = Broadcaster()
    reader = broadcaster.subscribe()

    async def impatient() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(anext(reader), 0.01)

    asyncio.run(impatient())
    assert len(broadcaster._loops) == 1
    broadcaster.publish(snapshot(1))
    assert broadcaster._loops == {}
    assert reader.get(0) == snapshot(1)


def test_an_asyncio_reader_can_be_closed_from_a_thread() -> None:
    broadcaster = Broadcaster()
    reader = broadcaster.subscribe()

    async def read() -> list[LoopMetrics]:
        return [each async for each in reader]

    def close() -> None:
        until(lambda: broadcaster._loops)
        reader.close()

    closer = threading.Thread(target=close)
    closer.start()
    assert asyncio.run(asyncio.wait_for(read(), 60)) == []
    closer.join(60)


def test_a_with_closes_its_reader() -> None:
    ring = Broadcaster()
    with ring.subscribe() as reader:
        ring.publish(LoopMetrics())
        assert reader.get(0) is not None
    ring.publish(LoopMetrics())
    assert reader.get(0) is None
