"""Lines that a file cannot take wait, in order, and what is dropped is counted."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ralph_otel.events import Line
from ralph_otel.journal import Held, Journal
from support.tape import Tape, lines_of


class Disk(Journal):
    """A journal on a disk that can be full."""

    full = False

    def append(self, line: Line) -> int:
        if self.full:
            self.problem = "No space left on device"
            return 0
        return super().append(line)


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path / "runs" / "run-1.jsonl")


LINES = Tape().iteration(1, 1).iteration(3, 2).iteration(5, 3).lines


def test_what_waited_is_written_in_order_as_soon_as_there_is_room(disk: Disk) -> None:
    held = Held(disk)
    for number, line in enumerate(LINES):
        disk.full = 1 <= number < 4
        held.append(line)
    held.close()
    assert lines_of(disk.path) == LINES


def test_what_still_waits_at_the_end_is_written_then(disk: Disk) -> None:
    held = Held(disk)
    disk.full = True
    for line in LINES:
        held.append(line)
    disk.full = False
    held.close()
    assert lines_of(disk.path) == LINES


def test_what_is_too_much_to_wait_is_counted_in_the_journal(disk: Disk) -> None:
    held = Held(disk, most=2)
    for number, line in enumerate(LINES):
        disk.full = 1 <= number < 6
        held.append(line)
    held.close()
    *before, gap, after = lines_of(disk.path)
    assert (before, after) == (LINES[:3], LINES[6])
    assert (gap["type"], gap["count"]) == ("events.dropped", 3)


def test_what_is_lost_for_good_is_said_in_one_line(disk: Disk, heard: list[str]) -> None:
    held = Held(disk, most=2)
    disk.full = True
    for line in LINES:
        held.append(line)
    held.close()
    [said] = heard
    assert said.startswith(f"ralph-otel: {len(LINES)} events could not be written to {disk.path}: No space left")


def test_a_forked_child_leaves_what_waits_to_its_parent(disk: Disk) -> None:
    held = Held(disk)
    disk.full = True
    held.append(LINES[0])
    disk.full = False
    child = os.fork()
    if child == 0:
        held.append(LINES[1])
        os._exit(0)
    os.waitpid(child, 0)
    held.append(LINES[2])
    held.close()
    assert lines_of(disk.path) == [LINES[1], LINES[0], LINES[2]]
