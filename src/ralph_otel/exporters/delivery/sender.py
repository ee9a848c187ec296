"""The thread that sends one signal's requests to one receiver: what waits first, in order, and with patience."""

from __future__ import annotations

import os
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from enum import Enum
from functools import partial

from opentelemetry.instrumentation.utils import suppress_instrumentation

from ralph_otel.exporters.delivery import payload
from ralph_otel.exporters.delivery.answers import LONGEST_WAIT, Outcome, Verdict
from ralph_otel.exporters.delivery.dropped import Dropped, Reason
from ralph_otel.exporters.delivery.queue import SEVERAL, DamagedError, Queue, State, Waiting
from ralph_otel.exporters.delivery.wire import Wire
from ralph_otel.guard import guarded
from ralph_otel.notices import notice, shown

_FIRST, _LONGEST = 1.0, 30.0
"""Seconds before the first and, after doubling, before every later attempt; the half of it is left to chance."""
_PATIENCE = 60.0
"""Seconds for an answer, where the exporter's own timeout is not shorter."""
_LOOK = 10.0
"""Seconds between two looks for what other processes have left."""
_TURN = 0.1
"""Seconds between two looks whether the process that sends has sent ours, too."""
_IN_MEMORY = 16 << 20
"""Bytes that may wait in memory where the disk takes nothing."""
_LEAST = 0.05
"""Seconds that an attempt has at the least."""

Part = tuple[bytes, int]
"""A serialized request, and the number of its spans, data points or log records."""


class _End(Enum):
    """How a pass over what waits has ended."""

    EMPTY = "nothing waits any more"
    LATER = "the receiver is to be tried again later"
    TURN = "another process sends"


