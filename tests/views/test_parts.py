"""What was in a run's iterations."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ralph_otel.events import Line
from ralph_otel.journal import decode, encode
from ralph_otel.state import States
from ralph_otel.views import parts as module
from ralph_otel.views.history import History
from ralph_otel.views.live import FollowedJournal
from ralph_otel.views.parts import Parts
from support.strategies import valid_line
from support.tape import Tape, at

Told = tuple[str, str, float, float | None, str | None]


def told(tape: Tape) -> list[list[Told]]:
    """The parts of each iteration: kind, name, beginning and end in seconds of the tape, outcome."""
    history, parts = fold(tape)
    found = parts.of(history.rows)
    return [
        [
            (part.kind, part.name, seconds(part.start), None if part.end is None else seconds(part.end), part.outcome)
            for part in found[id(row)]
        ]
        for row in history.rows
    ]


def fold(tape: Tape) -> tuple[History, Parts]:
    """A tape's history and parts."""
    states, history, parts = States(), History(), Parts()
    for line in tape.lines:
        line = decode(encode(line))
        if states.apply(line) is not None:
            parts.record(line, history.record(line))
    return history, parts


def seconds(ts: int) -> float:
    return (ts - at(0)) / 1e9


def test_each_part_is_in_its_iteration_with_its_time() -> None:
    tape = Tape().add(1, "iteration.started", iteration=1).add(2, "agent.started", agent="claude")
    tape.add(5, "tool.called", tool="Bash", outcome="failure", duration=2.0).add(8, "agent.finished", agent="claude")
    tape.add(10, "tests.finished", passed=3, failed=1, duration=1.5)
    tape.add(11, "iteration.finished", iteration=1, outcome="success", duration=10.0)
    tape.add(11, "reboot.started", reason="redline").add(13, "reboot.finished", reason="redline")
    tape.add(14, "iteration.started", iteration=2).add(15, "tests.finished", passed=4, failed=0)
    assert told(tape) == [
        [
            ("agent", "claude", 2.0, 8.0, "success"),
            ("tool", "Bash", 3.0, 5.0, "failure"),
            ("tests", "", 8.5, 10.0, "failure"),
            ("reboot", "redline", 11.0, 13.0, None),
        ],
        [("tests", "", 15.0, 15.0, "success")],
    ]


def test_agents_that_are_at_work_at_once_are_told_apart_by_their_spans() -> None:
    tape = Tape().add(1, "iteration.started", iteration=1)
    tape.add(2, "agent.started", agent="claude", span="a" * 16).add(3, "agent.started", agent="claude", span="b" * 16)
    tape.add(5, "agent.finished", agent="claude", span="a" * 16, exit_code=1)
    assert told(tape) == [[("agent", "claude", 2.0, 5.0, "failure"), ("agent", "claude", 3.0, None, None)]]


def test_an_agent_that_is_only_known_to_have_ended_began_as_long_ago_as_it_says() -> None:
    tape = Tape().add(1, "iteration.started", iteration=1).add(9, "agent.finished", agent="codex", duration=4.0)
    assert told(tape) == [[("agent", "codex", 5.0, 9.0, "success")]]


def test_what_is_open_ends_with_the_loop() -> None:
    tape = Tape().add(1, "iteration.started", iteration=1).add(2, "agent.started", agent="claude")
    assert told(tape) == [[("agent", "claude", 2.0, None, None)]]
    assert told(tape.add(7, "loop.stopped", reason="crashed")) == [[("agent", "claude", 2.0, 7.0, None)]]


def test_what_comes_before_any_iteration_belongs_to_none() -> None:
    assert told(Tape().add(1, "tests.finished", passed=1, failed=0).iteration(2, 1)) == [[]]


def test_an_iteration_that_has_the_number_of_an_earlier_one_has_its_own_parts() -> None:
    tape = Tape().add(1, "iteration.started", iteration=1).add(2, "tool.called", tool="Read", outcome="success")
    tape.add(3, "iteration.finished", iteration=1, outcome="success", duration=2.0)
    tape.add(4, "iteration.started", iteration=1).add(5, "tool.called", tool="Edit", outcome="success")
    assert [[part[1] for part in parts] for parts in told(tape)] == [["Read"], ["Edit"]]


def test_only_the_newest_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PARTS", 5)
    tape = Tape().add(1, "iteration.started", iteration=1)
    for number in range(12):
        tape.add(2 + number, "tool.called", tool=f"tool-{number}", outcome="success")
    history, parts = fold(tape)
    kept = parts.of(history.rows)[id(history.rows[0])]
    assert [part.name for part in kept] == [f"tool-{number}" for number in range(7, 12)]
    assert parts.forgotten == 7


@given(st.lists(valid_line(), max_size=60))
def test_no_part_ends_before_it_begins(tape: list[Line]) -> None:
    states, history, parts = States(), History(), Parts()
    for line in tape:
        if states.apply(line) is not None:
            parts.record(line, history.record(line))
    for row in parts.of(history.rows).values():
        assert all(part.end is None or part.end >= part.start >= 0 for part in row)


def test_a_journal_keeps_them_only_where_they_are_wanted(tmp_path: Path) -> None:
    path = Tape().iteration(1, 1).write(tmp_path / "run-1.jsonl")
    for wanted in (False, True):
        journal = FollowedJournal(path, wanted)
        journal.read()
        (run,) = journal.runs.values()
        assert (run.parts is not None) is wanted
