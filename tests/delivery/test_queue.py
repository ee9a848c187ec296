"""The queue on disk: order, bounds, damage, privacy, and whose turn it is."""

from __future__ import annotations

import multiprocessing
import os
import stat
import time
import zlib
from pathlib import Path
from typing import Any

import pytest

from ralph_otel.exporters.delivery.queue import DamagedError, Queue, State

ROOMY = 64 << 20


def bodies(queue: Queue) -> list[bytes]:
    """What waits, in order."""
    return [body for entry in queue.waiting() if (body := queue.read(entry)) is not None]


def test_requests_wait_in_the_order_they_came_with_all_that_is_known_of_them(tmp_path: Path) -> None:
    queue = Queue(tmp_path / "q", ROOMY)
    before = time.time_ns()
    for number in range(20):
        assert queue.append(f"body {number}".encode(), number + 1, f"{number:08x}") == []
    waiting = queue.waiting()
    assert bodies(queue) == [f"body {number}".encode() for number in range(20)]
    assert [entry.items for entry in waiting] == list(range(1, 21))
    assert [entry.run for entry in waiting] == [f"{number:08x}" for number in range(20)]
    assert all(before <= entry.since <= time.time_ns() + 1000 for entry in waiting)


def test_another_queue_on_the_folder_sees_them_and_appends_behind_even_when_the_clock_goes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Queue(tmp_path / "q", ROOMY).append(b"first", 1)
    monkeypatch.setattr(time, "time_ns", lambda: 1)
    Queue(tmp_path / "q", ROOMY).append(b"second", 1)
    assert bodies(Queue(tmp_path / "q", ROOMY)) == [b"first", b"second"]


def test_folder_and_files_are_ours_alone(tmp_path: Path) -> None:
    queue = Queue(tmp_path / "home" / "queue" / "q", ROOMY)
    queue.append(b"x", 1)
    queue.lock()
    assert stat.S_IMODE(queue.folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in queue.folder.iterdir()} == {0o600}


def test_the_oldest_make_room_for_the_newest(tmp_path: Path) -> None:
    queue = Queue(tmp_path / "q", 5 * 4096)
    gone = [entry.items for number in range(1, 9) for entry in queue.append(os.urandom(100), number)]
    assert gone == [1, 2, 3]
    assert [entry.items for entry in queue.waiting()] == [4, 5, 6, 7, 8]


def test_what_there_is_no_room_for_at_all_does_not_drive_out_the_others(tmp_path: Path) -> None:
    queue = Queue(tmp_path / "q", 4096)
    queue.append(b"small", 1)
    assert [entry.items for entry in queue.append(os.urandom(10_000), 7)] == [7]
    assert bodies(queue) == [b"small"]


@pytest.mark.parametrize(
    "harm",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-3]),
        lambda path: path.write_bytes(path.read_bytes() + b"x"),
        lambda path: path.write_bytes(os.urandom(path.stat().st_size)),
        lambda path: (path.unlink(), path.symlink_to("/etc/hostname")),
        lambda path: (path.unlink(), path.mkdir()),
    ],
    ids=["empty", "cut", "longer", "garbage", "link", "folder"],
)
def test_a_damaged_file_is_told_from_a_whole_one(tmp_path: Path, harm: Any) -> None:
    queue = Queue(tmp_path / "q", ROOMY)
    queue.append(b"a whole request" * 100, 1)
    [entry] = queue.waiting()
    harm(queue.folder / entry.name)
    with pytest.raises(DamagedError):
        queue.read(entry)


def test_a_small_file_that_unpacks_to_very_much_is_damaged(tmp_path: Path) -> None:
    queue = Queue(tmp_path / "q", ROOMY)
    queue.append(b"x", 1)
    packed = zlib.compress(bytes(100 << 20), 9)
    (queue.folder / f"{time.time_ns():020d}-1-1-00000000-{len(packed)}.otlp").write_bytes(packed)
    with pytest.raises(DamagedError):
        queue.read(queue.waiting()[-1])


def test_what_is_gone_is_no_damage_and_foreign_files_are_left_alone(tmp_path: Path) -> None:
    queue = Queue(tmp_path / "q", ROOMY)
    queue.append(b"x", 1)
    [entry] = queue.waiting()
    assert queue.remove(entry)
    assert queue.remove(entry)
    assert queue.read(entry) is None
    (queue.folder / "notes.txt").write_text("mine")
    assert queue.waiting() == []


def test_what_a_dead_process_left_half_written_never_waits_and_is_swept(tmp_path: Path) -> None:
    queue = Queue(tmp_path / "q", ROOMY)
    queue.append(b"x", 1)
    old, new = (queue.folder / f".{since:020d}-1-1-00000000-5.otlp" for since in (1, time.time_ns()))
    old.write_bytes(b"ha")
    new.write_bytes(b"ha")
    assert bodies(queue) == [b"x"]
    assert queue.lock()
    assert not old.exists()
    assert new.exists()


def test_halves_stand_where_the_whole_stood(tmp_path: Path) -> None:
    queue = Queue(tmp_path / "q", ROOMY)
    for body in (b"1", b"23", b"4"):
        queue.append(body, len(body))
    made = queue.replace(queue.waiting()[1], [(b"2", 1), (b"3", 1)])
    assert bodies(queue) == [b"1", b"2", b"3", b"4"]
    assert made == queue.waiting()[1:3]


def test_one_at_a_time_sends_and_says_how_it_went(tmp_path: Path) -> None:
    first, second = Queue(tmp_path / "q", ROOMY), Queue(tmp_path / "q", ROOMY)
    first.append(b"x", 1)
    assert first.lock()
    assert first.lock()
    assert not second.lock()
    first.note(State("HTTP 503 and more", 1234.5, True))
    first.note(State("HTTP 503", 1234.5, True))
    second.note(State("not mine to say"))
    assert second.state() == State("HTTP 503", 1234.5, True)
    first.unlock()
    assert second.lock()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"said": 1}', b'{"said": "", "until": "soon", "asked": 1}'])
def test_a_state_that_cannot_be_read_says_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "state.json").write_bytes(content)
    assert Queue(tmp_path, ROOMY).state() == State()


def test_where_nothing_can_be_written_an_error_says_so_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    queue = Queue(tmp_path / "file" / "q", ROOMY)
    with pytest.raises(OSError):
        queue.append(b"x", 1)
    assert queue.waiting() == []
    assert queue.lock()
    assert not queue.locked


def _live(end: Any) -> None:
    end.send_bytes(b"I live")
    end.recv_bytes()


def test_a_forked_child_does_not_hold_the_lock_beyond_its_parents_death(tmp_path: Path) -> None:
    queue = Queue(tmp_path / "q", ROOMY)
    queue.append(b"x", 1)
    assert queue.lock()
    here, there = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=_live, args=(there,))
    child.start()
    try:
        here.recv_bytes()
        assert not Queue(tmp_path / "q", ROOMY).lock()
        queue.forget()  # as death does
        assert Queue(tmp_path / "q", ROOMY).lock()
    finally:
        here.send_bytes(b"x")
        child.join(10)
