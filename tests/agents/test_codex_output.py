"""What `codex exec --json` prints becomes loop events."""

from __future__ import annotations

from typing import Any

import pytest
from agent_outputs import Clock, lines, of_type, parser, read, read_all

from ralph_otel.agents import Totals
from ralph_otel.events import ToolCalled, UsageMeasured

THREAD = "019a1f2e-7c44-7d20-8f00-3c1f0e9b2a77"


def completed(**usage: int) -> dict[str, Any]:
    return {"type": "turn.completed", "usage": usage}


def item(kind: str, event: str = "item.completed", **fields: Any) -> dict[str, Any]:
    return {"type": event, "item": {"id": "item_1", "type": kind, **fields}}


def test_each_turn_gives_what_it_added_to_the_threads_total() -> None:
    events, watcher = read_all("codex.jsonl")
    assert of_type(events, UsageMeasured) == [
        UsageMeasured(None, 3315, 1222, 20448, 1000),
        UsageMeasured(None, 4500, 100, 25000, 500),
    ]
    assert (watcher.turns, watcher.conversation, watcher.model) == (2, THREAD, None)


def test_a_failed_attempt_is_forgotten_when_the_turn_completes() -> None:
    _, watcher = read_all("codex.jsonl")
    assert (watcher.is_error, watcher.error_type) == (False, None)


def test_items_that_are_tools_are_tool_calls() -> None:
    events, _ = read_all("codex.jsonl")
    assert [(call.tool, call.outcome, call.duration) for call in of_type(events, ToolCalled)] == [
        ("command_execution", "failure", 0.0),
        ("mcp__docs__search", "success", 0.0),
        ("file_change", "success", None),
        ("web_search", "success", None),
        ("command_execution", "cancelled", None),
    ]


def test_a_failed_turn_is_an_error_without_usage() -> None:
    events, watcher = read_all("codex_failed.jsonl")
    assert events == []
    assert (watcher.turns, watcher.is_error, watcher.error_type) == (1, True, "turn_failed")


def test_an_error_that_ends_the_stream_is_one() -> None:
    watcher = parser("codex")
    read(watcher, [lines({"type": "error", "message": "broken pipe"})])
    assert (watcher.is_error, watcher.error_type) == (True, "stream_error")


def test_tool_durations_are_the_time_from_start_to_completion() -> None:
    clock = Clock()
    watcher = parser("codex", clock)
    watcher.feed(lines(item("command_execution", "item.started")))
    clock.now += 2.5
    assert watcher.feed(lines(item("command_execution", status="completed", exit_code=0))) == [
        ToolCalled("command_execution", "success", 2.5)
    ]


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({"status": "completed", "exit_code": 0}, "success"),
        ({"status": "completed", "exit_code": 1}, "failure"),
        ({"status": "completed", "error": {"message": "no"}}, "failure"),
        ({"status": "failed", "exit_code": None}, "failure"),
        ({"status": "declined", "exit_code": -1}, "cancelled"),
        ({"status": "in_progress"}, "cancelled"),
        ({}, "success"),
        ({"exit_code": 127}, "failure"),
    ],
)
def test_the_outcome_comes_from_status_exit_code_and_error(fields: dict[str, Any], outcome: str) -> None:
    [event] = read(parser("codex"), [lines(item("command_execution", **fields))])
    assert event == ToolCalled("command_execution", outcome)


def test_only_tools_of_an_mcp_server_are_named_by_their_server() -> None:
    named = {"server": "docs", "tool": "search\x1b[2J" + "x" * 500, "status": "completed"}
    data = lines(item("mcp_tool_call", **named), item("collab_tool_call", **named), item("mcp_tool_call"))
    calls = read(parser("codex"), [data])
    assert [call.tool for call in of_type(calls, ToolCalled)] == [
        ("mcp__docs__search[2J" + "x" * 500)[:256],
        "collab_tool_call",
        "mcp_tool_call",
    ]


def test_an_unknown_status_or_item_is_not_guessed() -> None:
    data = lines(
        item("command_execution", status="postponed"), item("agent_message", text="x"), item("error", message="x")
    )
    assert read(parser("codex"), [data]) == []


def test_usage_of_single_turns_is_taken_as_it_is_where_it_shows() -> None:
    data = lines(completed(input_tokens=100, output_tokens=9), completed(input_tokens=40, output_tokens=10))
    assert read(parser("codex"), [data]) == [UsageMeasured(None, 100, 9), UsageMeasured(None, 40, 10)]


def test_a_turn_that_repeats_the_total_adds_nothing() -> None:
    data = lines(*[completed(input_tokens=100, cached_input_tokens=60, output_tokens=9)] * 3)
    assert read(parser("codex"), [data]) == [UsageMeasured(None, 40, 9, 60)]


def test_a_resumed_thread_goes_on_from_the_total_of_the_process_before() -> None:
    totals = Totals()
    started = {"type": "thread.started", "thread_id": "t1"}
    first = read(parser("codex", totals=totals), [lines(started, completed(input_tokens=100, output_tokens=9))])
    second = read(parser("codex", totals=totals), [lines(started, completed(input_tokens=250, output_tokens=12))])
    other = read(
        parser("codex", totals=totals),
        [lines({**started, "thread_id": "t2"}, completed(input_tokens=300, output_tokens=20))],
    )
    assert first + second + other == [
        UsageMeasured(None, 100, 9),
        UsageMeasured(None, 150, 3),
        UsageMeasured(None, 300, 20),
    ]


def test_threads_whose_names_were_lost_do_not_share_a_total() -> None:
    totals = Totals()
    for _ in range(2):
        events = read(parser("codex", totals=totals), [lines(completed(input_tokens=100))])
        assert events == [UsageMeasured(None, 100)]


def test_cached_tokens_never_make_the_input_negative() -> None:
    data = lines(completed(input_tokens=10, cached_input_tokens=30))
    assert read(parser("codex"), [data]) == [UsageMeasured(None, 0, None, 30)]
