"""The sender against a wire that answers by script: patience, order, bounds, and its end."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bodies import logs, numbers_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ralph_otel.catalog.attributes import DROP_REASON
from ralph_otel.exporters.delivery import payload, sender
from ralph_otel.exporters.delivery.answers import Outcome, Verdict, by_http, oversized, unreachable
from ralph_otel.exporters.delivery.dropped import Dropped, Reason, read
from ralph_otel.exporters.delivery.queue import Queue, State
from ralph_otel.exporters.delivery.sender import Sender
from support.waiting import until

TAKEN = by_http(200)
BUSY = by_http(503)
LARGE = by_http(413)
DAY = 86_400.0


class Script:
    """A wire that answers as it is told, and then as `usual` says."""

    signal = "logs"
    name = "logs to script"

    def __init__(self, *verdicts: Verdict, usual: Verdict = TAKEN) -> None:
        self.verdicts = list(verdicts)
        self.usual = usual
        self.tried: list[bytes] = []
        self.taken: list[bytes] = []
        self.times: list[float] = []
        self.most = 1 << 30
        self.hold: threading.Event | None = None
        self.closed = False

    def send(self, body: bytes, timeout: float) -> Verdict:
        self.tried.append(body)
        self.times.append(time.monotonic())
        if self.hold is not None and not self.hold.wait(timeout):
            return unreachable(TimeoutError())
        if len(body) > self.most:
            return oversized(self.most)
        verdict = self.verdicts.pop(0) if self.verdicts else self.usual
        if verdict.outcome is Outcome.TAKEN:
            self.taken.append(body)
        return verdict

    def close(self) -> None:
        self.closed = True

    @property
    def numbers(self) -> list[int]:
        """The numbers of the records that were taken, in order."""
        return numbers_of([payload.request_class("logs").FromString(body) for body in list(self.taken)])


Make = Callable[..., Sender]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Make a sender over a script, on the folder `q`; the waits between attempts are short. All end with the test."""
    monkeypatch.setattr(sender, "_FIRST", 0.002)
    monkeypatch.setattr(sender, "_LONGEST", 0.01)
    monkeypatch.setattr(sender, "_TURN", 0.005)
    made: list[Sender] = []

    def one(wire: Any, room: int = 1 << 20, oldest: float = DAY, disk: bool = True, **more: Any) -> Sender:
        queue = Queue(tmp_path / "q", room) if disk else None
        made.append(Sender(wire, queue, Dropped(tmp_path / "q" if disk else None), oldest, **more))
        return made[-1]

    yield one
    for each in made:
        each.stop(1)


def dropped(made: Sender) -> dict[str, int]:
    """What a sender has given up, by reason."""
    return {reason.value: items for reason, items in made._dropped.counts.items()}


def test_what_is_put_is_sent_in_order_and_nothing_waits(make: Make, tmp_path: Path) -> None:
    wire = Script()
    made = make(wire)
    for number in range(1, 30):
        made.put(logs(number), 1)
    assert made.flush(60)
    assert wire.numbers == list(range(1, 30))
    assert made.waiting() == (0, 0)
    assert Queue(tmp_path / "q", 1).waiting() == []


def test_after_failures_it_goes_on_where_it_was_in_order(make: Make) -> None:
    wire = Script(BUSY, unreachable(ConnectionError()), TAKEN, BUSY, TAKEN)
    made = make(wire)
    for number in range(1, 6):
        made.put(logs(number), 1)
    until(lambda: wire.numbers == [1, 2, 3, 4, 5], what="for five records")
    assert dropped(made) == {}


