"""ralphify's Python interface in a process that has a collector: the same adapter, attached in place."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import ralphify
import ralphify._agent
import ralphify.cli
import ralphify.engine
import ralphify.manager
from scripted import SUCCESS, Project

from ralph_otel import runners
from ralph_otel.events import Line
from ralph_otel.probe import Loop
from support.waiting import until

pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # ralphify leaves its pipes open

HOLDERS = (ralphify, ralphify.engine, ralphify.manager, ralphify.cli)
ORIGINAL = ralphify.engine.run_loop


class Loops:
    """Loops that keep their lines in memory."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.made: list[Loop] = []

    def start(self, name: str, **arguments: Any) -> Loop:
        self.made.append(Loop(name, self.lines.append, **arguments))
        return self.made[-1]

    def of(self, type_: str) -> list[Line]:
        return [line for line in self.lines if line["type"] == type_]


@pytest.fixture
def loops() -> Iterator[Loops]:
    made = Loops()
    runners.attach_all(made.start)
    yield made
    runners.detach_all()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Project]:
    def make(*plan: dict[str, Any], name: str = "p") -> Project:
        made = Project(tmp_path / name, plan)
        monkeypatch.chdir(made.folder)
        monkeypatch.setenv("PATH", made.environment["PATH"])
        return made

    return make


def config(project: Project, **changes: Any) -> Any:
    folder = project.folder / "my"
    fields = {"agent": "claude -p", "ralph_dir": folder, "ralph_file": folder / "RALPH.md", **changes}
    return ralphify.RunConfig(**fields)


