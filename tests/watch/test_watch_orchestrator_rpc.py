from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from watched import Journals

from ralph_otel.watch.orchestrator_rpc import OrchestratorRpc
from ralph_otel.watch.source import Batch
from support.tape import T0, at

MS = T0 // 10**6
LOOP = {
    "type": "loop_started",
    "prompt": "SECRET",
    "max_iterations": 5,
    "backend": "claude",
    "workspace_root": "/home/me/proj",
    "started_at": MS,
}
TERMINATE = {"type": "orchestration_event", "topic": "loop.terminate", "payload": "## Reason\ncompleted\n\n## Status\n"}


def begin(number: int, seconds: float) -> dict[str, Any]:
    return {
        "type": "iteration_start",
        "iteration": number,
        "backend": "claude",
        "started_at": MS + round(seconds * 1000),
    }


def ends(number: int, duration: float, cost: float = 0.05) -> list[dict[str, Any]]:
    """As the program says it: first the agent's reader, then the loop."""
    known = {
        "type": "iteration_end", "iteration": number, "cost_usd": cost, "input_tokens": 1210, "output_tokens": 10,
        "cache_read_tokens": 1000, "cache_write_tokens": 200, "context_window": 200000, "context_tokens": 1210,
    }  # fmt: skip
    return [{**known, "duration_ms": 100}, {**known, "duration_ms": round(duration * 1000)}]


def feed(lines: Iterable[dict[str, Any]], close: bool = True) -> list[Batch]:
    rpc = OrchestratorRpc()
    batches = [batch for number, line in enumerate(lines) for batch in rpc.feed(line, at(number))]
    return [*batches, *(rpc.close(at(1000)) if close else ())]


@pytest.fixture
def journals(tmp_path: Path) -> Journals:
    return Journals(tmp_path)


def test_a_loop_arrives_with_its_agent_tools_and_limit(journals: Journals) -> None:
    tool = [
        {
            "type": "tool_call_start",
            "iteration": 1,
            "tool_name": "Bash",
            "tool_call_id": "t1",
            "input": {"c": "SECRET"},
        },
        {"type": "text_delta", "iteration": 1, "delta": "SECRET"},
        {"type": "tool_call_end", "iteration": 1, "tool_call_id": "t1", "output": "SECRET", "duration_ms": 308},
    ]
    journals.take(feed([LOOP, begin(1, 1), *tool, *ends(1, 4), begin(2, 6), *ends(2, 3), TERMINATE]))
    [started] = journals.of_type("loop.started")
    assert (started["name"], started["runner"], started["max_iterations"]) == ("proj", "ralph-orchestrator", 5)
    [called] = journals.of_type("tool.called")
    assert (called["tool"], called["outcome"], called["duration"]) == ("Bash", "success", 0.308)
    [agent, _] = journals.of_type("agent.started")
    assert agent["agent"] == "claude"
    assert called["parent_span_id"] == agent["span_id"]
    assert "SECRET" not in journals.paths()[0].read_text()


def test_an_iterations_end_that_comes_twice_counts_once_with_the_loops_own_figures(journals: Journals) -> None:
    metrics = journals.take(feed([LOOP, begin(1, 1), *ends(1, 4), begin(2, 6), *ends(2, 3), TERMINATE])).metrics()
    assert metrics.total_iterations == 2
    assert metrics.avg_iteration_duration == pytest.approx(3.5)
    assert metrics.rollups["all"].cost == pytest.approx(0.1)
    assert journals.of_type("iteration.finished")[0]["ts"] == at(5)
    assert journals.reason() == "completed"


def test_an_error_makes_its_iteration_fail_and_no_other(journals: Journals) -> None:
    error = {"type": "error", "iteration": 1, "code": "EXECUTION_ERROR", "message": "SECRET", "recoverable": True}
    journals.take(feed([LOOP, begin(1, 0), error, *ends(1, 1), begin(2, 2), *ends(2, 1), TERMINATE]))
    first, second = journals.of_type("iteration.finished")
    assert (first["outcome"], first["error_type"], second["outcome"]) == ("failure", "EXECUTION_ERROR", "success")
    assert journals.of_type("error.raised")[0]["error_type"] == "EXECUTION_ERROR"
    assert "SECRET" not in journals.paths()[0].read_text()


def test_the_end_is_told_once_though_two_lines_say_it(journals: Journals) -> None:
    terminated = {
        "type": "loop_terminated",
        "reason": "max_iterations",
        "total_iterations": 1,
        "terminated_at": MS + 9000,
    }
    journals.take(feed([LOOP, begin(1, 0), *ends(1, 1), TERMINATE, terminated]))
    assert len(journals.of_type("loop.stopped")) == 1
    journals = Journals(journals.folder / "b").take(feed([LOOP, terminated]))
    assert journals.reason() == "max_iterations"
    assert journals.lines()[-1]["ts"] == at(9)


def test_a_stream_that_breaks_off_is_a_loop_that_was_killed(journals: Journals) -> None:
    journals.take(feed([LOOP, begin(1, 0), *ends(1, 1), begin(2, 2)]))
    assert journals.reason() == "crashed"
    assert journals.metrics().total_iterations == 1


def test_an_iteration_is_open_while_it_goes_on(journals: Journals) -> None:
    journals.take(feed([LOOP, begin(1, 1)], close=False))
    assert journals.types() == ["loop.started", "session.started", "iteration.started", "agent.started"]


def test_several_loops_in_one_stream_are_several_runs(journals: Journals) -> None:
    again = {**LOOP, "started_at": MS + 60_000}
    journals.take(feed([LOOP, begin(1, 0), *ends(1, 1), TERMINATE, again, begin(1, 61), *ends(1, 2), TERMINATE]))
    assert [journals.metrics(run).total_iterations for run in (0, 1)] == [1, 1]


def test_a_loop_that_begins_before_the_last_has_said_its_end_is_another(journals: Journals) -> None:
    again = {**LOOP, "started_at": MS + 60_000}
    journals.take(feed([LOOP, begin(1, 0), again, begin(1, 61), *ends(1, 2), TERMINATE]))
    assert [journals.reason(run) for run in (0, 1)] == ["crashed", "completed"]


@pytest.mark.parametrize(
    "line",
    [
        {},
        {"type": None},
        {"type": ["loop_started"]},
        {"type": "iteration_start", "iteration": "1"},
        {"type": "iteration_end"},
        {"type": "tool_call_start", "tool_call_id": 7, "tool_name": []},
        {"type": "tool_call_end", "tool_call_id": {}},
        {"type": "error"},
        {"type": "orchestration_event", "topic": "loop.terminate", "payload": None},
        {"type": "loop_terminated", "reason": 7, "terminated_at": -1},
    ],
)
def test_a_line_of_another_shape_costs_nothing_else(line: dict[str, Any], journals: Journals) -> None:
    journals.take(feed([line, LOOP, begin(1, 0), *ends(1, 1), line, line]))
    assert journals.metrics().total_iterations == 1
