"""A real ralph-runner under `ralph-otel run`: it behaves as without, and its journal says what its agents say."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
from workplace import HANGS, WORKS, Stage, assert_agrees, assert_crashed, assert_seen_is_known, outcomes, stop_reason

RUN = ("ralph-runner", "--no-plan", "--prompt", "secret", "--iterations", "2", "--max-iterations")
DONE = {"text": "All is well. ###RALPH_COMPLETE###"}


def staged(tmp_path: Path) -> Stage:
    """The runner, and places that are ready for it."""
    return Stage("ralph-runner", tmp_path)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return staged(tmp_path)


def test_a_task_is_completed(stage: Stage) -> None:
    place = stage.same([WORKS, DONE], *RUN, "5", "--verify", "test $(cat work.txt) = 1")

    assert place.done.returncode == 0
    assert_agrees(place, agents=3)
    assert outcomes(place) == [(1, "success"), (2, "success")]
    assert [(line["passed"], line["failed"]) for line in place.lines("tests.finished")] == [(1, 0), (1, 0)]
    assert [line["percent"] for line in place.lines("context.measured")] == [10.1, 10.2]
    assert [line.get("turns") for line in place.lines("agent.finished")] == [3, 3, None]
    assert stop_reason(place) == "completed"


@pytest.mark.integration
def test_parts_are_nested_and_the_summary_is_no_iteration(stage: Stage) -> None:
    place = stage.play([WORKS, DONE], *RUN, "5", "--verify", "true")

    names = {line["span_id"]: line["type"].split(".")[0] for line in place.lines() if line["type"].endswith(".started")}
    around = [names[line["parent_span_id"]] for line in place.lines("agent.started")]
    assert around == ["iteration", "iteration", "session"]
    assert {names[line["parent_span_id"]] for line in place.lines("tests.finished")} == {"iteration"}
    assert {line["model"] for line in place.lines("agent.started")} == {"sonnet", "haiku"}
    assert len(place.lines("session.ended")) == 3


@pytest.mark.integration
@pytest.mark.parametrize(
    ("plan", "verify", "expected"),
    [
        pytest.param([DONE, {"exit": 3}], "true", ["success", "failure", "failure"], id="failing agent"),
        pytest.param([DONE, {"exit": 3, "silent": True}], "true", ["success", "failure", "failure"], id="no output"),
        pytest.param([DONE], "false", ["success"] * 3, id="failing tests"),
    ],
)
def test_the_limit_is_reached(stage: Stage, plan: list[dict[str, Any]], verify: str, expected: list[str]) -> None:
    place = stage.same([*plan, plan[-1], WORKS], *RUN, "3", "--verify", verify)

    assert [outcome for _, outcome in outcomes(place)][: len(plan)] == expected[: len(plan)]
    assert len(outcomes(place)) == 3
    assert place.lines("loop.started")[0]["max_iterations"] == 3
    assert len(place.lines("tests.finished")) == sum("silent" not in step for step in [*plan, plan[-1], WORKS][:3])
    assert stop_reason(place) == "max_iterations"


@pytest.mark.integration
@pytest.mark.parametrize("limit", ["--timeout", "--idle-timeout"])
def test_a_timeout_is_a_timeout(stage: Stage, limit: str) -> None:
    place = stage.same([HANGS, WORKS], *RUN, "1", limit, "3")

    iteration, agent = place.lines("iteration.finished")[0], place.lines("agent.finished")[0]
    assert (iteration["outcome"], agent["outcome"]) == ("timeout", "timeout")
    assert agent["exit_code"] == iteration["exit_code"] == -signal.SIGKILL
    assert 3.0 <= iteration["duration"] < 50


@pytest.mark.integration
def test_ctrl_c(stage: Stage) -> None:
    place = stage.same_when_interrupted([WORKS, HANGS, WORKS], *RUN, "5")

    assert outcomes(place) == [(1, "success"), (2, "cancelled")]
    assert stop_reason(place) == "user_signal"


@pytest.mark.integration
def test_a_journal_that_cannot_be_written_costs_the_loop_nothing(stage: Stage) -> None:
    stage.same_without_journals([WORKS], *RUN, "2", "--verify", "true")


@pytest.mark.integration
def test_a_killed_runner(stage: Stage) -> None:
    assert_crashed(stage.kill([HANGS], *RUN, "3"))


@pytest.mark.integration
def test_a_crash_of_the_runner_looks_as_without(stage: Stage) -> None:
    place = stage.same([{"block": "user/.ralph-runner"}], *RUN, "3")

    assert "Traceback" in place.done.stderr
    assert place.lines("iteration.finished")[0]["outcome"] == "failure"
    assert stop_reason(place) == "error"


@pytest.mark.integration
def test_a_command_line_that_is_wrong_is_no_loop(stage: Stage) -> None:
    place = stage.play([WORKS], "ralph-runner", "--iterations", "x")

    assert place.done.returncode == 2
    assert place.journals() == []


@pytest.mark.integration
def test_what_is_seen_is_what_the_table_says(stage: Stage) -> None:
    place = stage.play([WORKS, DONE], *RUN, "3", "--verify", "true")
    assert_seen_is_known(stage, place)
