from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from watched import Journals, MemoryFolder, claude_result, iso, local

from ralph_otel.watch.ralph_claude_code import STOP_REASONS, RalphClaudeCode

METRICS = ".ralph/logs/metrics.jsonl"
STATUS = ".ralph/status.json"


def row(seconds: float, loop: int, duration: int = 10, success: bool = True) -> str:
    return (
        f'{{"timestamp":"{iso(seconds)}","loop":{loop},"duration":{duration},'
        f'"success":{str(success).lower()},"calls":1}}\n'
    )


def status(seconds: float, loop: int, word: str, reason: str = "", action: str = "executing") -> dict[str, Any]:
    return {
        "timestamp": iso(seconds), "loop_count": loop, "calls_made_this_hour": 3, "last_action": action,
        "status": word, "exit_reason": reason, "sandbox": {"provider": "none"},
    }  # fmt: skip


def analysis(seconds: float, loop: int, files: int) -> dict[str, Any]:
    said = {"has_progress": files > 0, "files_modified": files, "work_summary": "SECRET", "exit_signal": False}
    return {"loop_number": loop, "timestamp": iso(seconds), "output_file": "x.log", "analysis": said}


def breaker(seconds: float, loop: int, idle: int, same: int = 0) -> dict[str, Any]:
    return {
        "state": "CLOSED", "last_change": iso(seconds), "consecutive_no_progress": idle,
        "consecutive_same_error": same, "reason": "SECRET", "current_loop": loop,
    }  # fmt: skip


def output(seconds: float) -> str:
    return local(seconds, ".ralph/logs/claude_output_%Y-%m-%d_%H-%M-%S.log")


@pytest.fixture
def journals(tmp_path: Path) -> Journals:
    return Journals(tmp_path)


def test_an_iteration_arrives_as_it_is_written(journals: Journals) -> None:
    folder, format_ = MemoryFolder(), RalphClaudeCode()
    folder.put(STATUS, status(0, 1, "running"))
    journals.read(format_, folder)
    assert journals.types() == ["loop.started", "iteration.started", "agent.started"]
    assert journals.lines()[0]["name"] == "proj"
    folder.put(output(0), claude_result(cost=0.25))
    folder.put(".ralph/.response_analysis", analysis(9, 1, 3))
    folder.put(".ralph/.circuit_breaker_state", breaker(10, 1, 0))
    folder.add(METRICS, row(10, 1))
    folder.put(STATUS, status(10, 1, "success"))
    metrics = journals.read(format_, folder).metrics()
    assert (metrics.total_iterations, metrics.successful_iterations, metrics.avg_iteration_duration) == (1, 1, 10.0)
    assert (metrics.progress.files_changed, metrics.progress.iterations_with_progress) == (3, 1)
    assert metrics.rollups["all"].cost == pytest.approx(0.25)
    assert metrics.rollups["all"].tokens == 2430
    [usage] = journals.of_type("usage.measured")
    assert (usage["model"], usage["input_tokens"], usage["cache_read_tokens"]) == ("claude-x", 20, 2000)
    [agent] = journals.of_type("agent.finished")
    assert (agent["turns"], agent["conversation"]) == (3, "s-1")
    assert len(journals.of_type("iteration.started")) == 1
    assert "SECRET" not in journals.paths()[0].read_text()


def test_the_counters_of_the_circuit_breaker_arrive(journals: Journals) -> None:
    folder, format_ = MemoryFolder(), RalphClaudeCode()
    for number in (1, 2):
        folder.put(".ralph/.response_analysis", analysis(20 * number, number, 0))
        folder.put(".ralph/.circuit_breaker_state", breaker(20 * number, number, number, same=number))
        folder.add(METRICS, row(20 * number, number))
        journals.read(format_, folder)
    assert journals.metrics().progress.no_progress_streak == 2
    assert [(line["name"], line["value"]) for line in journals.of_type("gauge.set")][-2:] == [
        ("no_progress_streak", 2),
        ("same_error_streak", 2),
    ]


def test_what_is_left_of_an_earlier_iteration_says_nothing_of_the_next(journals: Journals) -> None:
    folder, format_ = MemoryFolder(), RalphClaudeCode()
    folder.put(".ralph/.response_analysis", analysis(9, 1, 3))
    folder.put(".ralph/.circuit_breaker_state", breaker(10, 1, 0))
    folder.add(METRICS, row(10, 1) + row(60, 2, success=False))
    journals.read(format_, folder)
    assert len(journals.of_type("progress.measured")) == 1
    assert len(journals.of_type("gauge.set")) == 2
    assert journals.metrics().failed_iterations == 1


def test_history_is_read_with_the_output_of_each_iteration(journals: Journals) -> None:
    folder = MemoryFolder({METRICS: row(10, 1) + row(40, 2) + row(80, 3)})
    for seconds, cost in ((0, 1.0), (30, 2.0), (70, 4.0)):
        folder.put(output(seconds), claude_result(cost=cost))
    folder.put(STATUS, status(81, 4, "completed", "plan_complete", "graceful_exit"))
    metrics = journals.read(RalphClaudeCode(), folder).metrics()
    assert metrics.total_iterations == 3
    assert [line["cost_usd"] for line in journals.of_type("usage.measured")] == [1.0, 2.0, 4.0]
    assert journals.reason() == "completed"
    assert journals.of_type("stop_condition.triggered")[0]["condition"] == "plan_complete"
    assert metrics.total_execution_time == pytest.approx(81.0)


