"""Loops of which only hooks are known: `claude -p` again and again, or a session with a person."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hooked import SECRET, Claude

from ralph_otel.hooks.handling import sweep
from support.tape import T0, at


def test_every_claude_p_is_an_iteration_of_one_loop(claude: Claude) -> None:
    for number in range(3):
        claude.process = f"{200 + number}:1"
        claude.alive = {claude.process, claude.shell}
        claude.prints(f"s{number}", 10, tools=("Bash", "Edit"))
        claude.now += 2
    assert len(claude.runs()) == 1
    metrics = claude.metrics()
    assert (metrics.total_iterations, metrics.successful_iterations) == (3, 3)
    assert metrics.avg_iteration_duration == pytest.approx(9)
    assert metrics.session.sessions_created == 3
    [started] = claude.of_type("loop.started")
    assert (started["name"], started["runner"]) == ("proj", "claude-code")
    assert [line["iteration"] for line in claude.of_type("iteration.finished")] == [1, 2, 3]
    assert len(claude.of_type("tool.called")) == 6


def test_every_line_is_inside_the_one_that_it_belongs_to(claude: Claude) -> None:
    claude.prints("s1", tools=("Bash",))
    by_type = {line["type"]: line for line in claude.lines()}
    chain = ["tool.called", "agent.started", "iteration.started", "session.started", "loop.started"]
    for inner, outer in pairwise(chain):
        assert by_type[inner]["parent_span_id"] == by_type[outer]["span_id"]
    for started, ended in (("agent.started", "agent.finished"), ("iteration.started", "iteration.finished")):
        assert by_type[started]["span_id"] == by_type[ended]["span_id"]
    assert {line["trace_id"] for line in claude.lines()} == {by_type["loop.started"]["trace_id"]}
    assert by_type["agent.started"]["model"] == "claude-test-1"
    assert by_type["agent.finished"]["conversation"] == "s1"


def test_a_trace_from_outside_is_gone_on_with(claude: Claude) -> None:
    claude.environment["TRACEPARENT"] = f"00-{'a' * 32}-{'b' * 16}-01"
    claude.prints("s1")
    started = claude.lines()[0]
    assert (started["trace_id"], started["parent_span_id"]) == ("a" * 32, "b" * 16)


@pytest.mark.parametrize(
    ("event", "fields", "outcome"),
    [
        ("PostToolUse", {"tool_response": {"stdout": SECRET}}, "success"),
        ("PostToolUse", {"tool_response": SECRET}, "success"),
        ("PostToolUse", {"tool_response": {"success": False}}, "failure"),
        ("PostToolUse", {"tool_response": {"is_error": True}}, "failure"),
        ("PostToolUseFailure", {"error": SECRET}, "failure"),
        ("PostToolUseFailure", {"error": SECRET, "is_interrupt": True}, "cancelled"),
    ],
)
def test_a_tool_has_its_name_outcome_and_duration(
    claude: Claude, event: str, fields: dict[str, Any], outcome: str
) -> None:
    claude.says("UserPromptSubmit", prompt=SECRET)
    claude.says(event, 1, tool_name="mcp__x__y", duration_ms=250, tool_input={"a": SECRET}, **fields)
    [tool] = claude.of_type("tool.called")
    assert (tool["tool"], tool["outcome"], tool["duration"]) == ("mcp__x__y", outcome, 0.25)


def test_an_older_claude_code_says_no_duration(claude: Claude) -> None:
    claude.uses("Read")
    [tool] = claude.of_type("tool.called")
    assert "duration" not in tool


def test_a_session_that_has_said_nothing_makes_no_loop(claude: Claude) -> None:
    claude.says("SessionStart", source="startup")
    claude.says("SessionEnd", 1, reason="other")
    assert claude.runs() == []


def test_a_session_with_several_turns_has_an_iteration_each(claude: Claude) -> None:
    claude.says("SessionStart", source="resume")
    for _ in range(2):
        claude.says("UserPromptSubmit", 5, prompt=SECRET)
        claude.says("Stop", 3)
    assert [line["duration"] for line in claude.of_type("iteration.finished")] == [3.0, 3.0]
    assert claude.types().count("session.started") == 1


def test_a_turn_that_a_stop_hook_has_sent_on_is_an_iteration_more(claude: Claude) -> None:
    claude.says("UserPromptSubmit", prompt=SECRET)
    claude.says("Stop", 3)
    claude.uses("Bash", 4)
    claude.says("Stop", 1, stop_hook_active=True)
    assert [line["duration"] for line in claude.of_type("iteration.finished")] == [3.0, 5.0]


def test_an_interrupted_turn_is_cancelled_with_the_next_prompt(claude: Claude) -> None:
    claude.says("UserPromptSubmit", prompt=SECRET)
    claude.says("UserPromptSubmit", 5, prompt=SECRET)
    claude.says("Stop", 3)
    assert [line["outcome"] for line in claude.of_type("iteration.finished")] == ["cancelled", "success"]


def test_a_turn_that_an_error_of_the_api_has_ended_is_a_failure(claude: Claude) -> None:
    claude.says("UserPromptSubmit", prompt=SECRET)
    claude.says("StopFailure", 5, error="rate_limit", error_details=SECRET)
    [finished] = claude.of_type("iteration.finished")
    assert (finished["outcome"], finished["error_type"]) == ("failure", "rate_limit")
    assert claude.of_type("agent.finished")[0]["outcome"] == "failure"
    assert claude.metrics().failed_iterations == 1


def test_subagents_are_agents_inside_the_agent(claude: Claude) -> None:
    claude.says("UserPromptSubmit", prompt=SECRET)
    claude.says("SubagentStart", 1, agent_id="a1", agent_type="Explore")
    claude.says("SubagentStart", 0, agent_id="a2", agent_type="Plan")
    claude.uses("Grep", 1, agent_id="a1", agent_type="Explore")
    claude.says("SubagentStop", 2, agent_id="a1", agent_type="Explore", last_assistant_message=SECRET)
    claude.says("Stop", 1)
    outer, explore, plan = claude.of_type("agent.started")
    assert [explore["agent"], plan["agent"]] == ["Explore", "Plan"]
    assert {explore["parent_span_id"], plan["parent_span_id"]} == {outer["span_id"]}
    assert claude.of_type("tool.called")[0]["parent_span_id"] == explore["span_id"]
    ended = {line["agent"]: line.get("duration") for line in claude.of_type("agent.finished")}
    assert ended == {"Explore": 3.0, "Plan": 4.0, "claude": 5.0}


def test_a_subagent_whose_start_was_not_told_is_left_out(claude: Claude) -> None:
    claude.says("UserPromptSubmit", prompt=SECRET)
    claude.says("SubagentStop", 2, agent_id="a1", agent_type="Explore")
    claude.says("Stop", 1)
    assert len(claude.of_type("agent.finished")) == 1


# -- context -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("trigger", "reason"), [("auto", "redline"), ("manual", "manual")])
@pytest.mark.parametrize("newer", [True, False])
def test_a_compaction_is_a_reboot_into_a_new_session(claude: Claude, trigger: str, reason: str, newer: bool) -> None:
    claude.says("SessionStart", source="startup")
    claude.says("UserPromptSubmit", prompt=SECRET)
    claude.says("PreCompact", 60, trigger=trigger, custom_instructions=SECRET)
    if newer:
        claude.says("PostCompact", 20, trigger=trigger, compact_summary=SECRET)
    claude.says("SessionStart", 0 if newer else 20, source="compact")
    claude.says("Stop", 40)
    [rebooted] = claude.of_type("reboot.finished")
    assert (rebooted["reason"], rebooted["duration"]) == (reason, 20.0)
    assert [line["session"] for line in claude.of_type("session.started")] == ["s1", "s1/2"]
    assert claude.of_type("session.ended")[0]["duration"] == 80.0
    metrics = claude.metrics()
    assert (metrics.total_iterations, metrics.total_reboots, metrics.session.sessions_created) == (1, 1, 2)
    assert claude.of_type("iteration.finished")[0]["duration"] == 120.0


def test_a_compaction_between_two_turns_is_no_iteration(claude: Claude) -> None:
    claude.says("UserPromptSubmit", prompt=SECRET)
    claude.says("Stop", 5)
    claude.says("PreCompact", 60, trigger="manual")
    claude.says("SessionStart", 9, source="compact")
    claude.says("UserPromptSubmit", 60, prompt=SECRET)
    claude.says("Stop", 5)
    metrics = claude.metrics()
    assert (metrics.total_iterations, metrics.successful_iterations, metrics.total_reboots) == (2, 2, 1)
    assert claude.of_type("reboot.started")[0]["parent_span_id"] == claude.of_type("session.started")[0]["span_id"]


def test_a_cleared_context_is_a_session_more(claude: Claude) -> None:
    claude.prints("s1")
    claude.says("SessionStart", session="s2", source="clear")
    claude.says("UserPromptSubmit", 1, "s2", prompt=SECRET)
    assert [line["session"] for line in claude.of_type("session.started")] == ["s1", "s2"]


# -- ends --------------------------------------------------------------------------------------------------------------


def test_the_loop_is_over_when_the_shell_around_it_is_gone(claude: Claude) -> None:
    claude.prints("s1")
    sweep(str(claude.home))
    assert claude.reason() is None
    claude.alive = set()
    claude.now += 60
    sweep(str(claude.home))
    assert claude.reason() == "completed"
    assert claude.lines()[-1]["ts"] == at(10)


def test_another_shell_s_loop_is_a_run_of_its_own(claude: Claude) -> None:
    claude.prints("s1")
    claude.now += 60
    claude.shell, claude.process = "300:5", "301:5"
    claude.alive = {claude.shell, claude.process}
    claude.prints("s2")
    assert len(claude.runs()) == 2
    assert (claude.reason(0), claude.reason(1)) == ("completed", None)


def test_two_hours_of_silence_are_an_end(claude: Claude) -> None:
    claude.prints("s1")
    claude.now += 7000
    claude.prints("s2")
    assert claude.reason() is None
    claude.now += 7300
    sweep(str(claude.home))
    assert claude.reason() == "completed"


def test_a_process_that_was_killed_has_failed(claude: Claude) -> None:
    claude.says("UserPromptSubmit", prompt=SECRET)
    claude.uses("Bash", 5)
    claude.now += 100
    claude.alive = {claude.shell}
    sweep(str(claude.home))
    [finished] = claude.of_type("iteration.finished")
    assert (finished["outcome"], finished["error_type"], finished["duration"]) == ("failure", "killed", 5.0)
    assert claude.reason() is None  # the shell may start it again


def test_where_processes_are_not_known_a_day_s_silence_is_an_end(claude: Claude) -> None:
    claude.process = claude.shell = ""
    claude.says("UserPromptSubmit", prompt=SECRET)
    claude.now += 23 * 3600
    sweep(str(claude.home))
    assert "iteration.finished" not in claude.types()
    claude.now += 2 * 3600
    sweep(str(claude.home))
    assert claude.metrics().failed_iterations == 1
    assert claude.reason() == "completed"


@pytest.mark.parametrize(("reason", "stop"), [("prompt_input_exit", "user_signal"), ("other", None), ("clear", None)])
def test_a_person_who_leaves_ends_the_loop(claude: Claude, reason: str, stop: str | None) -> None:
    claude.says("UserPromptSubmit", prompt=SECRET)
    claude.says("Stop", 5)
    claude.says("SessionEnd", 5, reason=reason)
    assert claude.reason() == stop


def test_a_session_s_end_cancels_what_was_going_on(claude: Claude) -> None:
    claude.says("UserPromptSubmit", prompt=SECRET)
    claude.says("SessionEnd", 5, reason="other")
    assert claude.of_type("iteration.finished")[0]["outcome"] == "cancelled"
    assert claude.types()[-1] == "session.ended"


def test_two_projects_have_a_loop_each(claude: Claude, tmp_path: Path) -> None:
    claude.prints("s1")
    (tmp_path / "other").mkdir()
    claude.project = tmp_path / "other"
    claude.now += 60
    claude.prints("s2")
    assert [claude.lines(run)[0]["name"] for run in (0, 1)] == ["proj", "other"]


def test_a_project_s_name_is_that_of_its_root_wherever_the_agent_is(claude: Claude, tmp_path: Path) -> None:
    claude.environment["CLAUDE_PROJECT_DIR"] = str(tmp_path / "root")
    claude.says("UserPromptSubmit", prompt=SECRET)
    claude.project = tmp_path / "root" / "below"
    claude.says("Stop", 5)
    assert claude.lines()[0]["name"] == "root"
    assert claude.metrics().total_iterations == 1


def test_sessions_side_by_side_are_counted_apart(claude: Claude) -> None:
    claude.says("UserPromptSubmit", 0, "s1", prompt=SECRET)
    claude.says("UserPromptSubmit", 2, "s2", prompt=SECRET)
    claude.uses("Bash", 1, "s1")
    claude.says("Stop", 1, "s2")
    claude.says("Stop", 1, "s1")
    durations = {line["iteration"]: line["duration"] for line in claude.of_type("iteration.finished")}
    assert durations == {1: 5.0, 2: 2.0}


# -- nothing, and odd things -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["RALPH_OTEL_ENABLED", "RALPH_OTEL_JOURNAL"])
def test_where_nothing_is_wanted_nothing_is_written(claude: Claude, name: str) -> None:
    claude.environment[name] = "false"
    claude.prints("s1")
    assert not claude.home.exists()


def test_events_that_are_not_known_are_passed_over(claude: Claude) -> None:
    claude.says("UserPromptSubmit", prompt=SECRET)
    claude.says("Notification", message=SECRET)
    claude.says("TeleportStarted", 1)
    claude.says("Stop", 1)
    assert claude.metrics().total_iterations == 1


def test_a_hook_before_the_first_prompt_begins_a_turn(claude: Claude) -> None:
    """The hooks have been put in while the agent was at work."""
    claude.uses("Bash")
    claude.says("Stop", 4)
    assert [line["duration"] for line in claude.of_type("iteration.finished")] == [4.0]


@pytest.mark.parametrize(
    "damage", ["", "nonsense", "[]", '{"sessions": 5}', '{"sessions": {"s1": {}}}', '{"loops": {"": []}, "x": 1}']
)
def test_a_damaged_state_costs_one_hook_at_most(claude: Claude, damage: str) -> None:
    claude.says("UserPromptSubmit", prompt=SECRET)
    [state] = (claude.home / "hooks").glob("*.json")
    state.write_text(damage)
    try:
        claude.says("Stop", 1)
    except (LookupError, TypeError, ValueError, AttributeError):
        claude.says("Stop", 1)
    claude.now += 10
    claude.prints("s2")
    assert claude.metrics().successful_iterations >= 1


def test_a_damaged_state_does_not_keep_others_from_their_end(claude: Claude, tmp_path: Path) -> None:
    claude.prints("s1")
    (claude.home / "hooks" / "0000.json").write_text('{"sessions": 5}')
    (claude.home / "hooks" / "ffff.json").write_text('{"sessions": 5}')
    claude.alive = set()
    sweep(str(claude.home))
    assert claude.reason() == "completed"


def test_the_run_is_named_by_its_beginning(claude: Claude) -> None:
    claude.prints("s1")
    assert claude.lines()[0]["ts"] == T0
    assert claude.runs()[0].name.startswith("20231114T221320Z-")


def test_state_is_kept_no_longer_than_needed(claude: Claude) -> None:
    claude.prints("s1")
    claude.alive = set()
    sweep(str(claude.home))
    assert not list((claude.home / "hooks").glob("*.json"))


def test_no_text_of_the_session_is_in_the_state(claude: Claude) -> None:
    claude.says("UserPromptSubmit", prompt=SECRET)
    claude.uses("Bash")
    [state] = (claude.home / "hooks").glob("*.json")
    assert SECRET not in state.read_text()
    assert json.loads(state.read_text())["sessions"]
