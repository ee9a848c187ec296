"""The examples and the demo do what they say: run as a reader runs them, with a scripted agent."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ralph_otel.events import Line
from ralph_otel.model import LoopMetrics
from ralph_otel.runs import fold, journals
from support.tape import lines_of
from support.waiting import until

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
AGENT = """
import json, os, pathlib, sys
assert sys.stdin.read() == "Fix it."
calls = pathlib.Path("calls")
number = len(calls.read_text().split()) + 1 if calls.exists() else 1
with calls.open("a") as file:
    file.write((os.environ.get("TRACEPARENT") or "none") + "\\n")
usage = {"inputTokens": 10, "outputTokens": 5, "costUSD": 0.25, "contextWindow": 1000}
print(json.dumps({"type": "result", "subtype": "success", "is_error": False, "num_turns": 1, "total_cost_usd": 0.25,
    "session_id": "s%d" % number, "result": "DONE" if number == 3 else "more", "modelUsage": {"m": usage}}))
if number == 3:
    pathlib.Path("DONE").touch()
sys.exit(7 if number == 2 else 0)
"""
"""Fails at its second call, and is done at its third."""


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A command named `claude`; the working directory is a project with a prompt."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "PROMPT.md").write_text("Fix it.")
    monkeypatch.chdir(project)
    path = tmp_path / "bin" / "claude"
    path.parent.mkdir()
    path.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, "-c", AGENT])} "$@"\n')
    path.chmod(0o755)
    monkeypatch.setenv(
        "PATH", os.pathsep.join([str(path.parent), str(Path(sys.executable).parent), os.environ["PATH"]])
    )
    return path


def example(name: str, *words: str) -> str:
    """Run an example to its end; what it printed."""
    command = [sys.executable, str(EXAMPLES / name), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def recorded(home: Path) -> tuple[list[Line], LoopMetrics]:
    """The lines of the only run, and what they come to."""
    (journal,) = journals(home)
    return lines_of(journal), fold(journal).run.metrics()


def of_type(lines: list[Line], type_: str) -> list[Line]:
    """The lines of one type."""
    return [line for line in lines if line["type"] == type_]


@pytest.fixture(autouse=True)
def no_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing listens; what was recorded is in the journal."""
    monkeypatch.setenv("RALPH_OTEL_EXPORT_FORMAT", "none")


def test_a_runner_of_ones_own_records_iterations_outcomes_and_usage(home: Path, agent: Path) -> None:
    example("runner.py", "claude", "-p", "--output-format", "json")
    lines, metrics = recorded(home)
    assert (metrics.total_iterations, metrics.successful_iterations, metrics.session.sessions_created) == (3, 2, 3)
    assert (metrics.rollups["all"].cost, metrics.rollups["all"].tokens) == (0.75, 45)
    assert [line["exit_code"] for line in of_type(lines, "agent.finished")] == [0, 7, 0]
    assert of_type(lines, "loop.started")[0]["runner"] == "my-runner"
    assert lines[-1]["reason"] == "output_pattern"


def test_a_runners_agent_belongs_to_the_trace(home: Path, agent: Path) -> None:
    example("runner.py", "claude")
    lines, _ = recorded(home)
    expected = [f"00-{line['trace_id']}-{line['span_id']}-01" for line in of_type(lines, "agent.started")]
    assert Path("calls").read_text().split() == expected


def test_a_runner_that_loads_plugins_is_recorded_without_knowing_us(home: Path, agent: Path) -> None:
    assert "import ralph_otel" not in (EXAMPLES / "plugin_loader.py").read_text()
    example("plugin_loader.py", "claude", "-p")
    lines, metrics = recorded(home)
    assert (metrics.total_iterations, metrics.successful_iterations) == (3, 2)
    assert lines[-1]["reason"] == "max_iterations"