class Sender:
    """Sends what it is given, and what waits in its queue, on a thread of its own.

    Args:
        wire: what sends a request, once.
        queue: where requests wait on disk; None: in memory only.
        dropped: counts what is given up.
        oldest: seconds that a request may wait.
        taken: called with each serialized request that the receiver has taken.
    """

    def __init__(
        self,
        wire: Wire,
        queue: Queue | None,
        dropped: Dropped,
        oldest: float,
        taken: Callable[[bytes], None] | None = None,
    ) -> None:
        self._wire, self._queue, self._dropped = wire, queue, dropped
        self._oldest = oldest
        self._taken = taken
        self._memory: deque[Part] = deque()
        self._unremovable: set[str] = set()
        self._random = random.Random()
        self._pid = os.getpid()
        self._failures = 0
        self._throttled = False
        self._troubled = False  # what the queue says of the last attempt, ours or another's
        self._changed = threading.Condition()
        self._new = True  # an earlier process may have left something
        self._asked = self._tried = self._answered = 0
        self._end = _End.EMPTY
        self._next = 0.0
        self._deadline: float | None = None
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=f"ralph-otel-{wire.signal}", daemon=True)
        self._thread.start()

    # -- from any thread -----------------------------------------------------------------------------------------------

    def put(self, body: bytes, items: int, run: str = SEVERAL) -> None:
        """Send a serialized request when its turn comes. It is on disk when this returns, unless that takes nothing.

        Args:
            body: the request.
            items: its spans, data points or log records.
            run: a tag of the run that it is of.
        """
        if os.getpid() != self._pid:
            return  # the SDK goes on in a forked child with what it had collected before, which is the parent's to send
        with self._changed:
            while self._memory and self._save(*self._memory[0]):
                self._memory.popleft()
            if self._memory or not self._save(body, items, run):
                self._memory.append((body, items))
                while len(self._memory) > 1 and sum(len(each) for each, _ in self._memory) > _IN_MEMORY:
                    self._dropped.add(Reason.UNSAVED, self._memory.popleft()[1])
            self._new = True
            self._changed.notify_all()

    def _save(self, body: bytes, items: int, run: str = SEVERAL) -> bool:
        if self._queue is None:
            return False
        try:
            gone = self._queue.append(body, items, run)
        except OSError as error:
            notice(f"cannot write into {self._queue.folder}: {error.strerror}; what waits is kept in memory")
            return False
        for entry in gone:
            self._dropped.add(Reason.NO_ROOM, entry.items)
        return True

    def waiting(self) -> tuple[int, int]:
        """Requests that wait, and their bytes: packed on disk, plain in memory."""
        entries = self._queue.waiting() if self._queue is not None else []
        with self._changed:
            own = [len(body) for body, _ in self._memory]
        return len(entries) + len(own), sum(entry.packed for entry in entries) + sum(own)

    def flush(self, timeout: float) -> bool:
        """Try now to send everything that waits.

        Returns:
            Whether nothing waits any more; False too where the receiver cannot be reached, or `timeout` has passed.
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            self._asked = ticket = self._asked + 1
            self._changed.notify_all()
            while self._answered < ticket and (left := deadline - time.monotonic()) > 0 and self._thread.is_alive():
                self._changed.wait(min(left, 0.5))
        return self.waiting()[0] == 0

    def stop(self, timeout: float) -> bool:
        """Try once more to send everything, and end, within `timeout` seconds. What waits on disk stays there.

        Returns:
            Whether nothing waits any more.
        """
        self._deadline = deadline = time.monotonic() + timeout
        empty = self.flush(timeout)
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join(max(0.0, deadline - time.monotonic()))
        with self._changed:
            for body, items in self._memory:
                if not self._save(body, items):  # the disk may take again what it did not before
                    self._dropped.add(Reason.UNSAVED, items)
                    notice(f"{self._wire.name}: what could be neither sent nor kept on disk is lost")
            self._memory.clear()
        return empty

    # -- on its own thread ---------------------------------------------------------------------------------------------

    def _run(self) -> None:
        with suppress_instrumentation():  # or an instrumented HTTP library would make spans of ours
            self._work()
        if self._queue is not None:
            self._queue.unlock()
        self._wire.close()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._stopping and (pause := self._pause()) > 0:
                    self._changed.wait(pause)
                if self._stopping:
                    return
                asked = self._tried = self._asked
                self._new = False
            end = self._guarded_pass()
            with self._changed:
                self._end = end
                if end is not _End.TURN or self._others_wait():
                    self._answered = asked
                    self._changed.notify_all()

    def _pause(self) -> float:
        """Seconds until there is something to do; 0: now."""
        if self._asked > self._tried or (self._new and self._end is _End.EMPTY):
            return 0.0
        return self._next - time.monotonic()

    def _others_wait(self) -> bool:
        """Whether the process that sends is waiting itself, as the receiver cannot be reached."""
        return self._queue is not None and self._queue.state().until > time.time()

    def _guarded_pass(self) -> _End:
        try:
            return self._pass()
        except Exception as error:  # noqa: BLE001 — the next pass may succeed; what waits is still there
            notice(f"{self._wire.name}: {type(error).__name__}: {shown(str(error), 160)}; please report this")
            self._next = time.monotonic() + _LONGEST
            return _End.LATER

    def _pass(self) -> _End:
        """Send what waits, oldest first, until nothing does or something hinders."""
        if self._throttled and time.monotonic() < self._next:
            return _End.LATER
        if self._queue is not None:
            if not self._queue.lock():
                self._next = time.monotonic() + (_LOOK if self._others_wait() else _TURN)
                return _End.TURN if self._queue.waiting() else _End.EMPTY
            if self._still_throttled(self._queue):
                return _End.LATER
            while self._queue.locked and (entries := self._to_send(self._queue)):
                if not self._send_all(self._queue, deque(entries)):
                    return _End.LATER
            if not self._send_memory():
                return _End.LATER
            self._queue.unlock()
        elif not self._send_memory():
            return _End.LATER
        self._next = time.monotonic() + _LOOK
        return _End.EMPTY

    def _still_throttled(self, queue: Queue) -> bool:
        """Whether the receiver has asked an earlier process to wait, and the time is not over."""
        state = queue.state()
        self._troubled = self._troubled or state != State()
        left = min(state.until - time.time(), LONGEST_WAIT)
        if self._failures or not state.asked or left <= 0:
            return False
        self._throttled, self._next = True, time.monotonic() + left
        return True

    def _to_send(self, queue: Queue) -> list[Waiting]:
        return [entry for entry in queue.waiting() if entry.name not in self._unremovable]

    def _send_all(self, queue: Queue, entries: deque[Waiting]) -> bool:
        """Deal with requests of the queue: whether with all of them."""
        while entries:
            entry = entries.popleft()
            parts = self._send_entry(queue, entry)
            if parts is None:
                return False
            if parts:
                parts = self._put_in_place(queue, entry, parts, entries)
            if not parts and not queue.remove(entry):
                self._unremovable.add(entry.name)
        return True

    def _put_in_place(self, queue: Queue, entry: Waiting, parts: list[Part], entries: deque[Waiting]) -> list[Part]:
        """Have the halves of a request wait in its place; [] where they cannot be written, and are given up."""
        try:
            entries.extendleft(reversed(queue.replace(entry, parts)))
        except OSError:
            self._dropped.add(Reason.UNSAVED, entry.items)
            return []
        return parts

    def _send_entry(self, queue: Queue, entry: Waiting) -> list[Part] | None:
        """As `_send`, for a request of the queue."""
        if time.time_ns() - entry.since > self._oldest * 1e9:
            self._dropped.add(Reason.TOO_OLD, entry.items)
            return []
        try:
            body = queue.read(entry)
        except DamagedError:
            self._dropped.add(Reason.DAMAGED, entry.items)
            return []
        return self._send(body, entry.items) if body is not None else []

    def _send_memory(self) -> bool:
        while True:
            with self._changed:
                if not self._memory:
                    return True
                body, items = self._memory.popleft()
            parts = self._send(body, items)
            with self._changed:
                self._memory.extendleft(reversed(parts if parts is not None else [(body, items)]))
            if parts is None:
                return False

    def _send(self, body: bytes, items: int) -> list[Part] | None:
        """Try to send a request.

        Returns:
            What is to be sent in its place: nothing, or two halves of it; None where it is to be tried again later.
        """
        timeout = _PATIENCE if self._deadline is None else self._deadline - time.monotonic()
        if timeout <= 0:
            return None
        verdict = self._wire.send(body, max(timeout, _LEAST))
        if verdict.outcome is Outcome.LATER:
            self._back_off(verdict)
            return None
        self._recovered()
        if verdict.outcome is Outcome.TAKEN:
            if (rejected := min(verdict.rejected, items)) > 0:
                self._give_up(Reason.REJECTED, rejected, verdict)
            if self._taken is not None:
                guarded(self._wire.name, partial(self._taken, body))
        elif verdict.outcome is Outcome.REFUSED:
            self._give_up(Reason.REFUSED, items, verdict)
        else:
            parts = self._halves(body)
            if not parts:
                self._give_up(Reason.TOO_LARGE, items, verdict)
            return parts
        return []

    def _halves(self, body: bytes) -> list[Part]:
        signal = self._wire.signal
        request = payload.parsed(signal, body)
        if request is None:
            return []
        return [(half.SerializeToString(), payload.count(signal, half)) for half in payload.halves(signal, request)]

    def _give_up(self, reason: Reason, items: int, verdict: Verdict) -> None:
        self._dropped.add(reason, items, verdict.said)
        notice(f"{self._wire.name}: {verdict.said}; {_MEANING[reason]}; see ralph-otel doctor")

    def _back_off(self, verdict: Verdict) -> None:
        """Wait for as long as the receiver asks for, and the longer the more often it has failed."""
        delay = min(_FIRST * 2 ** min(self._failures, 10), _LONGEST) * self._random.uniform(0.5, 1)
        if verdict.wait is not None:
            delay = max(delay, verdict.wait * self._random.uniform(1, 1.1))
        self._failures, self._troubled = self._failures + 1, True
        self._throttled = bool(verdict.wait)
        self._next = time.monotonic() + delay
        if self._queue is not None:
            self._queue.note(State(verdict.said, time.time() + delay, self._throttled))
        kept = "on disk" if self._queue is not None else "in memory"
        notice(f"{self._wire.name}: {verdict.said}; what waits is kept {kept} and sent when it answers")

    def _recovered(self) -> None:
        self._failures, self._throttled = 0, False
        if self._troubled and self._queue is not None:
            self._queue.note(State())
        self._troubled = False


_MEANING = {
    Reason.REFUSED: "what it refuses must not be sent again, and is dropped",
    Reason.REJECTED: "it has left out a part",
    Reason.TOO_LARGE: "too large, and dropped",
}
