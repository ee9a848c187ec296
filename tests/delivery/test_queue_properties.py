"""The queue under any interleaving of appending, sending, crashing and damage, by several processes at once."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from unittest import mock

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from ralph_otel.exporters.delivery.queue import DamagedError, Queue, Waiting

ROOM = 12 * 4096
PROCESSES = st.integers(0, 2)


class _KilledError(BaseException):
    """The process dies here."""


class Queues(RuleBasedStateMachine):
    """Three processes on one folder. `waits` is what must be in it, in order: numbers of requests."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp()) / "q"
        self.queues = [Queue(self.folder, ROOM) for _ in range(3)]
        self.waits: list[int] = []
        self.damaged: set[int] = set()
        self.came = 0

    def teardown(self) -> None:
        for queue in self.queues:
            queue.unlock()
        shutil.rmtree(self.folder.parent)

    def entry_of(self, number: int) -> Waiting:
        [entry] = [entry for entry in self.queues[0].waiting() if entry.items == number]
        return entry

    @rule(process=PROCESSES, blocks=st.integers(1, 4))
    def append(self, process: int, blocks: int) -> None:
        self.came += 1
        body = self.came.to_bytes(4, "big") + os.urandom(blocks * 4096 - 200)
        gone = self.queues[process].append(body, self.came)
        self.waits.append(self.came)
        assert [entry.items for entry in gone] == self.waits[: len(gone)]
        del self.waits[: len(gone)]

    @rule(process=PROCESSES)
    def die_while_appending(self, process: int) -> None:
        self.came += 1
        with mock.patch.object(Path, "rename", side_effect=_KilledError), mock.patch.object(Path, "unlink"):
            try:
                self.queues[process].append(b"never whole", self.came)
            except _KilledError:
                self.restart(process)

    @rule(process=PROCESSES)
    def restart(self, process: int) -> None:
        self.queues[process].unlock()
        self.queues[process] = Queue(self.folder, ROOM)

    @rule(process=PROCESSES, count=st.integers(1, 3))
    def send(self, process: int, count: int) -> None:
        queue = self.queues[process]
        queue.lock()
        if not queue.locked:
            return
        for entry in queue.waiting()[:count]:
            number = self.waits.pop(0)
            assert entry.items == number
            try:
                body = queue.read(entry)
                assert body is not None
                assert body[:4] == number.to_bytes(4, "big")
                assert number not in self.damaged
            except DamagedError:
                assert number in self.damaged
            queue.remove(entry)

    @rule(which=st.integers(0, 10), left=st.integers(0, 100))
    def damage(self, which: int, left: int) -> None:
        if self.waits:
            number = self.waits[which % len(self.waits)]
            path = self.folder / self.entry_of(number).name
            path.write_bytes(path.read_bytes()[:left])
            self.damaged.add(number)

    @invariant()
    def the_right_ones_wait_in_order_within_the_bound(self) -> None:
        for queue in self.queues:
            assert [entry.items for entry in queue.waiting()] == self.waits
        assert sum(entry.room for entry in self.queues[0].waiting()) <= ROOM

    @invariant()
    def at_most_one_sends(self) -> None:
        assert sum(queue.locked for queue in self.queues) <= 1


TestQueues = Queues.TestCase
TestQueues.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
