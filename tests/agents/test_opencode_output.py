"""What `opencode run --format json` prints becomes loop events."""

from __future__ import annotations

from typing import Any

import pytest
from agent_outputs import lines, of_type, parser, read, read_all

from ralph_otel.events import ToolCalled, UsageMeasured

SESSION = "ses_44f9562d4ffeXk1"


def step(id_: Any, **part: Any) -> dict[str, Any]:
    return {"type": "step_finish", "sessionID": "s", "part": {"id": id_, "type": "step-finish", **part}}


def tool(id_: Any, state: Any, name: Any = "bash") -> dict[str, Any]:
    return {"type": "tool_use", "sessionID": "s", "part": {"id": id_, "type": "tool", "tool": name, "state": state}}


def test_every_step_gives_its_usage_and_cost() -> None:
    events, watcher = read_all("opencode.jsonl")
    assert of_type(events, UsageMeasured) == [
        UsageMeasured(None, 100, 80, 4000, 200, 0.015625, "reported"),
        UsageMeasured(None, 10, 80, 4300, 0, 0.03125, "reported"),
    ]
    assert (watcher.turns, watcher.conversation, watcher.model) == (2, SESSION, None)
    assert (watcher.is_error, watcher.error_type) == (False, None)


def test_usage_is_said_when_the_step_ends_not_when_the_output_does() -> None:
    watcher = parser("opencode")
    data = lines(step("p1", tokens={"input": 5, "output": 2}))
    assert watcher.feed(data) == [UsageMeasured(None, 5, 2)]
    assert watcher.close() == []


def test_a_step_printed_again_is_the_same_step() -> None:
    watcher = parser("opencode")
    assert read(watcher, [lines(*[step("p1", tokens={"input": 5})] * 2)]) == [UsageMeasured(None, 5)]
    assert watcher.turns == 1


def test_tools_carry_their_own_times_and_a_part_printed_again_is_the_same_call() -> None:
    events, _ = read_all("opencode.jsonl")
    assert of_type(events, ToolCalled) == [
        ToolCalled("bash", "failure", 1.5),
        ToolCalled("edit", "failure", 0.025),
        ToolCalled("read", "success", 0.01),
    ]


def test_an_error_stays_one_when_the_session_is_done() -> None:
    events, watcher = read_all("opencode_failed.jsonl")
    assert (watcher.is_error, watcher.error_type) == (True, "ProviderAuthError")
    assert len(of_type(events, UsageMeasured)) == 1


@pytest.mark.parametrize(
    ("tokens", "output"),
    [
        ({"output": 50, "reasoning": 30}, 80),
        ({"output": 50, "reasoning": 30, "input": 10, "total": 90}, 80),
        ({"output": 50, "reasoning": 30, "input": 10, "total": 60}, 50),
        ({"output": 50}, 50),
        ({"output": "50", "reasoning": 30}, None),
    ],
)
def test_reasoning_is_output_and_counted_once(tokens: dict[str, Any], output: int | None) -> None:
    events = read(parser("opencode"), [lines(step("p1", tokens=tokens, cost=0.5))])
    assert [event.output_tokens for event in of_type(events, UsageMeasured)] == [output]


@pytest.mark.parametrize(
    ("state", "calls"),
    [
        ({"status": "completed"}, [ToolCalled("bash", "success")]),
        ({"status": "completed", "metadata": {"exit": 2}}, [ToolCalled("bash", "failure")]),
        ({"status": "error", "time": {"start": 5, "end": 3}}, [ToolCalled("bash", "failure")]),
        ({"status": "running"}, []),
        ("completed", []),
        ({"status": ["completed"]}, []),
    ],
)
def test_only_a_call_that_has_ended_counts(state: Any, calls: list[ToolCalled]) -> None:
    assert read(parser("opencode"), [lines(tool("p1", state))]) == calls


def test_a_call_that_was_running_counts_when_it_ends() -> None:
    data = lines(tool("p1", {"status": "running"}), *[tool("p1", {"status": "completed"})] * 2)
    assert read(parser("opencode"), [data]) == [ToolCalled("bash", "success")]
