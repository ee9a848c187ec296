"""A real ralphify under `ralph-otel run`: it behaves as without, and its journal says what its agent says."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
from scripted import SUCCESS, Project, executable, launched, settled

from ralph_otel.events import Line
from support.waiting import until

LONG = {"until": "release"}


def kinds(lines: Sequence[Line]) -> list[str]:
    return [line["type"] for line in lines]


def spans_in_traceparents(project: Project) -> list[str]:
    return [call["environment"]["TRACEPARENT"] for call in project.account("argv")]


@pytest.mark.parametrize(
    ("plan", "arguments", "agent", "front"),
    [
        pytest.param([SUCCESS], ["-n", "3"], "claude -p", "", id="success"),
        pytest.param([SUCCESS, {"usage": True, "exit": 3}, SUCCESS], ["-n", "3"], "claude -p", "", id="failing agent"),
        pytest.param([SUCCESS, {"exit": 3}], ["-n", "3", "--stop-on-error"], "claude -p", "", id="stop on error"),
        pytest.param([{}, {"exit": 1}], ["-n", "2"], "aider --yes", "", id="agent that is not streamed"),
        pytest.param([SUCCESS, {}], ["-n", "2", "--log-dir", "logs"], "claude -p", "", id="with a log"),
        pytest.param(
            [SUCCESS], ["-n", "1"], "claude -p", "commands:\n  - name: gone\n    run: no-such-thing\n", id="crash"
        ),
        pytest.param([SUCCESS, LONG], ["-n", "2", "--timeout", "4"], "aider", "", id="timeout"),
    ],
)
def test_output_and_exit_code_are_as_without(
    ralph: str, tmp_path: Path, plan: list[dict[str, Any]], arguments: list[str], agent: str, front: str
) -> None:
    command = [ralph, "run", "my", *arguments]
    without = Project(tmp_path / "without", plan, agent, front).run(command)
    project = Project(tmp_path / "with", plan, agent, front)
    with_telemetry = project.run(launched(*command))

    assert settled(with_telemetry.stdout) == settled(without.stdout)
    assert settled(with_telemetry.stderr) == settled(without.stderr)
    assert with_telemetry.returncode == without.returncode
    assert len(project.journals()) == 1


def test_the_journal_says_what_the_agent_says(ralph: str, tmp_path: Path) -> None:
    project = Project(tmp_path / "p", [SUCCESS, {"usage": True, "exit": 3}, {"exit": 0}])
    project.run(launched(ralph, "run", "my", "-n", "3"))

    agents = project.lines("agent.finished")
    assert [line["exit_code"] for line in agents] == [end["exit"] for end in project.account("exit")] == [0, 3, 0]
    assert [line["pid"] for line in agents] == [call["pid"] for call in project.account("argv")]
    assert [line["agent"] for line in agents] == ["claude"] * 3
    assert [line.get("turns") for line in agents] == [3, 3, None]
    assert spans_in_traceparents(project) == [
        f"00-{line['trace_id']}-{line['span_id']}-01" for line in project.lines("agent.started")
    ]
    iterations = project.lines("iteration.finished")
    assert [(line["iteration"], line["outcome"], line["exit_code"]) for line in iterations] == [
        (1, "success", 0),
        (2, "failure", 3),
        (3, "success", 0),
    ]


def test_usage_context_and_tools_come_from_the_stream(ralph: str, tmp_path: Path) -> None:
    project = Project(tmp_path / "p", [SUCCESS])
    project.run(launched(ralph, "run", "my", "-n", "2"))

    usage = project.lines("usage.measured")
    assert [(line["input_tokens"], line["output_tokens"], line["cache_read_tokens"]) for line in usage] == [
        (10, 1, 1000),
        (20, 2, 1000),
    ]
    assert [(line["cost_usd"], line["cost_source"], line["model"]) for line in usage] == [
        (0.25, "reported", "claude-x")
    ] * 2
    assert [line["percent"] for line in project.lines("context.measured")] == [10.1, 10.2]
    agents = {line["span_id"] for line in project.lines("agent.started")}
    assert [(line["tool"], line["outcome"]) for line in project.lines("tool.called")] == [("Edit", "success")] * 2
    assert {line["parent_span_id"] for line in project.lines("tool.called")} == agents
    assert b"hidden" not in project.journals()[0].read_bytes()


def test_parts_are_nested_and_every_iteration_has_a_session(ralph: str, tmp_path: Path) -> None:
    project = Project(tmp_path / "p", [{}], agent="aider")
    project.run(launched(ralph, "run", "my", "-n", "2"))

    lines = project.lines()
    turn = [
        "session.started",
        "iteration.started",
        "agent.started",
        "agent.finished",
        "iteration.finished",
        "session.ended",
    ]
    assert kinds(lines) == ["loop.started", *turn, *turn, "stop_condition.triggered", "loop.stopped"]
    loop, session, iteration, agent = lines[:4]
    assert session["parent_span_id"] == loop["span_id"]
    assert iteration["parent_span_id"] == session["span_id"]
    assert agent["parent_span_id"] == iteration["span_id"]
    assert len({line["trace_id"] for line in lines}) == 1
    assert (loop["name"], loop["runner"], loop["runner_version"], loop["max_iterations"]) == (
        "my",
        "ralphify",
        "0.3.0",
        2,
    )
    assert lines[-1]["reason"] == "max_iterations"


def test_a_trace_from_outside_goes_on(ralph: str, tmp_path: Path) -> None:
    project = Project(tmp_path / "p", [{}])
    trace, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    project.run(launched(ralph, "run", "my", "-n", "1"), TRACEPARENT=f"00-{trace}-{span}-01", TRACESTATE="a=b")

    [loop] = project.lines("loop.started")
    assert (loop["trace_id"], loop["parent_span_id"]) == (trace, span)
    [call] = project.account("argv")
    [agent] = project.lines("agent.started")
    assert call["environment"]["TRACEPARENT"] == f"00-{trace}-{agent['span_id']}-01"
    assert call["environment"]["TRACESTATE"] == "a=b"


@pytest.mark.parametrize("path", [None, "/somewhere:/else"])
def test_the_agent_sees_the_environment_as_without(ralph: str, tmp_path: Path, path: str | None) -> None:
    changes = {} if path is None else {"PYTHONPATH": path}
    command = [ralph, "run", "my", "-n", "1"]
    without, project = Project(tmp_path / "without", [{}]), Project(tmp_path / "with", [{}])
    without.run(command, **changes)
    project.run(launched(*command), **changes)

    [expected], [found] = without.account("argv"), project.account("argv")
    moved = str(project.folder), str(without.folder)
    environment = {name: value.replace(*moved) for name, value in found["environment"].items()}
    assert environment.pop("TRACEPARENT")
    assert environment == expected["environment"]
    assert [entry.replace(*moved) for entry in found["path"]] == expected["path"]
    assert found["argv"] == expected["argv"]


def test_a_timeout_is_a_timeout(ralph: str, tmp_path: Path) -> None:
    project = Project(tmp_path / "p", [LONG], agent="aider")
    project.run(launched(ralph, "run", "my", "-n", "1", "--timeout", "3"))

    [agent], [iteration] = project.lines("agent.finished"), project.lines("iteration.finished")
    assert (agent["outcome"], agent["exit_code"]) == ("timeout", -signal.SIGTERM)
    assert project.account("exit") == [{"exit": -signal.SIGTERM, "call": 1, "pid": agent["pid"]}]
    assert iteration["outcome"] == "timeout"
    assert 3.0 <= iteration["duration"] < 50


def test_a_crash_of_the_runner_is_an_error_by_its_class_only(ralph: str, tmp_path: Path) -> None:
    front = "commands:\n  - name: gone\n    run: no-such-thing --secret\n"
    project = Project(tmp_path / "p", [{}], front=front)
    project.run(launched(ralph, "run", "my", "-n", "2"))

    assert [line["error_type"] for line in project.lines("error.raised")] == ["FileNotFoundError"]
    [iteration] = project.lines("iteration.finished")
    assert (iteration["outcome"], iteration["error_type"]) == ("failure", "FileNotFoundError")
    assert project.lines()[-1]["reason"] == "error"
    assert b"secret" not in project.journals()[0].read_bytes()


def test_an_agent_that_cannot_be_started_failed(ralph: str, tmp_path: Path) -> None:
    remover = "commands:\n  - name: remove\n    run: rm bin/aider\n"
    outputs = []
    for name, wrap in (("one", list), ("two", lambda command: launched(*command))):
        project = Project(tmp_path / name, [{}], agent=str(tmp_path / name / "bin" / "aider"), front=remover)
        done = project.run(wrap([ralph, "run", "my", "-n", "2"]))
        outputs.append(settled(done.stdout).replace(str(project.folder), ""))
    assert outputs[1] == outputs[0]
    assert "Traceback" in outputs[1]
    [agent], [iteration] = project.lines("agent.finished"), project.lines("iteration.finished")
    assert agent["outcome"] == iteration["outcome"] == "failure"
    assert iteration["error_type"] == "FileNotFoundError"


FINISHING = "\nFinishing current iteration… (Ctrl+C again to force stop)\n"


def interrupt(project: Project, command: Sequence[str], presses: int) -> tuple[str, str, int]:
    """Press ctrl-C (the whole group gets a SIGINT) while the first agent works."""
    process = project.start(command)
    until(lambda: project.account("argv"), what="for the agent to start")
    os.killpg(process.pid, signal.SIGINT)
    assert process.stdout is not None
    before = list(iter(process.stdout.readline, FINISHING[1:]))
    if presses == 1:
        (project.folder / "release").touch()
    else:  # not while it still says so: Python may lose an interrupt that comes within the handler of another
        until(lambda: is_at_rest(process.pid), what="for the first press to be worked off")
        os.killpg(process.pid, signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    after = stdout.replace(FINISHING, "")  # ralphify says it twice when the second press comes while it says it
    return settled("".join(before) + after), settled(stderr), process.returncode


def is_at_rest(pid: int) -> bool:
    """Whether a process and those below it all wait for something."""
    try:
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        return all(each.status() == psutil.STATUS_SLEEPING for each in family)
    except psutil.NoSuchProcess:
        return False


def test_ctrl_c_is_as_without(ralph: str, tmp_path: Path) -> None:
    command = [ralph, "run", "my", "-n", "3"]
    without, project = Project(tmp_path / "without", [LONG]), Project(tmp_path / "with", [LONG])
    assert interrupt(project, launched(*command), 1) == interrupt(without, command, 1)

    assert [line["outcome"] for line in project.lines("iteration.finished")] == ["success"]
    assert project.lines()[-1]["reason"] == "user_signal"


def test_a_second_ctrl_c_cancels_the_agent(ralph: str, tmp_path: Path) -> None:
    command = [ralph, "run", "my", "-n", "3"]
    without, project = Project(tmp_path / "without", [LONG]), Project(tmp_path / "with", [LONG])
    assert interrupt(project, launched(*command), 2) == interrupt(without, command, 2)

    [agent], [iteration] = project.lines("agent.finished"), project.lines("iteration.finished")
    assert (agent["outcome"], agent["exit_code"]) == ("cancelled", -signal.SIGTERM)
    assert iteration["outcome"] == "cancelled"
    assert project.lines()[-1]["reason"] == "user_signal"


def test_a_killed_runner_has_crashed_at_its_last_event(ralph: str, tmp_path: Path) -> None:
    project = Project(tmp_path / "p", [LONG])
    process = project.start(launched(ralph, "run", "my", "-n", "3"))
    until(lambda: project.account("argv"), what="for the agent to start")
    [loop] = project.lines("loop.started")
    os.kill(loop["pid"], signal.SIGKILL)
    process.communicate(timeout=60)
    (project.folder / "release").touch()

    assert process.returncode == -signal.SIGKILL
    *_, last, stopped = project.lines()
    assert (stopped["type"], stopped["reason"]) == ("loop.stopped", "crashed")
    assert stopped["ts"] == last["ts"]
    assert (stopped["trace_id"], stopped["span_id"]) == (loop["trace_id"], loop["span_id"])


def test_a_runner_is_found_behind_wrappers(ralph: str, tmp_path: Path) -> None:
    project = Project(tmp_path / "p", [{}])
    python = str(Path(ralph).parent / "python")  # of an environment that has the runner, without being one itself
    wrapper = executable(
        tmp_path / "wrapper", f"#!{python}\nimport subprocess, sys\nsys.exit(subprocess.call(sys.argv[1:]))\n"
    )
    script = f"{wrapper} {ralph} run my -n 1 && {sys.executable} {wrapper} {ralph} run my -n 2"
    done = project.run(launched("bash", "-c", script))

    assert done.returncode == 0, done.stderr
    first, second = project.journals()
    assert second.stem == f"{first.stem}-2"
    assert len(project.account("argv")) == 3
    assert not any("RALPH_OTEL_LAUNCH" in call["environment"] for call in project.account("argv"))


def test_without_a_place_for_journals_the_loop_runs_on(ralph: str, tmp_path: Path) -> None:
    project = Project(tmp_path / "p", [SUCCESS])
    project.home.write_text("a file where the folder should be")
    done = project.run(launched(ralph, "run", "my", "-n", "2"))

    assert done.returncode == 0
    assert "2 succeeded" in done.stdout
    [line] = done.stderr.splitlines()
    assert str(project.home) in line
    assert "RALPH_OTEL_HOME" in line
    assert "TRACEPARENT" not in project.account("argv")[0]["environment"]


def test_a_journal_that_goes_away_costs_the_loop_nothing(ralph: str, tmp_path: Path) -> None:
    remove = "commands:\n  - name: remove\n    run: rm -rf home\n"
    project = Project(tmp_path / "p", [SUCCESS], front=remove)
    done = project.run(launched(ralph, "run", "my", "-n", "2"))

    assert "2 succeeded" in done.stdout
    assert done.returncode == 0
