"""A real ralphkit under `ralph-otel run`: it behaves as without, and its journal says what its agents say."""

from __future__ import annotations

import json
import signal
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
    stop_reason,
)

BUILD = ("ralphkit", "build", "secret", "--force", "--default-model", "claude-x", "--max-iterations")
FIX = ("ralphkit", "fix", "secret", "--force")
BLOCKED: dict[str, Any] = {"write": {".ralphkit/current/RALPH-BLOCKED.md": "no"}}


def items(done: int, of: int = 4) -> str:
    """A plan of so many items, the first of which are done."""
    return json.dumps({"items": [{"id": str(n), "title": f"item {n}", "done": n < done} for n in range(of)]})


def gets_done(count: int, **step: Any) -> dict[str, Any]:
    """What the agent does: it has got so many items done, and changes a file that git knows."""
    return {"write": {".ralphkit/current/tickets.json": items(count), "known.txt": "NUMBER\n"}, **step}


def staged(tmp_path: Path) -> Stage:
    """The runner, and places that are ready for it."""

    def prepare(place: Workplace) -> None:
        (place.folder / "known.txt").write_text("0\n")
        for command in (["init", "-q"], ["add", "known.txt"], ["commit", "-q", "-m", "x"]):
            subprocess.run(["git", *command], cwd=place.folder, env=place.environment, check=True)

    return Stage("ralphkit", tmp_path, prepare)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return staged(tmp_path)


def test_a_plan_is_completed(stage: Stage) -> None:
    place = stage.same([gets_done(0), gets_done(1), gets_done(1), gets_done(4), WORKS], *BUILD, "9")

    assert place.done.returncode == 0
    assert_agrees(place, agents=5)  # one plans, three work, one cleans up
    assert outcomes(place) == [(1, "success"), (2, "success"), (3, "success")]
    progress = [(line["score"], line["made_progress"]) for line in place.lines("progress.measured")]
    assert progress == [(0.25, True), (0.0, False), (0.75, True)]
    assert {line["model"] for line in place.lines("agent.started")} == {"claude-x"}
    names = {line["span_id"]: line["type"].split(".")[0] for line in place.lines() if line["type"].endswith(".started")}
    around = [names[line["parent_span_id"]] for line in place.lines("agent.started")]
    assert around == ["session", "iteration", "iteration", "iteration", "session"]
    assert stop_reason(place) == "completed"


@pytest.mark.integration
def test_lines_are_those_of_git(stage: Stage) -> None:
    place = stage.play([gets_done(0), gets_done(4), WORKS], *BUILD, "9")

    [progress] = place.lines("progress.measured")  # the agent that planned has changed the file before
    assert (progress["lines_added"], progress["lines_removed"]) == (0, 0)
    place = stage.play([{"write": {".ralphkit/current/tickets.json": items(0)}}, gets_done(4), WORKS], *BUILD, "9")
    [progress] = place.lines("progress.measured")
    assert (progress["lines_added"], progress["lines_removed"]) == (1, 1)


@pytest.mark.integration
def test_a_step_that_fails_ends_the_run_and_its_usage_counts(stage: Stage) -> None:
    place = stage.same([gets_done(0), gets_done(1), gets_done(1, exit=3), WORKS], *BUILD, "9")

    assert place.done.returncode == 1
    assert_agrees(place, agents=3)
    assert outcomes(place) == [(1, "success"), (2, "failure")]
    assert place.lines("iteration.finished")[-1]["error_type"] == "process_error"
    assert [line["error_type"] for line in place.lines("error.raised")] == ["process_error"]
    assert stop_reason(place) == "error"


@pytest.mark.integration
@pytest.mark.parametrize(
    ("plan", "reason"),
    [
        pytest.param([gets_done(0), gets_done(1)], "max_iterations", id="limit"),
        pytest.param([gets_done(0), BLOCKED], "no_progress", id="blocked"),
        pytest.param([WORKS], "error", id="no plan"),
    ],
)
def test_why_it_stops(stage: Stage, plan: list[dict[str, Any]], reason: str) -> None:
    place = stage.same(plan, *BUILD, "2")

    assert place.done.returncode == 1
    assert place.lines("loop.started")[0]["max_iterations"] == 2
    assert stop_reason(place) == reason


@pytest.mark.integration
def test_a_timeout_is_a_timeout(stage: Stage) -> None:
    place = stage.same([gets_done(0), HANGS], *BUILD, "2", "--timeout-seconds", "3")

    assert outcomes(place) == [(1, "timeout")]
    agent = place.lines("agent.finished")[-1]
    assert (agent["outcome"], agent["exit_code"]) == ("timeout", -signal.SIGTERM)
    assert stop_reason(place) == "error"


@pytest.mark.integration
def test_a_step_of_a_pipe_is_an_iteration(stage: Stage) -> None:
    place = stage.same([WORKS, gets_done(0), WORKS], *FIX)

    assert_agrees(place, agents=3)
    assert outcomes(place) == [(1, "success"), (2, "success"), (3, "success")]
    told = [line["span_id"] for line in place.lines("progress.measured")]
    assert place.lines("iteration.started")[1]["span_id"] in told
    assert len(set(told)) == len(told)  # before it speaks itself, its progress may be measured beside it
    assert "max_iterations" not in place.lines("loop.started")[0]
    assert stop_reason(place) == "completed"


@pytest.mark.integration
def test_a_run_that_is_resumed_counts_anew(stage: Stage) -> None:
    resume = '"$@" 1; "$@" 2 --resume-run 1'
    plan = [gets_done(0), gets_done(1), WORKS, gets_done(1), gets_done(3)]
    place = stage.same(plan, "bash", "-c", resume, "bash", *stage.command(*BUILD))

    runs = [[line["iteration"] for line in place.of(path, "iteration.finished")] for path in place.journals()]
    assert runs == [[1], [1, 2]]
    scores = [[line["score"] for line in place.of(path, "progress.measured")] for path in place.journals()]
    assert scores == [[0.25], [0.5, 0.0]]


@pytest.mark.integration
def test_ctrl_c(stage: Stage) -> None:
    place = stage.same_when_interrupted([gets_done(0), gets_done(1), HANGS, WORKS], *BUILD, "5")

    assert outcomes(place) == [(1, "success"), (2, "cancelled")]
    assert stop_reason(place) == "user_signal"


@pytest.mark.integration
def test_a_journal_that_cannot_be_written_costs_the_loop_nothing(stage: Stage) -> None:
    stage.same_without_journals([gets_done(0), gets_done(1)], *BUILD, "2")


@pytest.mark.integration
def test_a_killed_runner(stage: Stage) -> None:
    assert_crashed(stage.kill([HANGS], *BUILD, "3"))


@pytest.mark.integration
def test_a_crash_of_the_runner_looks_as_without(stage: Stage) -> None:
    place = stage.same([gets_done(0), {"block": ".ralphkit/runs"}], *BUILD, "3")

    assert "Traceback" in place.done.stderr
    assert stop_reason(place) == "error"


@pytest.mark.integration
def test_what_is_seen_is_what_the_table_says(stage: Stage) -> None:
    place = stage.play([gets_done(0), gets_done(4), WORKS], *BUILD, "2")
    assert_seen_is_known(stage, place)
