"""A real ralphx `LoopExecutor` under `ralph-otel run`; its journal says what its agents say.

Its web application starts executors as the program here does. (Its own command `run` of 0.4.3 fails before any loop.)
"""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from workplace import HANGS, Stage, assert_agrees, assert_crashed, assert_seen_is_known, outcomes, stop_reason

PROGRAM = """
import asyncio, json, sqlite3, sys, time
from pathlib import Path
from ralphx.core.database import Database
from ralphx.core.executor import LoopExecutor
from ralphx.core.project_db import ProjectDatabase
from ralphx.models.loop import LoopConfig
from ralphx.models.project import Project

setting = json.loads(sys.argv[1])
accounts = Database()
with sqlite3.connect(accounts.db_path) as connection:  # a fresh database of 0.4.3 lacks what its code writes
    connection.execute("ALTER TABLE accounts ADD COLUMN priority INTEGER")
accounts.create_account("somebody@example.org", "token", int(time.time()) + 100000)
consumer = setting.get("items") is not None
config = LoopConfig(
    name="tidy", display_name="Tidy", type="consumer" if consumer else "generator",
    modes={"only": {"model": "sonnet", "timeout": 300, "tools": [], "prompt_template": "none"}},
    mode_selection={"strategy": "fixed", "fixed_mode": "only"},
    limits={"cooldown_between_iterations": 0, "max_consecutive_errors": 2, **setting.get("limits", {})},
)

def executor_in(folder):
    folder.mkdir(exist_ok=True)
    db = ProjectDatabase(folder)
    db.create_workflow("w", "w", status="active")
    step = db.create_workflow_step("w", 1, "step", "autonomous", status="active")["id"]
    for number in range(setting.get("items", 0)):
        db.create_work_item(f"i{number}", "w", step, "do it", status="completed")
    project = Project(id="p", slug="p", name="p", path=folder)
    return LoopExecutor(project, config, db, "w", step, consume_from_step_id=step if consumer else None)

def pause(executor, event):
    if event.event.value == "iteration_completed" and not executor.is_paused and executor.current_iteration == 1:
        executor.pause()
        asyncio.get_running_loop().call_later(0.3, executor.resume)

async def main():
    executors = [executor_in(Path.cwd() / folder) for folder in setting.get("folders", ["."])]
    if setting.get("pause"):
        executors[0].add_event_handler(lambda event: pause(executors[0], event))
    return await asyncio.gather(*[executor.run(max_iterations=setting.get("iterations")) for executor in executors])

for run in asyncio.run(main()):
    print(run.status.value, run.iterations_completed, run.items_generated)
"""
FINDS: dict[str, Any] = {"journal": True, "text": json.dumps([{"id": "i1", "content": "found"}])}
FINDS_NOTHING: dict[str, Any] = {"journal": True}


def staged(tmp_path: Path) -> Stage:
    """The runner, and places that are ready for it."""
    return Stage("ralphx", tmp_path)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return staged(tmp_path)


def run(**setting: Any) -> tuple[str, ...]:
    return ("python", "-c", PROGRAM, json.dumps(setting))


def test_a_generator_runs(stage: Stage) -> None:
    place = stage.same([FINDS, FINDS_NOTHING], *run(iterations=2))

    assert place.done.stdout.strip() == "completed 2 1"
    assert_agrees(place, agents=2)
    assert outcomes(place) == [(1, "success"), (2, "success")]
    assert [line["made_progress"] for line in place.lines("progress.measured")] == [True, False]
    assert [line["percent"] for line in place.lines("context.measured")] == [10.1, 10.2]
    assert [line["tool"] for line in place.lines("tool.called")] == ["Edit", "Edit"]
    assert [line["turns"] for line in place.lines("agent.finished")] == [3, 3]
    [loop] = place.lines("loop.started")
    assert (loop["name"], loop["runner"], loop["max_iterations"]) == ("tidy", "ralphx", 2)
    assert stop_reason(place) == "max_iterations"


@pytest.mark.integration
def test_parts_are_nested(stage: Stage) -> None:
    place = stage.play([FINDS], *run(iterations=1))

    lines = place.lines()
    names = {line["span_id"]: line["type"].split(".")[0] for line in lines if line["type"].endswith(".started")}
    around = {line["type"]: names.get(line.get("parent_span_id", "")) for line in lines}
    assert (around["tool.called"], around["agent.started"]) == ("agent", "iteration")
    assert (around["iteration.started"], around["session.started"]) == ("session", "loop")
    assert place.lines("agent.started")[0]["model"] == "claude-sonnet-4-20250514"
    assert place.lines("agent.finished")[0]["conversation"] == "s1"


