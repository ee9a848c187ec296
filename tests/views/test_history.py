"""A run's iterations as rows, and what adds up by name."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ralph_otel.events import Line
from ralph_otel.journal import decode, encode
from ralph_otel.state import RunState, States
from ralph_otel.views import history
from ralph_otel.views.history import OTHERS, History, read
from ralph_otel.views.records import Calls, Iteration, ModelUsage, Tests
from support.strategies import valid_line
from support.tape import Tape, at

A, B, A_AGENT = "00000000000000aa", "00000000000000bb", "0000000000000aa1"


def history_of(lines: list[Line]) -> History:
    """The history of lines, which go through bytes and a state as they do when a journal is read."""
    states, made = States(), History()
    for line in lines:
        checked = decode(encode(line))
        state = states.apply(checked)
        if state is not None:
            made.record(checked, state)
    return made


def row(tape: Tape, number: int = 1) -> Iteration:
    """The row of an iteration."""
    (found,) = [row for row in history_of(tape.lines).rows if row.number == number]
    return found


def test_a_row_holds_what_happened_in_its_iteration() -> None:
    tape = Tape().add(1, "iteration.started", iteration=1)
    tape.add(2, "context.measured", percent=40).add(3, "context.measured", percent=30.5)
    tape.add(3, "tool.called", tool="Bash", outcome="failure").add(3, "tool.called", tool="Read", outcome="success")
    tape.add(4, "usage.measured", input_tokens=1, output_tokens=2, cache_read_tokens=3, cost_usd=0.5)
    tape.add(4, "usage.measured", cache_creation_tokens=4, cost_usd=0.25).add(4, "error.raised", error_type="E")
    tape.add(5, "tests.finished", passed=1, failed=2).add(6, "tests.finished", passed=3, failed=0, total=5)
    tape.add(7, "progress.measured", score=0.05, files_changed=2).add(
        8, "progress.measured", score=0.5, files_changed=1
    )
    tape.add(9, "reboot.started", reason="redline")
    tape.add(10, "iteration.finished", iteration=1, outcome="timeout", duration=9.0, error_type="T", exit_code=-9)
    assert row(tape) == Iteration(
        number=1, started=at(1), ended=at(10), outcome="timeout", duration=9.0, error_type="T", exit_code=-9,
        tests=Tests(3, 0, 2, 5), context=40, score=0.5, progress=True, cost=0.75, tokens=10, files=3, tools=2,
        reboots=1, errors=1,
    )  # fmt: skip


def test_what_was_not_said_is_none() -> None:
    found = row(Tape().iteration(1, 1))
    assert (found.tests, found.context, found.score, found.progress, found.error_type) == (None,) * 5
    assert (found.cost, found.tokens, found.tools) == (0, 0, 0)


def test_of_two_iterations_at_once_each_gets_what_is_in_its_own_spans() -> None:
    tape = Tape().add(1, "iteration.started", iteration=1, span=A)
    tape.add(1, "agent.started", agent="claude", span=A_AGENT, parent_span_id=A)
    tape.add(2, "iteration.started", iteration=2, span=B)
    tape.add(3, "usage.measured", cost_usd=1.0, span=A_AGENT)
    tape.add(3, "tool.called", tool="Bash", outcome="success", span="00000000000000ff", parent_span_id=A_AGENT)
    tape.add(4, "usage.measured", cost_usd=2.0, span=B)
    tape.add(5, "usage.measured", cost_usd=4.0)  # by no span: the newest open one's
    assert (row(tape, 1).cost, row(tape, 1).tools) == (1.0, 1)
    assert (row(tape, 2).cost, row(tape, 2).tools) == (6.0, 0)


def test_what_comes_between_iterations_belongs_to_the_last_one() -> None:
    tape = Tape().iteration(1, 1).iteration(3, 2).add(5, "tests.finished", passed=1, failed=0)
    assert row(tape, 1).tests is None
    assert row(tape, 2).tests == Tests(1, 0, 0, 1)


def test_what_comes_late_finds_the_iteration_of_its_span() -> None:
    tape = Tape().add(1, "iteration.started", iteration=1, span=A).add(1, "iteration.started", iteration=2, span=B)
    for number in (2, 1):
        tape.add(2, "iteration.finished", iteration=number, outcome="success", duration=1)
    tape.add(3, "progress.measured", score=0.7, span=A)
    assert (row(tape, 1).score, row(tape, 2).score) == (0.7, None)


def test_what_comes_before_the_first_iteration_is_in_the_totals_only() -> None:
    tape = Tape().add(1, "tests.finished", passed=2, failed=8).add(1, "usage.measured", model="m", cost_usd=1.0)
    made = history_of(tape.iteration(2, 1).lines)
    assert (made.first_tests, made.test_runs, made.cost) == (Tests(2, 8, 0, 10), 1, 1.0)
    assert (made.rows[0].tests, made.rows[0].cost) == (None, 0)


def test_an_iteration_that_has_not_finished_has_no_outcome() -> None:
    tape = Tape().iteration(1, 1).add(3, "iteration.started", iteration=2).add(4, "loop.stopped", reason="crashed")
    assert [found.outcome for found in history_of(tape.lines).rows] == ["success", None]


def test_an_iteration_whose_start_is_not_in_the_journal_began_its_duration_earlier() -> None:
    tape = Tape().add(10, "iteration.finished", iteration=7, outcome="failure", duration=4.0)
    found = row(tape, 7)
    assert (found.started, found.ended, found.outcome) == (at(6), at(10), "failure")


def test_a_number_that_comes_again_is_another_row() -> None:
    made = history_of(Tape().iteration(1, 1, "failure").iteration(3, 1).lines)
    assert [(found.number, found.outcome) for found in made.rows] == [(1, "failure"), (1, "success")]


def test_the_newest_rows_are_kept_and_the_totals_are_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MAX_ROWS", 3)
    tape = Tape()
    for number in range(1, 8):
        tape.iteration(number, number, "failure" if number == 2 else "success").add(
            number, "usage.measured", cost_usd=1
        )
    made = history_of(tape.lines)
    assert [found.number for found in made.rows] == [5, 6, 7]
    assert (made.forgotten, made.outcomes, made.cost) == (4, {"success": 6, "failure": 1}, 7.0)


def test_names_beyond_the_most_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MAX_NAMES", 2)
    tape = Tape()
    for name in "abcda":
        tape.add(1, "tool.called", tool=name, outcome="success", duration=0.5)
        tape.add(1, "error.raised", error_type=name)
    made = history_of(tape.lines)
    assert {name: calls.calls for name, calls in made.tools.items()} == {"a": 2, "b": 1, OTHERS: 2}
    assert made.errors == {"a": 2, "b": 1, OTHERS: 2}


def test_tools_and_agents_add_up_by_name() -> None:
    tape = Tape().add(1, "tool.called", tool="Bash", outcome="success", duration=1.5)
    tape.add(2, "tool.called", tool="Bash", outcome="timeout", duration=2.0)
    tape.add(3, "agent.started", agent="claude", span=A_AGENT)
    tape.add(5, "agent.finished", agent="claude", exit_code=1, turns=4, span=A_AGENT)
    made = history_of(tape.lines)
    assert made.tools == {"Bash": Calls(2, 1, 3.5, 0)}
    assert made.agents == {"claude": Calls(1, 1, 2.0, 4)}


def test_tokens_and_cost_add_up_by_model_and_what_is_estimated_is_told_apart() -> None:
    tape = Tape().add(1, "usage.measured", model="m", input_tokens=1, cost_usd=1.0)
    tape.add(2, "usage.measured", model="m", output_tokens=2, cost_usd=0.5, cost_source="estimated")
    tape.add(3, "usage.measured", cache_read_tokens=7)
    made = history_of(tape.lines)
    assert made.models == {"m": ModelUsage(1, 2, 0, 0, 1.5, 0.5), "": ModelUsage(0, 0, 7, 0, 0.0, 0.0)}
    assert made.models["m"].tokens == 3


def test_a_reboot_knows_its_iteration_and_how_long_it_took() -> None:
    tape = Tape().iteration(1, 1).add(3, "reboot.started", reason="redline", context_percent=88)
    tape.add(5, "reboot.finished", reason="redline").add(6, "reboot.started", reason="manual")
    first, second = history_of(tape.lines).reboots
    assert (first.ts, first.reason, first.iteration, first.context_percent, first.duration) == (
        at(3), "redline", 1, 88, 2.0,
    )  # fmt: skip
    assert (second.reason, second.duration) == ("manual", None)


def test_failing_tests_are_those_of_the_last_run_that_named_its_tests() -> None:
    tape = Tape().add(1, "tests.finished", passed=0, failed=2, results={"a": False, "b": False})
    tape.add(2, "tests.finished", passed=1, failed=1, results={"a": True, "b": False})
    made = history_of(tape.add(3, "tests.finished", passed=2, failed=0).lines)
    assert made.failing == ["b"]
    assert made.test_failures == {"a": 1, "b": 2}


def test_of_several_runs_in_a_file_the_last_ones_history_is_read(tmp_path: Path) -> None:
    first, second = Tape("one", "run-1").iteration(1, 1).iteration(3, 2), Tape("two", "run-2").iteration(1, 9)
    mixed = Tape("")
    mixed.lines = [*first.lines[:3], *second.lines, *first.lines[3:]]
    folded, made = read(mixed.write(tmp_path / "mixed.jsonl"))
    assert (folded.run.name, made.run_id) == ("two", "run-2")
    assert [found.number for found in made.rows] == [9]


def test_a_file_without_a_line_has_an_empty_history(tmp_path: Path) -> None:
    path = tmp_path / "empty.jsonl"
    path.write_bytes(b"no line\n")
    folded, made = read(path)
    assert (folded.bad_lines, len(made.rows), made.cost) == (1, 0, 0)


@given(st.lists(valid_line(), max_size=40))
def test_for_any_lines_the_history_says_what_the_state_says(lines: list[Line]) -> None:
    state, made = RunState("run-1"), History("run-1")
    for line in lines:
        if state.apply(line):
            made.record(line, state)
    metrics = state.metrics()
    assert made.outcomes.total() == metrics.total_iterations
    assert made.outcomes["success"] == metrics.successful_iterations
    assert made.reboot_reasons.total() == metrics.total_reboots
    assert made.cost == pytest.approx(metrics.rollups["all"].cost)
    assert sum(usage.tokens for usage in made.models.values()) == metrics.rollups["all"].tokens
    assert sum(found.outcome is not None for found in made.rows) == metrics.total_iterations
    assert len(made.rows) >= metrics.total_iterations