def test_whoever_has_imported_run_loop_by_name_is_seen(
    loops: Loops, project: Callable[..., Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    runners.detach_all()
    host = ModuleType("a_host_program")
    host.run_loop = ORIGINAL  # type: ignore[attr-defined]  # as `from ralphify import run_loop` does
    monkeypatch.setitem(sys.modules, "a_host_program", host)
    runners.attach_all(loops.start)
    here = project({})

    for number, holder in enumerate((*HOLDERS, host), start=1):
        assert holder.run_loop is not ORIGINAL
        holder.run_loop(config(here, max_iterations=1), ralphify.RunState(f"run-{number}"))
        assert len(loops.of("loop.started")) == len(loops.of("loop.stopped")) == number


def test_the_runners_own_emitter_hears_everything(loops: Loops, project: Callable[..., Project]) -> None:
    here, emitter = project(SUCCESS), ralphify.QueueEmitter()
    ralphify.run_loop(config(here, max_iterations=2), ralphify.RunState("r"), emitter)
    heard = [emitter.queue.get_nowait().type.value for _ in range(emitter.queue.qsize())]

    assert heard.count("iteration_completed") == 2
    assert heard[-1] == "run_stopped"
    assert [line["iteration"] for line in loops.of("iteration.finished")] == [1, 2]


def test_loops_in_threads_do_not_mix(
    loops: Loops, project: Callable[..., Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = project({"until": "release"})
    manager = ralphify.RunManager()
    ids = [manager.create_run(config(here, max_iterations=2)).state.run_id for _ in range(3)]
    for run in ids:
        manager.start_run(run)
    until(lambda: len(here.account("argv")) >= 3, what="for three agents at work")
    assert "TRACEPARENT" not in os.environ
    (here.folder / "release").touch()
    threads = [run.thread for run in manager.list_runs()]
    assert all(isinstance(thread, threading.Thread) for thread in threads)
    for thread in threads:
        thread.join(60)

    contexts = {call["environment"]["TRACEPARENT"] for call in here.account("argv")}
    assert contexts == {f"00-{line['trace_id']}-{line['span_id']}-01" for line in loops.of("agent.started")}
    assert len(contexts) == 6
    for loop in loops.made:
        mine = [line for line in loops.lines if line["loop"] == loop.run_id]
        assert [line["iteration"] for line in mine if line["type"] == "iteration.finished"] == [1, 2]
        assert {line["trace_id"] for line in mine} == {loop.trace_id}


def test_a_pause_is_seen(loops: Loops, project: Callable[..., Project]) -> None:
    here, manager = project({}), ralphify.RunManager()
    run = manager.create_run(config(here, max_iterations=1))
    run.state.request_pause()
    manager.start_run(run.state.run_id)
    until(lambda: loops.of("loop.paused"), what="for the pause")
    manager.resume_run(run.state.run_id)
    run.thread.join(60)

    assert [line["type"] for line in loops.lines][:3] == ["loop.started", "loop.paused", "loop.resumed"]
    assert loops.lines[-1]["reason"] == "max_iterations"


def test_a_run_that_is_asked_to_stop_was_stopped_by_its_user(loops: Loops, project: Callable[..., Project]) -> None:
    here, state = project({}), ralphify.RunState("r")
    state.request_stop()
    ralphify.run_loop(config(here, max_iterations=5), state)
    assert [line["type"] for line in loops.lines] == ["loop.started", "stop_condition.triggered", "loop.stopped"]
    assert loops.lines[-1]["reason"] == "user_signal"


def test_a_limit_that_is_raised_while_the_loop_runs_counts(loops: Loops, project: Callable[..., Project]) -> None:
    here = project({})
    settings = config(here, max_iterations=1)

    class Raise:
        def emit(self, event: Any) -> None:
            if event.type.value == "iteration_started":
                settings.max_iterations = 3

    ralphify.run_loop(settings, ralphify.RunState("r"), Raise())
    assert len(loops.of("iteration.finished")) == 3
    assert loops.lines[-1]["reason"] == "max_iterations"


def test_an_exception_that_leaves_the_run_leaves_it_as_without(loops: Loops, project: Callable[..., Project]) -> None:
    class Broken:
        def emit(self, event: Any) -> None:
            if event.type.value in ("iteration_started", "log_message"):
                raise LookupError("of the emitter itself")

    with pytest.raises(LookupError, match="of the emitter itself"):
        ralphify.run_loop(config(project({}), max_iterations=1), ralphify.RunState("r"), Broken())
    assert loops.lines[-1]["reason"] == "error"
    assert {line["error_type"] for line in loops.of("error.raised")} == {"LookupError"}
    [iteration] = loops.of("iteration.finished")
    assert iteration["outcome"] == "failure"


def test_wrong_arguments_raise_as_without(loops: Loops) -> None:
    with pytest.raises(TypeError) as expected:
        ORIGINAL("config", strange=1)
    with pytest.raises(TypeError) as found:
        ralphify.run_loop("config", strange=1)
    assert str(found.value) == str(expected.value)
    assert not loops.lines


def test_detached_everything_is_as_it_was(loops: Loops, project: Callable[..., Project]) -> None:
    runners.detach_all()
    assert all(holder.run_loop is ORIGINAL for holder in HOLDERS)
    assert ralphify._agent.subprocess is subprocess
    ralphify.run_loop(config(project({}), max_iterations=1), ralphify.RunState("r"))
    assert not loops.lines


def test_attached_twice_a_loop_is_seen_once(loops: Loops, project: Callable[..., Project]) -> None:
    runners.attach_all(loops.start)
    here = project({})
    ralphify.run_loop(config(here, max_iterations=1), ralphify.RunState("r"))
    assert len(loops.of("loop.started")) == 1
    assert len(loops.of("agent.started")) == 1
    runners.detach_all()
    assert ralphify.engine.run_loop is ORIGINAL


@pytest.mark.parametrize("error", [OSError("no space"), RuntimeError("of ours")])
def test_without_a_loop_the_run_goes_on(project: Callable[..., Project], error: Exception, heard: list[str]) -> None:
    def broken(name: str, **arguments: Any) -> Loop:
        raise error

    runners.attach_all(broken)
    try:
        here, state = project({}), ralphify.RunState("r")
        ralphify.run_loop(config(here, max_iterations=2), state)
    finally:
        runners.detach_all()
    assert state.completed == 2
    assert "TRACEPARENT" not in here.account("argv")[0]["environment"]
    assert len(heard) == (0 if isinstance(error, OSError) else 1)


def test_an_event_that_is_different_costs_itself_only(
    loops: Loops, project: Callable[..., Project], heard: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ralphify.engine, "IterationStartedData", lambda iteration: {"turn": iteration})
    state = ralphify.RunState("r")
    ralphify.run_loop(config(project(SUCCESS), max_iterations=2), state)
    assert state.completed == 2
    assert [line["type"] for line in loops.lines if line["type"].startswith("loop.")] == [
        "loop.started",
        "loop.stopped",
    ]
    [line] = heard
    assert "ralphify 0.3.0" in line
    assert "KeyError" in line


def test_a_version_whose_run_loop_is_different_is_left_alone(monkeypatch: pytest.MonkeyPatch, heard: list[str]) -> None:
    def different(settings: Any) -> None: ...

    monkeypatch.setattr(ralphify.engine, "run_loop", different)
    runners.attach_all(Loops().start)
    runners.detach_all()
    assert ralphify.engine.run_loop is different
    [line] = heard
    assert "not seen: loops" in line
    assert "tested with ralphify 0.3.0" in line


def test_a_version_that_starts_agents_otherwise_still_has_its_iterations_seen(
    project: Callable[..., Project], monkeypatch: pytest.MonkeyPatch, heard: list[str]
) -> None:
    loops = Loops()
    monkeypatch.setattr(ralphify._agent, "subprocess", ModuleType("other"))
    monkeypatch.setattr(ralphify._agent, "_run_agent_streaming", lambda *_, **__: ralphify._agent.AgentResult(0))
    runners.attach_all(loops.start)
    try:
        ralphify.run_loop(config(project({}), max_iterations=2), ralphify.RunState("r"))
    finally:
        runners.detach_all()
    assert len(loops.of("iteration.finished")) == 2
    [line] = heard
    assert "not seen: agents" in line


def test_a_module_of_that_name_without_the_distribution_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runners, "version_of", lambda runner: None)
    runners.attach_all(Loops().start)
    assert ralphify.engine.run_loop is ORIGINAL
    runners.detach_all()
