"""What Gemini CLI prints becomes loop events."""

from __future__ import annotations

import json
from typing import Any

import pytest
from agent_outputs import Clock, lines, of_type, parser, read, read_all, recorded

from ralph_otel.agents import Totals
from ralph_otel.events import ToolCalled, UsageMeasured

PRO, FLASH = "gemini-3-pro", "gemini-3-flash-lite"
SESSION = "6b7f7f0a-2d5e-4a53-8f4b-2a1c3f3b9d10"


def result(**fields: Any) -> dict[str, Any]:
    return {"type": "result", "status": "success", **fields}


def test_a_stream_gives_the_usage_of_each_model_with_what_it_thought() -> None:
    events, watcher = read_all("gemini_stream.jsonl")
    assert of_type(events, UsageMeasured) == [UsageMeasured(PRO, 1600, 500, 1000), UsageMeasured(FLASH, 200, 10, 0)]
    assert (watcher.turns, watcher.conversation, watcher.model) == (None, SESSION, "auto-gemini-3")
    assert (watcher.is_error, watcher.error_type) == (False, None)


def test_a_stream_of_an_older_version_gives_the_sum() -> None:
    events, _ = read_all("gemini_stream_old.jsonl")
    assert of_type(events, UsageMeasured) == [UsageMeasured("auto-gemini-3", 1800, 510, 1000)]


def test_tools_of_a_stream_are_matched_with_their_results() -> None:
    events, _ = read_all("gemini_stream.jsonl")
    assert [(call.tool, call.outcome) for call in of_type(events, ToolCalled)] == [
        ("run_shell_command", "success"),
        ("read_file", "success"),
        ("replace", "failure"),
    ]


def test_only_a_call_made_alone_has_a_duration() -> None:
    clock = Clock()
    watcher = parser("gemini", clock)
    calls = [{"type": "tool_use", "tool_id": name, "tool_name": name} for name in "abc"]
    results = [{"type": "tool_result", "tool_id": name, "status": "success"} for name in "abc"]
    for seconds in (2.0, 3.0):
        watcher.feed(lines(calls[0]))
        clock.now += seconds
        assert watcher.feed(lines(results[0])) == [ToolCalled("a", "success", seconds)]
    watcher.feed(lines(*calls[1:]))
    clock.now += 2
    assert watcher.feed(lines(*results[1:])) == [ToolCalled("b", "success"), ToolCalled("c", "success")]


def test_the_document_gives_usage_and_tools() -> None:
    events, watcher = read_all("gemini.json")
    assert events == [
        UsageMeasured(PRO, 1600, 500, 1000),
        UsageMeasured(FLASH, 240, 10, 0),
        ToolCalled("run_shell_command", "success", 2.0),
        ToolCalled("replace", "success"),
        ToolCalled("replace", "failure"),
    ]
    assert (watcher.conversation, watcher.model, watcher.is_error) == (SESSION, None, False)


def test_a_document_is_certain_only_when_it_is_complete() -> None:
    data = recorded("gemini.json")
    assert read(parser("gemini"), [data[:-2]]) == []
    watcher = parser("gemini")
    assert watcher.feed(data) == []
    assert len(watcher.close()) == 5


def test_the_only_model_of_a_document_is_the_model() -> None:
    watcher = parser("gemini")
    read(watcher, [lines({"response": "x", "stats": {"models": {PRO: {}}}})])
    assert watcher.model == PRO


def test_a_resumed_session_is_counted_by_what_it_added() -> None:
    document = json.loads(recorded("gemini.json").split(b"\n", 1)[1])
    totals = Totals()
    read(parser("gemini", totals=totals), [lines(document)])
    document["stats"]["models"][PRO]["tokens"]["prompt"] += 7
    document["stats"]["tools"]["byName"]["replace"]["success"] += 1
    document["stats"]["tools"]["byName"]["replace"]["durationMs"] += 500
    assert read(parser("gemini", totals=totals), [lines(document)]) == [
        UsageMeasured(PRO, 7, 0, 0),
        ToolCalled("replace", "success", 0.5),
    ]


@pytest.mark.parametrize(
    ("records", "is_error", "error_type"),
    [
        ([result()], False, None),
        (
            [result(status="error", error={"type": "MaxSessionTurnsError", "message": "x"})],
            True,
            "MaxSessionTurnsError",
        ),
        ([result(status="error")], True, "error"),
        ([{"type": "error", "severity": "warning", "message": "x"}], None, None),
        ([{"type": "error", "severity": "error", "message": "x"}], True, "error"),
        ([{"type": "error", "severity": "error", "message": "x"}, result()], False, None),
        ([{"error": {"type": "FatalTurnLimitedError", "message": "x", "code": 53}}], True, "FatalTurnLimitedError"),
        ([{"session_id": "s", "response": "x", "stats": {"models": {}}}], False, None),
        ([{"error": "a word in some other JSON"}], None, None),
        ([{"error": {"code": 400}}], None, None),
    ],
)
def test_how_it_ended(records: list[Any], is_error: bool | None, error_type: str | None) -> None:
    watcher = parser("gemini")
    read(watcher, [lines(*records)])
    assert (watcher.is_error, watcher.error_type) == (is_error, error_type)


def test_a_document_is_not_believed_more_calls_than_an_agent_can_make() -> None:
    tools = {"byName": {"read_file": {"success": 10**12, "fail": 2}}}
    events = read(parser("gemini"), [lines({"stats": {"tools": tools}})])
    assert len(events) == 1002
