"""Every journal of a home folder followed and folded."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from ralph_otel.journal import Follower, encode
from ralph_otel.recorder.recovery import recover
from ralph_otel.views import live
from ralph_otel.views.live import Live
from ralph_otel.views.live_run import DEAD, NO_END, PAUSED, RUNNING, STOPPED, LiveRun
from support.tape import Tape
from support.waiting import until
from support.watched import ago, loop_process


def write(home: Path, tape: Tape, age: float = 0.0) -> Path:
    """A journal that was written last so many seconds ago."""
    path = tape.write(home / "runs" / f"{tape.run}.jsonl")
    os.utime(path, (time.time() - age, time.time() - age))
    return path


def append(path: Path, tape: Tape) -> None:
    """Add lines to a journal."""
    with path.open("ab") as file:
        file.write(b"".join(encode(line) + b"\n" for line in tape.lines))


def ended(run: str) -> Tape:
    """A run that has ended."""
    return Tape(run=run).iteration(1, 1).add(5, "loop.stopped", reason="completed")


def only(watch: Live) -> LiveRun:
    """The one run there is."""
    (run,) = watch.runs
    return run


def status(watch: Live) -> str:
    """How the one run stands now."""
    watch.poll()
    return only(watch).status(time.time_ns())


def test_without_a_folder_there_are_no_runs_until_there_are_some(home: Path) -> None:
    watch = Live(home)
    assert watch.poll()
    assert watch.runs == []
    write(home, ended("r"))
    watch.poll()
    assert [run.key for run in watch.runs] == ["r"]


def test_what_is_appended_is_folded_into_what_is_known(home: Path) -> None:
    path = write(home, ago(Tape(run="r").add(1, "iteration.started", iteration=1), 60))
    watch = Live(home)
    watch.poll()
    run = only(watch)
    assert run.state.open_iterations.keys() == {1}
    version = run.version
    append(path, ago(Tape("", run="r").add(4, "iteration.finished", iteration=1, outcome="failure", duration=3.0), 60))
    watch.poll()
    assert only(watch) is run
    assert run.version == version + 1
    assert run.state.failed_iterations == 1
    assert [row.outcome for row in run.history.rows] == ["failure"]


def test_journals_that_have_not_changed_are_not_read(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(10):
        write(home, ended(f"r{number}"))
    watch = Live(home)
    watch.poll()
    reads = list[Path]()
    read = Follower.read

    def counted(self: Follower, limit: int) -> list[bytes]:
        reads.append(self.path)
        return read(self, limit)

    monkeypatch.setattr(Follower, "read", counted)
    watch.poll()
    assert reads == []
    append(home / "runs" / "r3.jsonl", Tape("", run="r3").add(9, "error.raised", error_type="Late"))
    watch.poll()
    assert {path.stem for path in reads} == {"r3"}


def test_of_the_runs_that_have_ended_only_the_last_are_read(home: Path) -> None:
    for number in range(20):
        write(home, ended(f"r{number:02}"), age=1000 - number)
    watch = Live(home, keep=3)
    watch.poll()
    assert [run.key for run in watch.runs] == ["r19", "r18", "r17"]


def test_an_old_run_that_has_no_end_is_among_them(home: Path) -> None:
    write(home, Tape(run="a-long-one"), age=5000)
    write(home, Tape(run="forgotten"), age=30 * 86_400)
    resumed = ended("resumed").add(9, "loop.started", name="again")
    write(home, resumed, age=4000)
    for number in range(5):
        write(home, ended(f"r{number}"), age=100 - number)
    watch = Live(home, keep=2)
    watch.poll()
    assert [run.key for run in watch.runs] == ["r4", "r3", "resumed", "a-long-one"]


def test_a_run_that_goes_on_or_begins_meanwhile_is_noticed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_SCAN", 0.0)
    old = write(home, ended("old"), age=900)
    write(home, ended("newer"), age=500)
    watch = Live(home, keep=1)
    watch.poll()
    assert [run.key for run in watch.runs] == ["newer"]
    append(old, Tape("", run="old").add(50, "loop.started", name="again"))
    write(home, Tape(run="new"))
    until(lambda: watch.poll() and {run.key for run in watch.runs} >= {"old", "new"})


def test_a_journal_that_is_removed_is_forgotten(home: Path) -> None:
    path = write(home, ended("r"))
    watch = Live(home)
    watch.poll()
    path.unlink()
    watch.poll()
    assert watch.runs == []


def test_a_journal_that_is_replaced_is_read_from_its_start(home: Path) -> None:
    path = write(home, Tape("first", "r").iteration(1, 1).iteration(3, 2))
    watch = Live(home)
    watch.poll()
    fresh = Tape("second", "r").iteration(1, 1).iteration(3, 2).iteration(5, 3).write(home / "fresh")
    fresh.replace(path)
    watch.poll()
    assert (only(watch).state.name, only(watch).state.total_iterations) == ("second", 3)
    os.truncate(path, 0)
    append(path, Tape("third", "r"))
    watch.poll()
    assert (only(watch).state.name, only(watch).state.total_iterations) == ("third", 0)


def test_bad_and_torn_lines_are_left_out(home: Path) -> None:
    path = write(home, Tape(run="r").iteration(1, 1))
    with path.open("ab") as file:
        file.write(b'no line\n{"v": 1}\n\n' + encode(Tape("", run="r").iteration(3, 2).lines[-1])[:-5])
    watch = Live(home)
    watch.poll()
    assert only(watch).state.total_iterations == 1
    assert watch.errors == {}


def test_a_file_of_two_runs_has_two_runs(home: Path) -> None:
    path = write(home, Tape("a", "one").iteration(1, 1))
    append(path, Tape("b", "two"))
    watch = Live(home)
    watch.poll()
    assert [(run.key, run.state.name) for run in watch.runs] == [("one", "a"), ("one/two", "b")]


def test_a_journal_that_cannot_be_read_is_named(home: Path, tmp_path: Path) -> None:
    watch = Live(home, only=tmp_path)
    assert watch.poll()
    assert watch.errors == {tmp_path: "Is a directory"}
    assert watch.runs == []


def test_a_look_takes_no_longer_than_it_may(home: Path) -> None:
    tape = Tape(run="r")
    for number in range(3000):
        tape.iteration(number, number + 1)
    write(home, tape)
    watch = Live(home)
    assert not watch.poll(0.0)
    assert 0 < only(watch).state.total_iterations < 3000
    until(lambda: watch.poll(0.0))
    assert only(watch).state.total_iterations == 3000


def test_a_loop_that_is_killed_is_dead_at_once_and_nobody_writes_to_its_journal(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "_CHECK", 0.0)
    watch = Live(home)
    with loop_process(home / "runs" / "r.jsonl") as loop:
        loop.add("iteration.started", iteration=1)
        assert status(watch) == RUNNING
        loop.add("loop.paused")
        assert status(watch) == PAUSED
        version = only(watch).version
        content = loop.journal.read_bytes()
        loop.kill()
    until(lambda: status(watch) == DEAD)
    assert only(watch).version > version
    assert loop.journal.read_bytes() == content
    assert Live(home, keep=0).poll()


def test_a_dead_run_whose_end_is_written_has_crashed(home: Path) -> None:
    with loop_process(home / "runs" / "r.jsonl") as loop:
        loop.add("iteration.started", iteration=1)
    watch = Live(home)
    assert status(watch) == DEAD
    os.utime(loop.journal, (time.time() - 60, time.time() - 60))
    assert recover(home) == ["r"]
    assert status(watch) == STOPPED
    assert only(watch).state.stop_reason == "crashed"


def test_a_run_that_says_nothing_for_a_day_and_names_no_process_has_no_end(home: Path) -> None:
    write(home, ago(Tape(run="r"), 23 * 3600))
    watch = Live(home)
    assert status(watch) == RUNNING
    run = only(watch)
    assert run.status(time.time_ns() + 3600 * 10**9) == NO_END
    assert not run.going(time.time_ns() + 3600 * 10**9)


def test_the_agents_at_work_and_the_last_tool_are_known(home: Path) -> None:
    tape = Tape(run="r").add(1, "iteration.started", iteration=1)
    tape.add(2, "agent.started", agent="claude", model="opus", pid=12, span="a" * 16)
    tape.add(3, "agent.started", agent="codex", span="b" * 16)
    tape.add(4, "tool.called", tool="Bash", outcome="success").add(5, "tool.called", tool="Edit", outcome="failure")
    path = write(home, ago(tape, 60))
    watch = Live(home)
    watch.poll()
    run = only(watch)
    assert [(agent.name, agent.model, agent.pid) for agent in run.agents.values()] == [
        ("claude", "opus", 12),
        ("codex", None, None),
    ]
    assert run.tool is not None
    assert run.tool[0] == "Edit"
    more = Tape("", run="r").add(6, "agent.finished", agent="claude", span="a" * 16)
    append(path, ago(more.add(7, "iteration.started", iteration=2), 60))
    watch.poll()
    assert [agent.name for agent in run.agents.values()] == ["codex"]
    assert only(watch).tool is None
    append(path, ago(Tape("", run="r").add(8, "loop.stopped", reason="error"), 60))
    watch.poll()
    assert run.agents == {}