def test_the_time_between_attempts_doubles_with_some_chance_up_to_a_bound(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make(Script())
    assert made.stop(60)  # or its own thread would set the time of the next attempt, too
    delays = []
    for _ in range(12):
        made._back_off(BUSY)
        delays.append(made._next - time.monotonic())
    bounds = [min(0.002 * 2**number, 0.01) for number in range(12)]
    assert all(delay <= bound for delay, bound in zip(delays, bounds, strict=True))


def test_the_receivers_own_wait_is_honoured_even_when_somebody_flushes(make: Make) -> None:
    wire = Script(by_http(429, "3600"))
    made = make(wire)
    made.put(logs(1), 1)
    until(lambda: wire.tried, what="for the first attempt")
    assert not made.flush(0.2)
    made.put(logs(2), 1)
    assert not made.stop(0.5)
    assert len(wire.tried) == 1


def test_the_wait_is_honoured_by_the_next_process_too_and_ends(make: Make, tmp_path: Path) -> None:
    queue = Queue(tmp_path / "q", 1 << 20)
    queue.append(logs(1), 1)
    assert queue.lock()
    ends = time.monotonic() + 0.3
    queue.note(State("HTTP 429", time.time() + 0.3, True))
    queue.unlock()
    wire = Script()
    make(wire).flush(0.05)
    until(lambda: wire.taken, what="for the record")
    assert wire.times[0] >= ends - 0.01


def test_a_flush_does_not_wait_for_the_back_off(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "_FIRST", 3600.0)
    monkeypatch.setattr(sender, "_LONGEST", 3600.0)
    wire = Script(BUSY)
    made = make(wire)
    made.put(logs(1), 1)
    until(lambda: wire.tried, what="for the first attempt")
    assert made.flush(60)
    assert wire.numbers == [1]


@pytest.mark.parametrize("status", [400, 401, 404, 500])
def test_what_is_refused_is_dropped_counted_and_never_sent_again(make: Make, tmp_path: Path, status: int) -> None:
    wire = Script(by_http(status))
    made = make(wire)
    made.put(logs(1, 2, 3), 3)
    made.put(logs(4), 1)
    assert made.flush(60)
    assert wire.numbers == [4]
    assert len(wire.tried) == 2
    assert dropped(made) == {"refused": 3}
    [entry] = read(tmp_path / "q")
    assert (entry.reason, entry.items, entry.said) == ("refused", 3, f"HTTP {status}")


def test_a_partial_success_is_counted_and_not_sent_again(make: Make) -> None:
    wire = Script(by_http(200, rejected=2))
    made = make(wire)
    made.put(logs(1, 2, 3), 3)
    assert made.flush(60)
    assert len(wire.tried) == 1
    assert dropped(made) == {"rejected": 2}


@pytest.mark.parametrize("disk", [True, False], ids=["disk", "memory"])
def test_what_is_too_large_is_cut_until_it_fits_in_order_and_a_single_record_is_dropped(make: Make, disk: bool) -> None:
    wire = Script()
    wire.most = len(logs(1, 2, 3))
    made = make(wire, disk=disk)
    made.put(logs(1, 2, 3, 4, 5, 6, 7), 7)
    made.put(logs(8, text="x" * 1000), 1)
    made.put(logs(9), 1)
    assert made.flush(60)
    assert wire.numbers == [1, 2, 3, 4, 5, 6, 7, 9]
    assert dropped(made) == {"too_large": 1}


def test_halves_that_must_wait_keep_their_place(make: Make) -> None:
    wire = Script(BUSY, LARGE, TAKEN, BUSY, BUSY)
    made = make(wire)
    made.put(logs(1, 2, 3, 4), 4)
    made.put(logs(5), 1)
    until(lambda: wire.numbers == [1, 2, 3, 4, 5], what="for five records")


def test_what_has_waited_too_long_is_dropped(make: Make) -> None:
    wire = Script(usual=BUSY)
    made = make(wire, oldest=0.2)
    made.put(logs(1, 2), 2)
    until(lambda: dropped(made) == {"too_old": 2}, what="for its end")
    wire.usual = TAKEN
    made._oldest = DAY
    made.put(logs(3), 1)
    assert made.flush(60)
    assert wire.numbers == [3]


def test_a_full_queue_gives_up_the_oldest_and_counts_them(make: Make) -> None:
    wire = Script(usual=BUSY)
    made = make(wire, room=3 * 4096)
    for number in range(1, 8):
        made.put(logs(number), 1)
    assert dropped(made) == {"no_room": 4}
    tried = len(wire.tried)
    until(lambda: len(wire.tried) > tried + 1, what="for an attempt that has begun since")
    wire.usual = TAKEN
    until(lambda: made.waiting()[0] == 0, what="for an empty queue")
    assert wire.numbers == [5, 6, 7]


def test_damaged_files_are_counted_and_hold_up_nothing(make: Make, tmp_path: Path) -> None:
    queue = Queue(tmp_path / "q", 1 << 20)
    for number in (1, 2, 3):
        queue.append(logs(number), number)
    (queue.folder / queue.waiting()[1].name).write_bytes(b"torn")
    wire = Script()
    made = make(wire)
    assert made.flush(60)
    assert wire.numbers == [1, 3]
    assert dropped(made) == {"damaged": 2}


def test_where_the_disk_takes_nothing_memory_does_and_what_is_left_at_the_end_is_counted(
    make: Make, tmp_path: Path, heard: list[str]
) -> None:
    (tmp_path / "q").write_text("a file where the folder should be")
    wire = Script(BUSY, BUSY)
    made = make(wire)
    made.put(logs(1), 1)
    made.put(logs(2), 1)
    until(lambda: wire.numbers == [1, 2], what="for both")
    wire.usual = BUSY
    made.put(logs(3, 4), 2)
    assert not made.stop(60)
    assert dropped(made) == {"unsaved": 2}
    assert any("cannot write into" in line for line in heard)
    assert any("is lost" in line for line in heard)


def test_once_the_disk_takes_something_again_memory_is_put_there_first(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = monkeypatch.context
    wire = Script(usual=BUSY)
    made = make(wire)
    with full() as patched:
        patched.setattr(Queue, "_write", _no_space)
        made.put(logs(1), 1)
        until(lambda: len(wire.tried) > 1, what="for attempts from memory")
    until(lambda: len(made._memory) == 1, what="for its return into memory")
    made.put(logs(2), 1)
    made.stop(60)
    assert dropped(made) == {}
    wire = Script()
    assert make(wire).flush(60)
    assert sorted(wire.numbers) == [1, 2]


def test_what_is_in_memory_at_the_end_is_kept_on_disk_if_that_takes_something_again(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make(Script(usual=BUSY))
    with monkeypatch.context() as patched:
        patched.setattr(Queue, "_write", _no_space)
        made.put(logs(1), 1)
        made.flush(60)
    assert not made.stop(60)
    assert dropped(made) == {}
    assert [entry.items for entry in Queue(tmp_path / "q", 1).waiting()] == [1]


def _no_space(*arguments: Any) -> None:
    raise OSError(28, "No space left on device")


def test_memory_is_bounded(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender, "_IN_MEMORY", 10 * len(logs(1)))
    wire = Script()
    wire.hold = threading.Event()
    made = make(wire, disk=False)
    made.put(logs(1), 1)
    until(lambda: wire.tried, what="for the first attempt")
    for number in range(2, 22):
        made.put(logs(number), 1)
    assert dropped(made) == {"unsaved": 10}
    wire.hold.set()
    assert made.flush(60)
    assert wire.numbers == [1, *range(12, 22)]


def test_the_end_is_not_delayed_by_a_receiver_that_hangs_and_everything_stays_on_disk(
    make: Make, tmp_path: Path
) -> None:
    wire = Script()
    wire.hold = threading.Event()
    made = make(wire)
    for number in range(1, 4):
        made.put(logs(number), 1)
    until(lambda: wire.tried, what="for the first attempt")
    before = time.monotonic()
    assert not made.stop(0.3)
    assert time.monotonic() - before < 30
    assert [entry.items for entry in Queue(tmp_path / "q", 1).waiting()] == [1, 1, 1]
    wire.hold.set()
    made._thread.join(60)
    assert wire.closed
    assert wire.numbers == [1], "after its end it must not go on"
    following = Script()
    assert make(following).flush(60)
    assert following.numbers == [2, 3]


def test_what_an_earlier_process_left_is_sent_without_a_word(make: Make, tmp_path: Path) -> None:
    Queue(tmp_path / "q", 1 << 20).append(logs(1), 1)
    wire = Script()
    make(wire)
    until(lambda: wire.numbers == [1], what="for the record")


def test_of_several_one_sends_and_the_others_append_behind(make: Make) -> None:
    wires = [Script(), Script(), Script()]
    made = [make(wire) for wire in wires]
    for number in range(1, 61):
        made[number % 3].put(logs(number), 1)
    assert all(each.flush(60) for each in made)
    sent = [number for wire in wires for number in wire.numbers]
    assert sorted(sent) == list(range(1, 61)), "each once"
    assert all(wire.numbers == sorted(wire.numbers) for wire in wires)


def test_another_takes_over_when_the_one_that_sends_has_ended(make: Make, tmp_path: Path) -> None:
    queue = Queue(tmp_path / "q", 1 << 20)
    queue.append(logs(1), 1)
    assert queue.lock()
    wire = Script()
    made = make(wire)
    made.put(logs(2), 1)
    assert not made.flush(0.1)
    assert not wire.tried
    queue.unlock()
    until(lambda: wire.numbers == [1, 2], what="for both")


def test_who_does_not_send_does_not_wait_where_the_receiver_is_known_to_be_away(make: Make, tmp_path: Path) -> None:
    queue = Queue(tmp_path / "q", 1 << 20)
    queue.append(logs(1), 1)
    assert queue.lock()
    queue.note(State("ConnectionError", time.time() + 60, False))
    made = make(Script())
    before = time.monotonic()
    assert not made.stop(30)
    assert time.monotonic() - before < 10
    queue.unlock()


def test_what_another_said_of_the_receiver_holds_until_it_answers(make: Make, tmp_path: Path) -> None:
    queue = Queue(tmp_path / "q", 1 << 20)
    queue.append(logs(1), 1)
    assert queue.lock()
    queue.note(State("ConnectionError", time.time() + 60, False))
    queue.unlock()
    assert make(Script()).flush(60)
    assert queue.state() == State()


def _put_in_a_child(made: Sender) -> None:
    made.put(logs(2), 1)


def test_a_forked_child_puts_nothing_into_its_parents_queue(make: Make) -> None:
    wire = Script()
    made = make(wire)
    child = multiprocessing.get_context("fork").Process(target=_put_in_a_child, args=(made,))
    child.start()
    child.join(60)
    made.put(logs(1), 1)
    assert made.flush(60)
    assert wire.numbers == [1]


def test_who_takes_is_told_once_with_the_very_request(make: Make) -> None:
    told: list[bytes] = []
    made = make(Script(BUSY, by_http(400)), taken=told.append)
    made.put(logs(1), 1)
    made.put(logs(2), 1)
    until(lambda: told, what="for the first that is taken")
    made.flush(60)
    assert told == [logs(2)]


def test_a_failure_of_our_own_is_said_and_costs_nothing_that_waits(
    make: Make, monkeypatch: pytest.MonkeyPatch, heard: list[str]
) -> None:
    wire = Script()
    with monkeypatch.context() as patched:
        patched.setattr(wire, "send", _no_space)
        made = make(wire)
        made.put(logs(1), 1)
        until(lambda: any("please report" in line for line in heard), what="for the line")
    assert made.flush(60)
    assert wire.numbers == [1]


def test_who_is_told_and_fails_holds_up_nothing(make: Make, heard: list[str]) -> None:
    wire = Script()
    made = make(wire, taken=_no_space)
    made.put(logs(1), 1)
    made.put(logs(2), 1)
    assert made.flush(60)
    assert wire.numbers == [1, 2]
    assert any("No space" in line for line in heard)


def test_the_catalog_has_every_reason() -> None:
    assert DROP_REASON.values == tuple(Reason)


VERDICTS = st.sampled_from([TAKEN, TAKEN, TAKEN, BUSY, unreachable(OSError()), by_http(400), LARGE])


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.integers(1, 5), min_size=1, max_size=12), script=st.lists(VERDICTS, max_size=25))
def test_by_any_script_each_record_is_taken_once_or_counted_and_the_order_holds(
    make: Make, sizes: list[int], script: list[Verdict]
) -> None:
    wire = Script(*script)
    made = make(wire)
    number = 0
    for size in sizes:
        made.put(logs(*range(number + 1, number + size + 1)), size)
        number += size
    until(lambda: made.waiting()[0] == 0, what="for an empty queue")
    made.stop(5)
    taken = wire.numbers
    assert taken == sorted(set(taken))
    given_up = Counter({reason.value: items for reason, items in made._dropped.counts.items()})
    assert set(given_up) <= {Reason.REFUSED.value, Reason.TOO_LARGE.value}
    assert len(taken) + given_up.total() == number