@pytest.mark.integration
def test_a_consumer_works_until_all_items_are_done(stage: Stage) -> None:
    place = stage.same([FINDS_NOTHING], *run(items=2))

    assert place.done.stdout.strip() == "completed 2 0"
    assert_agrees(place, agents=2)
    assert outcomes(place) == [(1, "success"), (2, "success")]  # and a third, which found no item, is none
    assert [line["made_progress"] for line in place.lines("progress.measured")] == [True, True]
    assert stop_reason(place) == "completed"


@pytest.mark.integration
def test_agents_that_fail(stage: Stage) -> None:
    place = stage.same([FINDS, {**FINDS, "exit": 3}], *run(iterations=9))

    assert_agrees(place, agents=3)
    assert outcomes(place) == [(1, "success"), (2, "failure"), (3, "failure")]
    assert [line["exit_code"] for line in place.lines("iteration.finished")] == [0, 3, 3]
    assert stop_reason(place) == "error"


@pytest.mark.integration
@pytest.mark.parametrize(
    ("plan", "setting", "reason"),
    [
        pytest.param([FINDS], {"limits": {"max_runtime_seconds": 1}}, "max_duration", id="duration"),
        pytest.param([FINDS], {"limits": {"max_iterations": 1}}, "max_iterations", id="iterations"),
        pytest.param([{"journal": True, "text": "[GENERATION_COMPLETE]"}], {}, "completed", id="complete"),
        pytest.param([FINDS_NOTHING], {}, "completed", id="exhausted"),
    ],
)
def test_why_it_stops(stage: Stage, plan: list[dict[str, Any]], setting: dict[str, Any], reason: str) -> None:
    place = stage.play(plan, *run(**setting))

    assert place.done.stdout.startswith("completed")
    assert stop_reason(place) == reason


@pytest.mark.integration
def test_a_pause(stage: Stage) -> None:
    place = stage.same([FINDS], *run(iterations=2, pause=True))

    [paused], [resumed] = place.lines("loop.paused"), place.lines("loop.resumed")
    assert (resumed["ts"] - paused["ts"]) / 1e9 >= 0.3
    assert len(outcomes(place)) == 2


@pytest.mark.integration
def test_loops_side_by_side_do_not_mix(stage: Stage) -> None:
    place = stage.play([FINDS], *run(iterations=2, folders=["one", "two"]))

    assert place.done.stdout.count("completed 2") == 2
    given = sorted(call["environment"]["TRACEPARENT"] for call in place.calls())
    agents = [line for path in place.journals() for line in place.of(path, "agent.started")]
    assert given == sorted(f"00-{line['trace_id']}-{line['span_id']}-01" for line in agents)
    for path in place.journals():
        assert [line["iteration"] for line in place.of(path, "iteration.finished")] == [1, 2]
        assert len({line["trace_id"] for line in place.of(path, "agent.started")}) == 1
        assert len(place.of(path, "usage.measured")) == len(place.of(path, "tool.called")) == 2
    assert len(given) == 4


@pytest.mark.integration
def test_ctrl_c(stage: Stage) -> None:
    place = stage.same_when_interrupted([FINDS, {**FINDS, **HANGS}], *run(iterations=5))

    assert outcomes(place) == [(1, "success"), (2, "cancelled")]
    assert place.lines("agent.finished")[1]["exit_code"] == -signal.SIGINT
    assert stop_reason(place) == "user_signal"


@pytest.mark.integration
def test_a_journal_that_cannot_be_written_costs_the_loop_nothing(stage: Stage) -> None:
    stage.same_without_journals([FINDS], *run(iterations=2))


@pytest.mark.integration
def test_a_killed_runner(stage: Stage) -> None:
    assert_crashed(stage.kill([{**FINDS, **HANGS}], *run(iterations=2)))


@pytest.mark.integration
def test_what_is_seen_is_what_the_table_says(stage: Stage) -> None:
    place = stage.play([FINDS], *run(iterations=2, pause=True))
    assert_seen_is_known(stage, place)
