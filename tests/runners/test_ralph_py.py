"""A real ralph-py under `ralph-otel run`: it behaves as without, and its journal says what its agents say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from workplace import (
    HANGS,
    WORKS,
    Stage,
    assert_agrees,
    assert_crashed,
    assert_seen_is_known,
    outcomes,
    signals_in,
    stop_reason,
)

RUN = ("ralph", "run", "secret words of a prompt", "-d", "0", "-n")
COMPLETE = {"text": "RALPH_COMPLETE"}


def staged(tmp_path: Path) -> Stage:
    """The runner, and places that are ready for it."""
    return Stage("ralph-py", tmp_path, agents=("claude", "aider"))


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return staged(tmp_path)


def test_a_loop_completes(stage: Stage) -> None:
    place = stage.same([WORKS, {**WORKS, "exit": 3}, COMPLETE], *RUN, "5", "-m", "claude-x")

    assert place.done.returncode == 0
    assert_agrees(place, agents=3)
    assert outcomes(place) == [(1, "success"), (2, "failure"), (3, "success")]
    assert [line["exit_code"] for line in place.lines("iteration.finished")] == [0, 3, 0]
    assert {line["model"] for line in place.lines("agent.started")} == {"claude-x"}
    assert len(place.lines("session.ended")) == 3
    assert stop_reason(place) == "completed"


@pytest.mark.integration
def test_a_loop_without_a_name_is_not_called_by_its_prompt(stage: Stage) -> None:
    unnamed = stage.same([COMPLETE], *RUN, "1")
    named = stage.same([COMPLETE], *RUN, "1", "--name", "tidy", "--provider", "aider")

    assert unnamed.lines("loop.started")[0]["name"] == unnamed.folder.name
    assert b"secret" not in unnamed.journals()[0].read_bytes()
    assert named.lines("loop.started")[0]["name"] == "tidy"
    assert named.lines("agent.started")[0]["agent"] == "aider"


@pytest.mark.integration
def test_the_limit(stage: Stage) -> None:
    place = stage.same([WORKS], *RUN, "2")

    assert place.lines("loop.started")[0]["max_iterations"] == 2
    assert stop_reason(place) == "max_iterations"


@pytest.mark.integration
def test_an_agent_that_cannot_be_started(stage: Stage) -> None:
    broken = {"write": {"bin/claude": "#!/no/such/interpreter\n"}}
    place = stage.same([broken], *RUN, "5")

    assert outcomes(place) == [(1, "success"), (2, "failure")]
    assert [line.get("outcome") for line in place.lines("agent.finished")] == [None, "failure"]
    assert stop_reason(place) == "error"


@pytest.mark.integration
def test_a_crash_of_the_runner_looks_as_without(stage: Stage) -> None:
    place = stage.same([{"block": "user/.ralph"}], *RUN, "5")

    assert "Loop crashed" in place.done.stdout
    assert place.done.returncode == 1
    assert stop_reason(place) == "error"


@pytest.mark.integration
def test_ctrl_c(stage: Stage) -> None:
    place = stage.same_when_interrupted([WORKS, HANGS], *RUN, "3")

    assert outcomes(place) == [(1, "success"), (2, "cancelled")]
    assert stop_reason(place) == "user_signal"


@pytest.mark.integration
def test_a_journal_that_cannot_be_written_costs_the_loop_nothing(stage: Stage) -> None:
    stage.same_without_journals([WORKS], *RUN, "2")


@pytest.mark.integration
def test_a_killed_runner(stage: Stage) -> None:
    assert_crashed(stage.kill([HANGS], *RUN, "3"))


@pytest.mark.integration
def test_once_is_a_run_of_one_iteration(stage: Stage) -> None:
    state = "user/.ralph/loops/*/state.json"
    prepare = f"""sed -i 's/stopped/running/; s/"max_iterations": 1/"max_iterations": 3/' {state}"""
    once = 'for _ in 1 2 3; do "$1" once $(ls user/.ralph/loops); done'
    script = f'"$1" run x -d 0 -n 1 && {prepare} && {once}'
    place = stage.play([WORKS], "bash", "-c", script, "bash", str(stage.bin / "ralph"))

    said = re.findall(r"iteration \d done|STOPPED at iteration \d/3", place.done.stdout)
    assert said == ["iteration 2 done", "STOPPED at iteration 3/3", "STOPPED at iteration 3/3"]
    runs = [[line["iteration"] for line in place.of(path, "iteration.finished")] for path in place.journals()]
    assert runs == [[1], [2], [3]]  # the last call finds the loop stopped, and does nothing
    reasons = [place.of(path, "loop.stopped")[0]["reason"] for path in place.journals()]
    assert reasons == ["max_iterations", "completed", "max_iterations"]


@pytest.mark.integration
def test_what_is_seen_is_what_the_table_says(stage: Stage) -> None:
    place = stage.play([WORKS, COMPLETE], *RUN, "3", "-m", "claude-x")
    assert_seen_is_known(stage, place)


@pytest.mark.integration
def test_usage_is_seen_where_an_agent_prints_it_unasked(stage: Stage) -> None:
    place = stage.play([{"format": "stream-json"}], *RUN, "1")

    assert_agrees(place, agents=1)
    assert {"tokens", "cost", "context", "tools", "turns"} <= signals_in([place])
