"""A real ralph-loop under `ralph-otel run`: it behaves as without, and its journal says what its agents say."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from workplace import (
    HANGS,
    WORKS,
    Stage,
    Workplace,
    assert_agrees,
    assert_crashed,
    assert_seen_is_known,
    outcomes,
    signals_in,
    stop_reason,
)

RUN = ("ralph", "run", "--agents", "claude", "--no-color", "--max")
SCRIPT = """
from pathlib import Path
from ralph.core.agent import ClaudeAgent
from ralph.core.loop import run_loop
from ralph.core.pool import AgentPool
result = run_loop(max_iter=3, test_cmd="test $(cat work.txt) = 2", agent_pool=AgentPool([ClaudeAgent()]))
print(result.message)
"""


def says(status: str, **step: Any) -> dict[str, Any]:
    """What the agent does: it writes its word, and changes a file unless that is DONE."""
    files = {} if status == "DONE" else WORKS["write"]
    return {"write": {**files, ".ralph/status": status}, **step}


def staged(tmp_path: Path) -> Stage:
    """The runner, and places that are ready for it."""

    def prepare(place: Workplace) -> None:
        (place.folder / "PROMPT.md").write_text("Do it.")
        (place.folder / ".ralphignore").write_text("account.jsonl\nhome/\nuser/\n")
        subprocess.run(made.command("ralph", "init"), cwd=place.folder, env=place.environment, check=True)

    made = Stage("ralph-loop", tmp_path, prepare)
    return made


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return staged(tmp_path)


def reboots(place: Workplace) -> list[str]:
    return [line["reason"] for line in place.lines("reboot.started")]


def test_a_goal_is_achieved(stage: Stage) -> None:
    place = stage.same([says("CONTINUE"), says("DONE")], *RUN, "9")

    assert place.done.returncode == 0
    assert_agrees(place, agents=4)
    assert outcomes(place) == [(1, "success"), (2, "success"), (3, "success"), (4, "success")]
    progress = [(line["files_changed"], line["made_progress"]) for line in place.lines("progress.measured")]
    assert progress == [(1, True), (0, True), (0, True), (0, True)]
    [loop] = place.lines("loop.started")
    assert (loop["name"], loop["runner"], loop["max_iterations"]) == (place.folder.name, "ralph-loop", 9)
    assert len(place.lines("session.ended")) == 4
    assert stop_reason(place) == "completed"


@pytest.mark.integration
def test_a_rotation_is_a_reboot_and_a_crash_is_another(stage: Stage) -> None:
    plan = [says("ROTATE"), says("CONTINUE", exit=3), says("CONTINUE", silent=True), says("CONTINUE"), says("ROTATE")]
    place = stage.same(plan, *RUN, "5")

    assert_agrees(place, agents=5)
    assert [outcome for _, outcome in outcomes(place)] == ["success", "failure", "failure", "success", "success"]
    assert [line.get("exit_code") for line in place.lines("iteration.finished")] == [0, 3, 0, 0, 0]
    assert reboots(place) == ["pattern_match", "error_recovery", "error_recovery"]  # none follows the last
    assert stop_reason(place) == "max_iterations"


@pytest.mark.integration
@pytest.mark.parametrize(
    ("step", "exit_code", "reason"),
    [
        pytest.param(says("STUCK"), 2, "no_progress", id="stuck"),
        pytest.param({"text": "Claude AI usage limit reached|1700000000", "exit": 1}, 4, "error", id="exhausted"),
        pytest.param(says("IDLE"), 3, "max_iterations", id="limit"),
    ],
)
def test_why_it_stops(stage: Stage, step: dict[str, Any], exit_code: int, reason: str) -> None:
    place = stage.same([step], *RUN, "2")

    assert place.done.returncode == exit_code
    assert stop_reason(place) == reason


@pytest.mark.integration
def test_a_timeout_is_a_timeout(stage: Stage) -> None:
    place = stage.same([HANGS], *RUN, "1", "--timeout", "3")

    assert_agrees(place, agents=1)
    [agent], [iteration] = place.lines("agent.finished"), place.lines("iteration.finished")
    assert (agent["outcome"], iteration["outcome"]) == ("timeout", "timeout")
    assert 3.0 <= iteration["duration"] < 50


@pytest.mark.integration
def test_ctrl_c(stage: Stage) -> None:
    place = stage.same_when_interrupted([HANGS], *RUN, "3")

    assert place.done.returncode == 130
    assert outcomes(place) == [(1, "cancelled")]
    assert place.lines("agent.finished")[0]["outcome"] == "cancelled"
    assert stop_reason(place) == "user_signal"


@pytest.mark.integration
def test_a_journal_that_cannot_be_written_costs_the_loop_nothing(stage: Stage) -> None:
    stage.same_without_journals([says("ROTATE")], *RUN, "2")


@pytest.mark.integration
def test_a_killed_runner(stage: Stage) -> None:
    assert_crashed(stage.kill([HANGS], *RUN, "3"))


@pytest.mark.integration
def test_a_crash_of_the_runner_looks_as_without(stage: Stage) -> None:
    place = stage.same([{"block": ".ralph/history"}], *RUN, "3")

    assert place.done.returncode == 1
    assert "Traceback" in place.done.stderr
    assert place.lines("error.raised")[0]["error_type"] == "NotADirectoryError"
    assert outcomes(place) == [(1, "failure")]
    assert stop_reason(place) == "error"


@pytest.mark.integration
def test_a_system_spec_belongs_to_the_iteration_that_it_comes_before(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "specs").mkdir()
    spec = {"specs/tidy.every-2.spec.md": "Tidy up."}
    place = stage.same([{"write": {**spec, ".ralph/status": "CONTINUE"}}, says("CONTINUE")], *RUN, "2")

    assert_agrees(place, agents=3)
    iterations = {line["span_id"]: line["iteration"] for line in place.lines("iteration.started")}
    agents = [iterations[line["parent_span_id"]] for line in place.lines("agent.started")]
    assert agents == [1, 2, 2]
    assert outcomes(place) == [(1, "success"), (2, "success")]


@pytest.mark.integration
def test_tests_are_seen_where_the_loop_runs_them(stage: Stage) -> None:
    place = stage.same([says("CONTINUE")], "python", "-c", SCRIPT)

    assert place.done.stdout.strip() == "Max iterations reached (3)"
    assert [(line["passed"], line["failed"]) for line in place.lines("tests.finished")] == [(0, 1), (1, 0), (0, 1)]
    iterations = {line["span_id"] for line in place.lines("iteration.started")}
    assert {line["parent_span_id"] for line in place.lines("tests.finished")} == iterations


@pytest.mark.integration
def test_what_is_seen_is_what_the_table_says(stage: Stage) -> None:
    tested = stage.play([says("ROTATE"), says("CONTINUE", exit=1)], "python", "-c", SCRIPT)
    assert_seen_is_known(stage, tested)


@pytest.mark.integration
def test_usage_is_seen_where_an_agent_prints_it_unasked(stage: Stage) -> None:
    place = stage.play([says("CONTINUE", format="stream-json")], *RUN, "1")

    assert_agrees(place, agents=1)
    assert {"tokens", "cost", "context", "tools", "turns"} <= signals_in([place])