def test_the_error_that_claude_names_is_the_iterations(journals: Journals) -> None:
    folder = MemoryFolder({METRICS: row(10, 1, success=False)})
    folder.put(output(0), claude_result(error=True))
    journals.read(RalphClaudeCode(), folder)
    [finished] = journals.of_type("iteration.finished")
    assert (finished["outcome"], finished["error_type"]) == ("failure", "error_during_execution")


@pytest.mark.parametrize(
    ("word", "said", "action", "reason"),
    [
        ("completed", "project_complete", "graceful_exit", "completed"),
        ("halted", "stagnation_detected", "circuit_breaker_open", "no_progress"),
        ("halted", "permission_denied", "permission_denied", "error"),
        ("stopped", "", "interrupted", "user_signal"),
        ("stopped", "e2b_cost_limit", "cost_limit", "max_cost"),
        ("stopped", "something_new", "x", "error"),
    ],
)
def test_the_end_has_a_reason(word: str, said: str, action: str, reason: str, journals: Journals) -> None:
    folder, format_ = MemoryFolder({METRICS: row(10, 1)}), RalphClaudeCode()
    journals.read(format_, folder)
    folder.put(STATUS, status(12, 1, word, said, action))
    journals.read(format_, folder).read(format_, folder)
    assert journals.reason() == reason
    assert reason in {*STOP_REASONS.values(), "error"}


def test_a_wait_for_the_usage_limit_does_not_count(journals: Journals) -> None:
    folder, format_ = MemoryFolder({STATUS: json.dumps(status(0, 1, "running"))}), RalphClaudeCode()
    journals.read(format_, folder)
    folder.add(METRICS, row(10, 1, success=False))
    folder.put(STATUS, status(10, 1, "paused", action="api_limit"))
    journals.read(format_, folder)
    folder.put(STATUS, status(3610, 2, "running"))
    journals.read(format_, folder)
    folder.add(METRICS, row(3620, 2))
    folder.put(STATUS, status(3621, 3, "completed", "plan_complete"))
    journals.read(format_, folder)
    assert journals.metrics().total_execution_time == pytest.approx(21.0)


def test_numbers_that_begin_anew_are_another_run_and_the_history_says_how_the_first_ended(journals: Journals) -> None:
    folder = MemoryFolder({METRICS: row(10, 1) + row(30, 2) + row(500, 1) + row(1000, 1) + row(1020, 2)})
    ends = [
        {"timestamp": iso(5), "from_state": "a", "to_state": "reset", "reason": "api_error_is_error_true"},
        {"timestamp": iso(31), "from_state": "active", "to_state": "reset", "reason": "circuit_breaker_trip"},
    ]
    folder.put(".ralph/.ralph_session_history", json.dumps(ends))
    folder.put(STATUS, status(1030, 3, "completed", "plan_complete"))
    journals.read(RalphClaudeCode(), folder)
    assert [journals.metrics(run).total_iterations for run in range(3)] == [2, 1, 2]
    assert [journals.reason(run) for run in range(3)] == ["no_progress", "crashed", "completed"]


def test_a_loop_that_starts_while_it_is_watched_is_a_run_of_its_own_at_once(journals: Journals) -> None:
    folder, format_ = MemoryFolder({METRICS: row(10, 1)}), RalphClaudeCode()
    folder.put(STATUS, status(11, 2, "completed", "plan_complete"))
    journals.read(format_, folder)
    folder.put(STATUS, status(100, 1, "running"))
    journals.read(format_, folder)
    assert journals.types(1) == ["loop.started", "iteration.started", "agent.started"]
    folder.add(METRICS, row(111, 1, duration=10))
    journals.read(format_, folder)
    assert [journals.metrics(run).total_iterations for run in (0, 1)] == [1, 1]


def test_a_file_that_is_replaced_by_an_older_copy_counts_nothing_twice(journals: Journals) -> None:
    folder, format_ = MemoryFolder({METRICS: row(10, 1) + row(30, 2) + row(50, 3)}), RalphClaudeCode()
    journals.read(format_, folder)
    folder.put(METRICS, row(30, 2))
    journals.read(format_, folder)
    folder.add(METRICS, row(50, 3) + row(70, 4))
    journals.read(format_, folder)
    assert len(journals.paths()) == 1
    assert journals.metrics().total_iterations == 4


def test_bad_rows_are_counted(journals: Journals) -> None:
    rows = row(10, 1) + '{"timestamp":"x"}\n{"timestamp":"' + iso(20) + '","loop":0,"duration":1}\n[]\n' + row(30, 2)
    format_ = RalphClaudeCode()
    journals.read(format_, MemoryFolder({METRICS: rows}))
    assert format_.bad == 3
    assert journals.metrics().total_iterations == 2


def test_a_half_written_status_is_read_when_it_is_whole(journals: Journals) -> None:
    folder, format_ = MemoryFolder({METRICS: row(10, 1)}), RalphClaudeCode()
    whole = json.dumps(status(12, 1, "completed", "plan_complete"))
    folder.put(STATUS, whole[:40])
    assert journals.read(format_, folder).reason() is None
    folder.put(STATUS, whole)
    assert journals.read(format_, folder).reason() == "completed"
    assert format_.bad == 0


def test_it_is_found_by_its_files() -> None:
    assert RalphClaudeCode.here(MemoryFolder({METRICS: ""}))
    assert RalphClaudeCode.here(MemoryFolder({STATUS: json.dumps(status(0, 1, "running"))}))
    assert not RalphClaudeCode.here(MemoryFolder({STATUS: '{"other": 1}'}))
