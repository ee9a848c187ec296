"""The recorder on its thread: what it reads, when it answers, and what it survives."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ralph_otel.config import MetricsConfig
from ralph_otel.events import Line
from ralph_otel.exporters.snapshot import metrics_of
from ralph_otel.journal import Journal, encode
from ralph_otel.model import LoopMetrics
from ralph_otel.recorder import following
from ralph_otel.recorder import pipeline as pipeline_module
from ralph_otel.recorder.recorder import Recorder
from support.figures import series_of
from support.tape import Tape
from support.waiting import until

Make = Callable[..., Recorder]


@pytest.fixture
def make() -> Iterator[Make]:
    """Make a recorder without exporters, running unless told otherwise; all end with the test."""
    made: list[Recorder] = []

    def make_one(start: bool = True, interval: float = 60, on_tick: Any = None, **fields: Any) -> Recorder:
        config = MetricsConfig(export_format="none", resources=False, collection_interval=interval, **fields)
        made.append(Recorder(config, "instance", None, on_tick, export=False))
        if start:
            made[-1].start()
        return made[-1]

    yield make_one
    for recorder in made:
        recorder.stop(60)


def read(recorder: Recorder) -> LoopMetrics:
    """The aggregate of everything before."""
    found: list[LoopMetrics] = []
    assert recorder.call(lambda: found.append(recorder.metrics()), 60)
    return found[0]


def turn(number: int) -> Line:
    return Tape("").iteration(1, number).lines[-1]


# -- reading journals -------------------------------------------------------------------------------------------------


def test_a_journal_is_read_from_its_start_and_on(make: Make, tmp_path: Path) -> None:
    recorder, path = make(), Tape().iteration(1, 1).write(tmp_path / "r.jsonl")
    recorder.follow(path)
    assert read(recorder).total_iterations == 1
    journal = Journal(path)
    for number in range(2, 100):
        journal.append(turn(number))
    assert read(recorder).total_iterations == 99
    assert recorder.events == 101


def test_a_journal_need_not_be_there_yet_and_lines_of_other_processes_are_found(make: Make, tmp_path: Path) -> None:
    recorder = make()
    recorder.follow(tmp_path / "later.jsonl")
    assert read(recorder).total_iterations == 0
    Tape().iteration(1, 1).write(tmp_path / "later.jsonl")
    until(lambda: recorder.events == 3)  # nobody has called wake()


def test_a_torn_line_waits_and_bad_ones_are_counted_and_said_once_each(
    make: Make, tmp_path: Path, heard: list[str]
) -> None:
    path = Tape().iteration(1, 1).write(tmp_path / "r.jsonl")
    whole = encode(turn(2)) + b"\n"
    with path.open("ab") as file:
        file.write(b"garbage\n\n  \n" + b"garbage\n" + b'{"v":2}\n' + whole[:20])
    recorder = make()
    recorder.follow(path)
    assert read(recorder).total_iterations == 1
    assert recorder.bad_lines == 3
    assert len(heard) == 2
    assert heard[0] == "ralph-otel: a line of the journal is skipped: not a line of JSON: b'garbage'"
    with path.open("ab") as file:
        file.write(whole[20:])
    assert read(recorder).total_iterations == 2
    assert recorder.bad_lines == 3


def test_a_line_that_would_overflow_the_stack_costs_one_line(make: Make, tmp_path: Path, heard: list[str]) -> None:
    path = Tape().write(tmp_path / "r.jsonl")
    with path.open("ab") as file:
        for depth in (800, 100_000):
            file.write(b'{"v":1,"x":' + b"[" * depth + b'"\\ud800"' + b"]" * depth + b"}\n")
        file.write(encode(turn(1)) + b"\n")
    recorder = make()
    recorder.follow(path)
    assert read(recorder).total_iterations == 1
    assert recorder.bad_lines == 2


def test_a_big_journal_with_a_huge_line_is_recorded_whole(make: Make, tmp_path: Path) -> None:
    line = encode(Tape("").add(1, "tests.finished", passed=1, failed=0, results={"x" * 200: True}).lines[0]) + b"\n"
    with Tape().write(tmp_path / "r.jsonl").open("ab") as file:
        for _ in range(20):
            file.write(line * 1500)
        file.write(b'{"v":1,"type":"' + b"x" * 9_000_000 + b'"}\n')
        file.write(line * 1500 + encode(turn(1)) + b"\n")
        assert file.tell() > 18_000_000
    recorder = make()
    recorder.follow(tmp_path / "r.jsonl")
    assert read(recorder).total_iterations == 1
    assert (recorder.events, recorder.bad_lines) == (2 + 21 * 1500, 1)


def test_a_folder_in_the_place_of_a_journal_is_said_once(make: Make, tmp_path: Path, heard: list[str]) -> None:
    recorder = make()
    recorder.follow(tmp_path)
    assert read(recorder).total_iterations == 0
    assert read(recorder).total_iterations == 0
    assert heard == [f"ralph-otel: cannot read {tmp_path}: Is a directory"]


def test_the_journals_of_a_family_are_found_as_they_appear(make: Make, tmp_path: Path) -> None:
    recorder = make()
    recorder.follow_runs(tmp_path, "fam")
    for name in ("fam", "fam-2", "fam-x", "family", "fam-3"):
        Tape(run=name).iteration(1, 1).write(tmp_path / f"{name}.jsonl")
    assert read(recorder).total_iterations == 3
    assert set(recorder.states.by_run) == {"fam", "fam-2", "fam-3"}


def test_a_family_of_very_many_loops_is_counted_once(make: Make, tmp_path: Path) -> None:
    many = following.MAX_FOLLOWED + 100
    for number in range(1, many + 1):
        name = "fam" if number == 1 else f"fam-{number}"
        Tape(run=name).iteration(1, 1).add(5, "loop.stopped", reason="completed").write(tmp_path / f"{name}.jsonl")
    recorder = make()
    recorder.follow_runs(tmp_path, "fam")
    for _ in range(4):
        assert read(recorder).total_iterations == many
    assert len(recorder._journals) <= following.MAX_FOLLOWED
    Tape(run=f"fam-{many + 1}").iteration(1, 1).write(tmp_path / f"fam-{many + 1}.jsonl")
    assert read(recorder).total_iterations == many + 1


@pytest.mark.parametrize("as_family", [True, False])
def test_of_however_many_loops_only_so_much_is_remembered(
    as_family: bool, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "MAX_FOLLOWED", 8)
    monkeypatch.setattr(following, "MAX_REMEMBERED", 10)
    recorder = make()
    if as_family:
        recorder.follow_runs(tmp_path, "fam")
    many = 100
    for number in range(1, many + 1):
        name = "fam" if number == 1 else f"fam-{number}"
        tape = Tape(run=name).iteration(1, 1).add(5, "loop.stopped", reason="completed")
        path = tape.write(tmp_path / f"{name}.jsonl")
        if not as_family:
            recorder.follow(path, 0)
        if number % 9 == 0:
            assert read(recorder).total_iterations == number
    Tape(run=f"fam-{many + 2}").iteration(1, 1).write(tmp_path / f"fam-{many + 2}.jsonl")
    assert read(recorder).total_iterations == many + as_family  # one name is missing; what comes after it is found
    journals = recorder._journals
    kept = [len(each) for each in (journals._followers, journals._ended, journals._recorded)]
    assert max(kept + [len(each._beyond) for each in journals._families]) <= 10


# -- answering --------------------------------------------------------------------------------------------------------


def test_everything_emitted_before_a_reading_is_in_it(make: Make, tmp_path: Path) -> None:
    recorder, journal = make(), Journal(tmp_path / "r.jsonl")
    recorder.follow(journal.path)
    for number in range(1, 200):
        journal.append(turn(number))
        recorder.wake()
        assert read(recorder).total_iterations == number


@pytest.mark.parametrize("way", ["journal", "queue"])
def test_a_writer_that_never_rests_does_not_hold_up_a_reading(make: Make, tmp_path: Path, way: str) -> None:
    recorder, journal = make(queue_size=10_000_000), Journal(tmp_path / "r.jsonl")
    recorder.follow(journal.path)
    done, line = threading.Event(), turn(1)

    def write() -> None:
        written = 0
        while not done.is_set():
            if written - recorder.events > 500:  # there is always something new, but not without limit
                time.sleep(0.001)
                continue
            written += 1
            if way == "queue":
                recorder.offer(line)
            else:
                journal.append(line)
                recorder.wake()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        until(lambda: recorder.events > 1000)
        began = time.monotonic()
        counts = [read(recorder).total_iterations for _ in range(3)]
        took = time.monotonic() - began
    finally:
        done.set()
        writer.join()
    assert 1000 < counts[0] <= counts[1] <= counts[2]
    assert took < 60


def test_many_callers_at_once_all_get_their_own_answer(make: Make) -> None:
    recorder = make()
    answers: list[tuple[int, int]] = []

    def ask(caller: int) -> None:
        for number in range(50):
            answer: list[int] = []
            assert recorder.call(lambda answer=answer, number=number: answer.append(number), 60)  # type: ignore[misc]
            answers.append((caller, answer[0]))

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(ask, range(10)))
    assert sorted(answers) == [(caller, number) for caller in range(10) for number in range(50)]


def test_a_command_that_fails_is_said_and_the_next_one_is_answered(make: Make, heard: list[str]) -> None:
    recorder = make()

    def fail() -> None:
        raise ZeroDivisionError("of this test")

    assert recorder.call(fail, 60)
    assert read(recorder).total_iterations == 0
    assert heard == ["ralph-otel: recorder: ZeroDivisionError: of this test; please report this"]


def test_there_is_no_answer_before_the_start_after_the_end_or_on_its_own_thread(make: Make) -> None:
    recorder = make(start=False)
    assert not recorder.barrier(10)
    recorder.start()
    recorder.start()
    inside: list[bool] = []
    assert recorder.call(lambda: inside.append(recorder.barrier(10)), 10)
    assert inside == [False]
    assert recorder.stop(10)
    assert not recorder.barrier(10)
    assert recorder.stop(10)


def test_a_call_that_is_not_answered_in_time_says_so(make: Make) -> None:
    recorder, release = make(), threading.Event()
    blocker = threading.Thread(target=recorder.call, args=(lambda: release.wait(100), 100))
    blocker.start()
    try:
        began = time.monotonic()
        assert not recorder.barrier(0.1)
        assert time.monotonic() - began < 60
    finally:
        release.set()
        blocker.join()


def test_a_call_during_the_end_is_answered_or_refused_but_never_neither(make: Make) -> None:
    for _ in range(20):
        recorder = make()
        assert recorder.wait_ready(60)
        results: list[tuple[bool, bool]] = []

        def ask(recorder: Recorder = recorder, results: list[tuple[bool, bool]] = results) -> None:
            for _ in range(5):
                ran: list[bool] = []
                answered = recorder.call(lambda ran=ran: ran.append(True), 60)  # type: ignore[misc]
                results.append((answered, bool(ran)))

        thread = threading.Thread(target=ask)
        thread.start()
        assert recorder.stop(60)
        thread.join(60)
        assert len(results) == 5
        assert all(ran for answered, ran in results if answered)


# -- what no journal holds --------------------------------------------------------------------------------------------


def test_a_full_queue_drops_the_newest_counts_and_says_it_once(make: Make, heard: list[str]) -> None:
    recorder = make(start=False, queue_size=10)
    for number in range(1, 26):
        recorder.offer(turn(number))
    assert recorder.dropped_events == 15
    recorder.start()
    assert read(recorder).total_iterations == 10
    assert recorder.health()["dropped_events"] == 15
    assert heard == ["ralph-otel: more than 10 events wait and no journal holds them; the newest are dropped"]
    recorder.offer(turn(99))
    assert read(recorder).total_iterations == 11


def test_what_comes_by_the_queue_is_checked_too(make: Make, heard: list[str]) -> None:
    recorder = make()
    recorder.offer({**turn(1), "duration": float("nan")})
    recorder.offer(turn(1))
    assert read(recorder).total_iterations == 1
    assert recorder.bad_lines == 1
    assert "iteration.finished: duration is missing" in heard[0]


# -- its end, and what it survives ------------------------------------------------------------------------------------


def test_what_was_written_before_the_end_is_recorded(make: Make, tmp_path: Path) -> None:
    ticks: list[LoopMetrics] = []
    recorder, journal = make(on_tick=ticks.append), Journal(tmp_path / "r.jsonl")
    recorder.follow(journal.path)
    for number in range(500):
        journal.append(turn(number))
    assert recorder.stop(60)
    assert recorder.metrics().total_iterations == 500
    assert [metrics.total_iterations for metrics in ticks] == [500]


def test_the_end_does_not_wait_longer_than_it_is_given(make: Make) -> None:
    recorder, begun, release = make(), threading.Event(), threading.Event()

    def block() -> None:
        begun.set()
        release.wait(100)

    blocker = threading.Thread(target=recorder.call, args=(block, 100))
    blocker.start()
    assert begun.wait(60)
    began = time.monotonic()
    assert not recorder.stop(0.2)
    assert time.monotonic() - began < 60
    release.set()
    blocker.join()


def test_a_tick_comes_in_every_interval(make: Make) -> None:
    ticks: list[float] = []
    began = time.monotonic()
    make(interval=0.05, on_tick=lambda metrics: ticks.append(time.monotonic()))
    until(lambda: len(ticks) >= 5)
    assert ticks[4] - began >= 5 * 0.05 - 0.001


def test_without_signals_there_are_still_numbers(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, heard: list[str]
) -> None:
    def broken(*arguments: object) -> None:
        raise ImportError("no module named opentelemetry")

    monkeypatch.setattr(pipeline_module, "Pipeline", broken)
    recorder = make()
    recorder.follow(Tape().iteration(1, 1).write(tmp_path / "r.jsonl"))
    assert read(recorder).total_iterations == 1
    assert recorder.wait_ready(0)
    assert recorder.health()["events"] == 3
    assert heard == ["ralph-otel: no metrics, traces or logs: ImportError: no module named opentelemetry"]


def test_a_signal_that_fails_costs_one_line_only(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, heard: list[str]
) -> None:
    record = pipeline_module.Pipeline.record

    def sometimes(self: Any, line: Line, *rest: Any) -> None:
        if line.get("iteration") == 2:
            raise ZeroDivisionError
        record(self, line, *rest)

    monkeypatch.setattr(pipeline_module.Pipeline, "record", sometimes)
    recorder = make()
    recorder.follow(Tape().iteration(1, 1).iteration(3, 2).iteration(5, 3).write(tmp_path / "r.jsonl"))
    assert read(recorder).total_iterations == 3
    assert len(heard) == 2
    assert heard[0].startswith("ralph-otel: recorder: iteration.started: ZeroDivisionError")


def test_a_subscriber_that_fails_does_not_end_the_recorder(make: Make, heard: list[str]) -> None:
    ticks: list[int] = []

    def fail(metrics: LoopMetrics) -> None:
        ticks.append(1)
        raise ZeroDivisionError

    recorder = make(interval=0.05, on_tick=fail)
    until(lambda: len(ticks) >= 3)
    assert read(recorder).total_iterations == 0
    assert len(heard) == 1


# -- counting from nothing --------------------------------------------------------------------------------------------


def test_a_reset_counts_from_nothing_and_shows_what_goes_on(make: Make, tmp_path: Path) -> None:
    recorder = make()
    tape = Tape().iteration(1, 1).add(3, "session.started", session="a").add(4, "iteration.started", iteration=2)
    journal = Journal(tape.write(tmp_path / "r.jsonl"))
    journal.append({"bad": "line"})
    recorder.follow(journal.path)
    assert read(recorder).total_iterations == 1
    assert recorder.call(recorder.reset, 60)
    assert read(recorder).total_iterations == 0
    assert read(recorder).session.active_sessions == 1
    assert recorder.health() == dict.fromkeys(recorder.health(), 0)
    assert shown_active(recorder) == {"active_runs": 1, "active_sessions": 1, "active_iterations": 1}
    journal.append({"v": 1, "type": "loop.stopped", "ts": tape.lines[-1]["ts"], "loop": "run-1", "reason": "completed"})
    assert recorder.barrier(60)
    assert shown_active(recorder) == {"active_runs": 0, "active_sessions": 0, "active_iterations": 0}


def shown_active(recorder: Recorder) -> dict[str, Any]:
    assert recorder.pipeline is not None
    data = recorder.pipeline.snapshot()
    found = {metric.name.rpartition(".")[2]: series_of(metric) for metric in metrics_of(data)} if data else {}
    return {name: sum(series.values()) for name, series in found.items() if name.startswith("active_")}