def test_a_runner_that_loads_plugins_runs_without_any_that_works(tmp_path: Path, home: Path, agent: Path) -> None:
    broken = tmp_path / "site" / "broken-1.dist-info"
    broken.mkdir(parents=True)
    (broken / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    (broken / "entry_points.txt").write_text("[ralph_loop.plugins]\nbroken = nonesuch:plugin\n")
    command = [sys.executable, str(EXAMPLES / "plugin_loader.py"), "claude"]
    environment = {**os.environ, "PYTHONPATH": str(broken.parent)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert done.stderr == "plugin broken is left out: No module named 'nonesuch'\n"
    assert recorded(home)[1].total_iterations == 3


bash = pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")


@bash
def test_a_loop_in_bash_records_until_its_file_is_there(
    home: Path, agent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENT", "claude -p")
    done = subprocess.run([str(EXAMPLES / "loop.sh")], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    lines, metrics = recorded(home)
    assert (metrics.total_iterations, metrics.successful_iterations, metrics.failed_iterations) == (3, 2, 1)
    assert [line.get("exit_code") for line in of_type(lines, "iteration.finished")] == [0, 7, 0]
    assert (lines[0]["name"], lines[0]["max_iterations"], lines[-1]["reason"]) == ("project", 10, "file_found")
    expected = [f"00-{line['trace_id']}-{line['span_id']}-01" for line in of_type(lines, "agent.started")]
    assert Path("calls").read_text().split() == expected


@bash
def test_a_loop_in_bash_ends_at_its_limit(home: Path, agent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOST", "1")
    monkeypatch.setenv("AGENT", str(agent))
    subprocess.run([str(EXAMPLES / "loop.sh")], check=True, capture_output=True, timeout=60)
    lines, _ = recorded(home)
    assert of_type(lines, "agent.started")[0]["agent"] == "claude"
    assert lines[-1]["reason"] == "max_iterations"


@bash
def test_a_loop_in_bash_that_is_interrupted_says_so(home: Path, agent: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    agent.write_text("#!/bin/sh\ntouch begun\nexec sleep 60\n")
    process = subprocess.Popen([str(EXAMPLES / "loop.sh")], start_new_session=True, stdout=subprocess.DEVNULL)
    until(lambda: Path("begun").exists())
    os.killpg(process.pid, signal.SIGINT)  # what ctrl-C does
    assert process.wait(60) == 130
    lines, metrics = recorded(home)
    assert lines[-1]["reason"] == "user_signal"
    assert metrics.total_iterations == 0


@bash
def test_a_loop_in_bash_runs_where_nothing_can_be_written(
    tmp_path: Path, agent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("RALPH_OTEL_HOME", str(tmp_path / "file"))
    done = subprocess.run([str(EXAMPLES / "loop.sh")], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert len(Path("calls").read_text().split()) == 3
    assert "the event is lost" in done.stderr


def documents(text: str) -> Iterator[Any]:
    """The JSON values that stand in a text one after the other."""
    decoder, at = json.JSONDecoder(), 0
    while text[at:].strip():
        at += len(text[at:]) - len(text[at:].lstrip())
        value, at = decoder.raw_decode(text, at)
        yield value


def test_a_host_with_a_pipeline_gets_spans_and_metrics_there(home: Path) -> None:
    printed = list(documents(example("host_pipeline.py")))
    spans = {one["name"]: one for one in printed if "context" in one}
    assert {"nightly job", "loop hosted", "iteration", "tests"} <= spans.keys()
    assert spans["loop hosted"]["parent_id"] == spans["nightly job"]["context"]["span_id"]
    assert {one["resource"]["attributes"]["service.name"] for one in spans.values()} == {"my-host"}
    (collected,) = [one for one in printed if "resource_metrics" in one]
    metrics = {
        metric["name"]: metric["data"]["data_points"]
        for scope in collected["resource_metrics"][0]["scope_metrics"]
        for metric in scope["metrics"]
    }
    assert [point["value"] for point in metrics["ralph_loop.iterations"]] == [2]
    assert [point["value"] for point in metrics["ralph_loop.test_pass_ratio"]] == [1.0]
    assert recorded(home)[1].total_iterations == 2


def test_the_demo_runs_both_runners_to_passing_tests_and_leaves_its_folder_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    before = sorted((ROOT / "demo").rglob("*"))
    done = subprocess.run([sys.executable, str(ROOT / "demo" / "demo.py")], capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder,) = tmp_path.glob("ralph-otel-demo-*")
    first, second = (fold(path).run for path in journals(folder / "telemetry"))
    assert (first.runner, first.total_iterations, first.stop_reason) == ("ralphify", 2, "max_iterations")
    assert (second.runner, second.total_iterations, second.stop_reason) == ("ralph-otel", 4, "tests_passed")
    assert (second.failed_iterations, second.passing_tests, second.total_tests) == (1, 9, 9)
    assert 'ralph_loop_iterations_total{ralph_loop_name="project",ralph_outcome="failure"' in done.stdout
    assert '"total_iterations": 4' in done.stdout
    assert "tests_passed" in (folder / "report.html").read_text(encoding="utf-8")
    assert f"rm -r {folder}" in done.stdout
    assert "SCRIPT" in done.stdout
    assert list((folder / "telemetry" / "targets").glob("*")) == []
    assert [path for path in sorted((ROOT / "demo").rglob("*")) if "__pycache__" not in path.parts] == [
        path for path in before if "__pycache__" not in path.parts
    ]
