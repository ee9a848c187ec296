"""Journals are kept by age and size; a run that goes on, and what has not been sent, is kept in any case."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from ralph_otel import MetricsCollector, MetricsConfig
from ralph_otel.recorder.marks import Mark
from ralph_otel.recorder.retention import remove_old
from support.tape import Tape
from support.waiting import until

DAY = 86_400.0


def written(home: Path, name: str, age: float, ended: bool = True, size: int = 0) -> Path:
    """A journal whose last event was so many seconds ago, of at least that many bytes."""
    tape = Tape("l", name)
    if size:
        tape.add(
            1, "tests.finished", passed=1, failed=0, results={f"{number:0200}": True for number in range(size // 200)}
        )
    path = (tape.add(2, "loop.stopped", reason="completed") if ended else tape).write(home / "runs" / f"{name}.jsonl")
    os.utime(path, (time.time() - age, time.time() - age))
    return path


def left(home: Path) -> list[str]:
    return sorted(path.stem for path in (home / "runs").iterdir())


def test_runs_that_ended_too_long_ago_go_and_those_that_go_on_stay(home: Path) -> None:
    for name, age, ended in (("old", 3, True), ("older", 9, True), ("goes-on", 9, False), ("new", 1, True)):
        written(home, name, age * DAY, ended)
    assert sorted(remove_old(home, 2 * DAY, 0)) == ["old", "older"]
    assert left(home) == ["goes-on", "new"]


def test_the_oldest_make_room_until_the_rest_fits(home: Path) -> None:
    paths = [written(home, f"r{number}", 10 - number, size=10_000) for number in range(6)]
    written(home, "goes-on", 100, ended=False, size=10_000)
    each = paths[0].stat().st_size
    assert remove_old(home, 0, 4 * each) == ["r0", "r1", "r2"]
    assert left(home) == ["goes-on", "r3", "r4", "r5"]


def test_without_limits_everything_stays(home: Path) -> None:
    written(home, "old", 4000 * DAY, size=100_000)
    assert remove_old(home, 0, 0) == []


def test_what_a_recorder_has_not_sent_whole_stays(home: Path) -> None:
    one, other = written(home, "one", 9 * DAY), written(home, "two-2", 9 * DAY)
    mark = Mark(home, "recorder")
    mark.note(journal=str(one))
    mark.note(runs=str(other.with_name("two")))
    assert remove_old(home, DAY, 1) == []
    mark.remove()
    assert sorted(remove_old(home, DAY, 1)) == ["one", "two-2"]


@pytest.mark.parametrize("kind", ["delivered", "logged"])
def test_what_was_noted_of_their_delivery_goes_with_them(home: Path, kind: str) -> None:
    written(home, "old", 9 * DAY)
    for name in ("old", "new"):
        note = home / kind / "127.0.0.1_4318" / name
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text("0123456789abcdef\n")
    remove_old(home, DAY, 0)
    assert [path.name for path in note.parent.iterdir()] == ["new"]


@pytest.mark.parametrize("content", [b"", b"\xff\n", b"[1]\n", b'{"journal": 3}\n'])
def test_a_damaged_mark_keeps_nothing_from_going(content: bytes, home: Path) -> None:
    written(home, "old", 9 * DAY)
    path = home / "recorders" / "x.jsonl"
    path.parent.mkdir()
    path.write_bytes(content)
    assert remove_old(home, DAY, 0) == ["old"]


@pytest.mark.integration
def test_a_recorder_sees_to_a_folder_of_ten_thousand_runs_and_its_loop_does_not_wait(home: Path) -> None:
    (home / "runs").mkdir(parents=True)
    ended = written(home, "pattern", 9 * DAY).read_bytes()
    then = time.time() - 9 * DAY
    for number in range(10_000):
        path = home / "runs" / f"20250101T000000Z-{number:06}.jsonl"
        path.write_bytes(ended)
        os.utime(path, (then, then))
    collector = MetricsCollector(MetricsConfig(export_format="json", journal_age="24h", resources=False))
    with collector.loop("l") as loop:
        for _ in range(10):
            with loop.iteration():
                pass
        until(lambda: len(os.listdir(home / "runs")) == 1, 200, "for the others to go")  # noqa: PTH208 — 10,000 files
        assert collector.get_metrics().total_iterations == 10
    collector.shutdown(60)
    assert left(home) == [collector.instance_id]
