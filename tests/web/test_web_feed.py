"""The events, without a server: what each reader gets."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from ralph_otel.journal import encode
from ralph_otel.web import library
from ralph_otel.web.feed import Feed
from ralph_otel.web.library import Library
from support.shown import put
from support.tape import Tape
from support.watched import ago


@pytest.fixture(autouse=True)
def _nothing_changes_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that are under way are told anew after some seconds: not here."""
    monkeypatch.setattr(library, "_REFRESH", 2**80)


def run(story: Callable[[Feed], Coroutine[Any, Any, None]], home: Path) -> None:
    """Tell a story with a feed that looks only when it is told to."""

    async def tell() -> None:
        books = Library(home, most=50)
        try:
            await story(Feed(books, 3600))
        finally:
            books.close()

    asyncio.run(tell())


async def frames(events: AsyncIterator[bytes], how_many: int = 1) -> list[tuple[str, str, Any]]:
    """What the next so many pieces of the stream say: name, id and data of each event."""
    found = []
    for _ in range(how_many):
        for block in (await anext(events)).decode().split("\n\n"):
            fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
            if "data" in fields:
                found.append((fields["event"], fields.get("id", ""), json.loads(fields["data"])))
    return found


def going(run_id: str) -> Tape:
    """A loop that goes on."""
    return ago(Tape("loop", run_id), 30)


def turn(home: Path, run_id: str, number: int) -> None:
    """An iteration more."""
    tape = ago(Tape("", run_id).iteration(1, number), 10)
    with (home / "runs" / f"{run_id}.jsonl").open("ab") as file:
        file.write(b"".join(encode(line) + b"\n" for line in tape.lines))


def iterations(found: list[tuple[str, str, Any]]) -> dict[str, int]:
    """The iterations that each run is said to have."""
    return {data["run"]: data["iterations"] for name, _, data in found if name == "run"}


def test_a_reader_gets_all_there_is_and_then_what_changes(home: Path) -> None:
    put(home, going("a"), going("b"))

    async def story(feed: Feed) -> None:
        events = feed.events()
        hello, *rest = await frames(events, 2)
        assert (hello[0], hello[2]["resumed"], sorted(hello[2]["runs"])) == ("hello", False, ["a", "b"])
        assert iterations(rest) == {"a": 0, "b": 0}
        turn(home, "b", 1)
        await feed.look()
        assert iterations(await frames(events)) == {"b": 1}

    run(story, home)


def test_a_reader_that_is_slow_gets_the_newest_of_each_run_and_loses_nothing_else(home: Path) -> None:
    put(home, going("a"), going("b"), going("c"))

    async def story(feed: Feed) -> None:
        slow, quick = feed.events(), feed.events()
        await frames(slow, 2)
        await frames(quick, 2)
        for number in range(1, 201):
            turn(home, "ab"[number % 2], number)
            await feed.look()
            assert len(iterations(await frames(quick))) == 1
        assert iterations(await frames(slow)) == {"a": 100, "b": 100}

    run(story, home)


def test_a_reader_that_comes_back_gets_what_has_changed_meanwhile(home: Path) -> None:
    put(home, going("a"), going("b"), going("gone"))

    async def story(feed: Feed) -> None:
        events = feed.events()
        last = (await frames(events, 2))[-1][1]
        await events.aclose()  # type: ignore[attr-defined]
        turn(home, "a", 1)
        (home / "runs" / "gone.jsonl").unlink()
        os.utime(home / "runs", (1, 1))
        await feed.look()
        hello, *rest = await frames(feed.events(last), 2)
        assert hello[2]["resumed"] is True
        assert iterations(rest) == {"a": 1}
        assert [data["run"] for name, _, data in rest if name == "gone"] == ["gone"]

    run(story, home)


@pytest.mark.parametrize(
    "last", ["", "x", "00000000.5", ".", "١", "{boot}.x", "{boot}.-1", "{boot}.999999999999999999999"]
)
def test_an_id_that_is_not_of_this_process_begins_anew(last: str, home: Path) -> None:
    put(home, going("a"))

    async def story(feed: Feed) -> None:
        first = await frames(feed.events(), 2)
        boot = first[-1][1].partition(".")[0]
        turn(home, "a", 1)
        await feed.look()
        events = feed.events(last.format(boot=boot))
        if last.endswith("9" * 9):  # of this process, though nobody was told it: nothing newer is known
            assert (await frames(events))[0][2]["resumed"] is True
        else:
            assert iterations(await frames(events, 2)) == {"a": 1}

    run(story, home)


def test_a_reader_of_one_run_gets_that_run(home: Path) -> None:
    put(home, going("a"), going("b"))

    async def story(feed: Feed) -> None:
        events = feed.events(only=frozenset({"a"}))
        assert iterations(await frames(events, 2)) == {"a": 0}
        turn(home, "b", 1)
        await feed.look()
        turn(home, "a", 1)
        await feed.look()
        assert iterations(await frames(events)) == {"a": 1}

    run(story, home)


def test_a_look_that_finds_nothing_new_says_nothing(home: Path) -> None:
    put(home, ago(Tape("done", "done").iteration(1, 1).add(3, "loop.stopped", reason="completed"), 60))

    async def story(feed: Feed) -> None:
        events = feed.events()
        await frames(events, 2)
        for _ in range(5):
            await feed.look()
        following = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        await feed.look()
        assert not following.done()
        feed.close()
        with pytest.raises(StopAsyncIteration):
            await following

    run(story, home)


def test_nobody_looks_while_nobody_reads(home: Path) -> None:
    put(home, going("a"))

    async def story(feed: Feed) -> None:
        looking = asyncio.create_task(feed.run())
        events = feed.events()
        await frames(events, 2)
        assert feed.readers == 1
        await events.aclose()  # type: ignore[attr-defined]
        assert feed.readers == 0
        feed.close()
        looking.cancel()

    run(story, home)


def test_a_look_that_fails_is_said_and_the_next_one_goes_on(
    home: Path, monkeypatch: pytest.MonkeyPatch, heard: list[str]
) -> None:
    put(home, going("a"))
    snapshots, fails = Library.snapshots, iter([False, True, False])

    def sometimes(books: Library) -> dict[str, bytes]:
        if next(fails, False):
            raise OSError("the disk is away")
        return snapshots(books)

    monkeypatch.setattr(Library, "snapshots", sometimes)

    async def story(feed: Feed) -> None:
        feed._interval = 0.0
        events = feed.events()
        await frames(events, 2)
        looking = asyncio.create_task(feed.run())
        while not heard:
            await asyncio.sleep(0.01)
        turn(home, "a", 1)
        assert iterations(await frames(events)) == {"a": 1}
        feed.close()
        await looking

    run(story, home)
    assert len(heard) == 1
    assert "the disk is away" in heard[0]


def test_a_thousand_readers_share_what_is_written_once(home: Path) -> None:
    put(home, *(going(f"r{number}") for number in range(20)))

    async def story(feed: Feed) -> None:
        readers = [feed.events() for _ in range(1000)]
        for events in readers:
            await anext(events)
        assert len({id(await anext(events)) for events in readers}) == 1
        assert feed.readers == 1000
        feed.close()

    run(story, home)
