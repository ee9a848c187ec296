"""Each event once, whatever is read again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_watch_orchestrator import EVENTS, end, start, summary
from watched import Journals, MemoryFolder, iso

from ralph_otel.events import LoopStarted, LoopStopped
from ralph_otel.journal import Journal
from ralph_otel.recorder.recovery import end as end_dead
from ralph_otel.runs import fold
from ralph_otel.watch.orchestrator import Orchestrator
from ralph_otel.watch.scribe import Scribe
from ralph_otel.watch.source import Batch, End, Seen, Turn, record
from support.tape import at, lines_of

ALL = start() + summary(5, 1) + summary(9, 2) + summary(15, 3) + end(16)


def whole(folder: Path) -> bytes:
    """The journal of a source that is read at one go."""
    Journals(folder).read(Orchestrator(), MemoryFolder({EVENTS: ALL}))
    [path] = folder.glob("*.jsonl")
    return path.read_bytes()


def test_reading_again_after_a_restart_writes_nothing(tmp_path: Path) -> None:
    before = whole(tmp_path)
    assert whole(tmp_path) == before


def test_a_journal_that_lacks_the_end_of_its_last_line_alone_is_made_whole(tmp_path: Path) -> None:
    before = whole(tmp_path)
    [path] = tmp_path.glob("*.jsonl")
    for lines in range(1, before.count(b"\n") + 1):
        path.write_bytes(b"\n".join(before.split(b"\n")[:lines]))
        Journals(tmp_path).read(Orchestrator(), MemoryFolder({EVENTS: ALL}))
        known = [record(raw) for raw in path.read_bytes().splitlines()]
        keys = [line["source"]["key"] for line in known if line is not None]
        assert len(keys) == len(set(keys)) == before.count(b"\n")


@settings(max_examples=60, deadline=None)
@given(cut=st.floats(0, 1))
def test_a_journal_that_breaks_off_anywhere_is_made_whole(cut: float, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("cut")
    before = whole(folder)
    [path] = folder.glob("*.jsonl")
    path.write_bytes(before[: round(cut * len(before))])
    Journals(folder).read(Orchestrator(), MemoryFolder({EVENTS: ALL}))
    known = [record(raw) for raw in path.read_bytes().splitlines()]
    keys = [line["source"]["key"] for line in known if line is not None]
    assert sorted(keys) == sorted(line["source"]["key"] for line in map(record, before.splitlines()) if line)
    state = fold(path).run
    assert (state.total_iterations, state.stop_reason, state.run_id) == (3, "completed", path.stem)


@settings(max_examples=40, deadline=None)
@given(cuts=st.lists(st.integers(0, len(ALL)), min_size=1, max_size=4))
def test_restarts_while_the_source_grows_neither_lose_nor_double(
    cuts: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("grow")
    for cut in [*sorted(cuts), len(ALL)]:
        Journals(folder).read(Orchestrator(), MemoryFolder({EVENTS: ALL[:cut]}))
    [path] = folder.glob("*.jsonl")
    state = fold(path).run
    assert (state.total_iterations, state.sessions_created, state.stop_reason) == (3, 3, "completed")


def test_a_source_has_journals_of_its_own(tmp_path: Path) -> None:
    for source in ("one", "two"):
        Scribe(tmp_path, source).write(Batch("r", "m", [Seen(at(0), LoopStarted("x"), "started")]))
    assert len(list(tmp_path.glob("*.jsonl"))) == 2


def test_two_runs_that_begin_in_the_same_second_are_two(tmp_path: Path) -> None:
    journals = Journals(tmp_path).take(
        Batch(name, name, [Seen(at(0), LoopStarted(name), "started")]) for name in ("a", "b")
    )
    assert len(journals.paths()) == 2


def test_a_run_whose_end_was_written_for_it_goes_on_when_there_is_more(tmp_path: Path) -> None:
    journals, folder = Journals(tmp_path), MemoryFolder({EVENTS: start() + summary(5, 1)})
    folder.put(".ralph/loop.lock", {"pid": 2**22 + 5, "started": iso(0)})
    journals.read(Orchestrator(), folder)
    journals.scribe.close()
    assert end_dead(journals.paths()[0]), "its process is gone"
    assert journals.reason() == "crashed"
    folder.add(EVENTS, summary(9, 2) + end(10))
    again = Journals(tmp_path).read(Orchestrator(), MemoryFolder({EVENTS: folder.files[EVENTS].decode()}))
    assert len(again.paths()) == 1
    assert again.reason() == "completed"
    assert again.metrics().total_iterations == 2


def test_a_loop_whose_process_is_gone_is_ended(tmp_path: Path) -> None:
    journals, folder = Journals(tmp_path), MemoryFolder({EVENTS: start() + summary(5, 1)})
    folder.put(".ralph/loop.lock", {"pid": 2**22 + 5, "started": iso(0)})
    journals.read(Orchestrator(), folder)
    assert [run.run_id for run in journals.scribe.settle(at(6), 1e9)] == [journals.paths()[0].stem]
    assert journals.reason() == "crashed"
    assert journals.lines()[-1]["ts"] == at(5)
    assert list(journals.scribe.settle(at(7), 1e9)) == []


def test_a_loop_whose_process_lives_is_not(tmp_path: Path) -> None:
    journals, folder = Journals(tmp_path), MemoryFolder({EVENTS: start() + summary(5, 1)})
    journals.take([Batch("r", "m", [Seen(folder.now, LoopStarted("x"), "started")], os.getppid())])
    journals.scribe.runs[journals.paths()[0].stem].state.started = None  # whenever it was started
    assert list(journals.scribe.settle(at(1e8), 0)) == []


def test_a_loop_without_a_process_is_ended_by_its_silence(tmp_path: Path) -> None:
    journals = Journals(tmp_path).read(Orchestrator(), MemoryFolder({EVENTS: start() + summary(5, 1)}))
    assert list(journals.scribe.settle(at(60), 100)) == []
    assert len(list(journals.scribe.settle(at(106), 100))) == 1


def test_while_a_journal_is_written_nobody_else_ends_its_loop(tmp_path: Path) -> None:
    journals, folder = Journals(tmp_path), MemoryFolder({EVENTS: start() + summary(5, 1)})
    folder.put(".ralph/loop.lock", {"pid": 2**22 + 5, "started": iso(0)})
    journals.read(Orchestrator(), folder)
    assert not end_dead(journals.paths()[0])


def test_a_long_loop_goes_on_in_traces_that_follow_each_other(tmp_path: Path) -> None:
    rows = "".join(summary(5 * number, number) for number in range(1, 6))
    lines = Journals(tmp_path, trace_iterations=2).read(Orchestrator(), MemoryFolder({EVENTS: start() + rows})).lines()
    continued = [line for line in lines if line["type"] == "trace.continued"]
    assert [line["part"] for line in continued] == [2, 3]
    assert continued[1]["previous_trace_id"] == continued[0]["trace_id"]
    assert continued[1]["previous_span_id"] == continued[0]["span_id"]
    traces = [line["trace_id"] for line in lines if line["type"] == "iteration.finished"]
    assert [traces.index(trace) for trace in traces] == [0, 0, 2, 2, 4]
    assert whole(tmp_path / "again")


def test_spans_nest(tmp_path: Path) -> None:
    lines = Journals(tmp_path).read(Orchestrator(), MemoryFolder({EVENTS: start() + summary(5, 1)})).lines()
    span = {line["type"]: line for line in lines}
    loop, session = span["loop.started"]["span_id"], span["session.started"]
    assert session["parent_span_id"] == loop
    assert span["iteration.started"]["parent_span_id"] == session["span_id"]
    assert span["agent.started"]["parent_span_id"] == span["iteration.started"]["span_id"]
    assert span["usage.measured"]["span_id"] == span["agent.started"]["span_id"]
    for part in ("session.ended", "iteration.finished", "agent.finished"):
        begun = span[part.replace("ended", "started").replace("finished", "started")]
        assert (span[part]["span_id"], span[part]["parent_span_id"]) == (begun["span_id"], begun["parent_span_id"])


def test_a_full_disk_is_said_and_made_good_after_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, heard: list[str]
) -> None:
    journals = Journals(tmp_path)
    turn = list(Turn(1).finished(at(5), End("success", 5.0)))
    batch = Batch("r", "m1", [Seen(at(0), LoopStarted("x"), "started"), *turn])
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda fd, data: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        assert journals.scribe.write(batch) is None
    assert any("once there is room" in line for line in heard)
    assert Journals(tmp_path).take([batch]).metrics().total_iterations == 1


def test_an_impossible_event_is_left_out_and_said(tmp_path: Path, heard: list[str]) -> None:
    seen = [
        Seen(at(0), LoopStarted("x"), "a"),
        Seen(at(1), LoopStopped("bored"), "b"),
        Seen(at(2), LoopStopped("error"), "c"),
    ]
    journals = Journals(tmp_path).take([Batch("r", "m", seen)])
    assert journals.types() == ["loop.started", "loop.stopped"]
    assert any("reason must be one of" in line for line in heard)


def test_lines_of_somebody_else_in_the_folder_are_left_alone(tmp_path: Path) -> None:
    own = tmp_path / "20231114T221320Z-abcdef.jsonl"
    Journal(own).append({"v": 1, "type": "loop.started", "ts": at(0), "loop": own.stem, "name": "mine"})
    before = own.read_bytes()
    whole_run = Journals(tmp_path).read(Orchestrator(), MemoryFolder({EVENTS: ALL}))
    assert own.read_bytes() == before
    assert len(whole_run.paths()) == 2
    assert len(lines_of(own)) == 1
