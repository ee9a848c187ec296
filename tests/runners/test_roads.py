"""The roads on which a real runner is seen besides `ralph-otel run`: it registers itself, or OpenTelemetry does it.

Each runner has an environment on top of its own: for OpenTelemetry's launcher with a distribution, the package of
declarative configuration, and ralph-otel; for `ralph-otel enable` with nothing of these.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import test_ralph_loop
import test_ralph_orchestrator
import test_ralph_py
import test_ralph_runner
import test_ralphify_signals
import test_ralphkit
import test_ralphx
from environments import environment_with, on_top_of
from workplace import WORKS, Stage, Workplace, assert_agrees, compared

from support.pythons import needed
from support.receiver import Received, points
from support.tape import lines_of
from support.waiting import until

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
OPENTELEMETRY = ("opentelemetry-distro==0.66b2", "opentelemetry-configuration==0.66b2", f"--editable={ROOT}")
CONFIGURATION = """
file_format: "1.0"
resource:
  attributes:
    - name: service.name
      value: mine
tracer_provider:
  processors:
    - batch:
        schedule_delay: 100
        exporter:
          otlp_http:
            endpoint: {url}/v1/traces
meter_provider:
  readers:
    - periodic:
        interval: 500
        exporter:
          otlp_http:
            endpoint: {url}/v1/metrics
instrumentation/development:
  python:
    ralph_otel: {{}}
"""


@dataclass(frozen=True)
class Run:
    """A short run of a runner.

    Args:
        staged: makes its stage.
        plan: what the agent does.
        command: the runner's command.
        iterations: how many there are.
    """

    staged: Callable[[Path], Stage]
    plan: list[dict[str, Any]]
    command: tuple[str, ...]
    iterations: int


RUNS = {
    "ralphify": Run(test_ralphify_signals.staged, [WORKS], ("ralph", "run", "my", "-n", "2"), 2),
    "ralph-loop": Run(test_ralph_loop.staged, [test_ralph_loop.says("CONTINUE")], (*test_ralph_loop.RUN, "2"), 2),
    "ralph-orchestrator": Run(
        test_ralph_orchestrator.staged,
        [test_ralph_orchestrator.COMPLETE],
        test_ralph_orchestrator.run("gemini", 1),
        1,
    ),
    "ralph-py": Run(test_ralph_py.staged, [WORKS, test_ralph_py.COMPLETE], (*test_ralph_py.RUN, "5"), 2),
    "ralph-runner": Run(
        test_ralph_runner.staged, [WORKS, test_ralph_runner.DONE], (*test_ralph_runner.RUN, "5", "--verify", "true"), 2
    ),
    "ralphx": Run(test_ralphx.staged, [test_ralphx.FINDS], test_ralphx.run(iterations=2), 2),
    "ralphkit": Run(
        test_ralphkit.staged,
        [test_ralphkit.gets_done(0), test_ralphkit.gets_done(4), WORKS],
        (*test_ralphkit.BUILD, "9"),
        1,
    ),
}


@pytest.fixture(params=RUNS)
def run(request: pytest.FixtureRequest) -> Run:
    return RUNS[request.param]


def assert_seen(place: Workplace, run: Run, received: Received) -> None:
    """Journal and receiver say of the loop what its agents say, and it is there once."""
    assert_agrees(place)
    assert len(place.lines("iteration.finished")) == run.iterations
    until(lambda: _figure(received, "ralph_loop.runs") == 1, what="for the run to be counted")
    assert _figure(received, "ralph_loop.iterations") == run.iterations
    until(lambda: len(_agents(received)) == len(place.calls()), what="for the agents' spans")
    assert sorted(_agents(received)) == sorted(
        call["environment"]["TRACEPARENT"].split("-")[2] for call in place.calls()
    )


def _figure(received: Received, name: str) -> float:
    metric = received.metrics().get(name)
    return float(sum(points(metric).values())) if metric is not None else 0


def _agents(received: Received) -> list[str]:
    return [span.span_id.hex() for span in received.spans() if span.name.startswith("invoke_agent")]


def test_it_registers_itself_where_that_is_enabled(run: Run, tmp_path: Path, receiver: Received) -> None:
    stage = run.staged(tmp_path)
    environment = on_top_of(tmp_path / "environment", stage.bin.parent)
    stage.moved(environment)
    settings = {
        "RALPH_OTEL_EXPORT_FORMAT": "otlp",
        "RALPH_OTEL_COLLECTION_INTERVAL": "500ms",
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url,
    }
    without, place = stage.workplace(run.plan), stage.workplace(run.plan)
    without.done = without.run(stage.command(*run.command), **settings)
    enable = [sys.executable, "-m", "ralph_otel", "enable", "--python", str(environment)]
    subprocess.run(enable, env=place.environment, capture_output=True, check=True)
    place.done = place.run(stage.command(*run.command), **settings)
    assert_seen(place, run, receiver)
    compared(without, place)
    assert receiver.resource("metrics")["service.name"] == "ralph-loop"


@pytest.fixture
def instrumented(run: Run, tmp_path: Path) -> tuple[Stage, list[str]]:
    """The runner where OpenTelemetry's packages and ralph-otel are, too; and the launcher before its command."""
    stage = run.staged(tmp_path)
    opentelemetry = environment_with("opentelemetry", OPENTELEMETRY)
    stage.moved(on_top_of(tmp_path / "environment", stage.bin.parent, opentelemetry))
    return stage, [str(opentelemetry / "bin" / "opentelemetry-instrument")]


def test_opentelemetry_s_launcher_finds_it(run: Run, instrumented: tuple[Stage, list[str]], receiver: Received) -> None:
    stage, launcher = instrumented
    place = stage.workplace(run.plan)
    place.done = place.run(
        [*launcher, *stage.command(*run.command)],
        OTEL_SERVICE_NAME="mine",
        OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url,
        OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
        OTEL_METRIC_EXPORT_INTERVAL="500",
    )
    assert_seen(place, run, receiver)
    assert receiver.resource("metrics")["service.name"] == "mine"


def test_declarative_configuration_finds_it(
    run: Run, instrumented: tuple[Stage, list[str]], receiver: Received
) -> None:
    stage, launcher = instrumented
    place = stage.workplace(run.plan)
    (place.folder / "home").mkdir()
    file = place.folder / "home" / "otel.yaml"
    file.write_text(CONFIGURATION.format(url=receiver.url))
    place.done = place.run([*launcher, *stage.command(*run.command)], OTEL_CONFIG_FILE=str(file))
    assert_seen(place, run, receiver)
    assert receiver.resource("metrics")["service.name"] == "mine"


def test_both_at_once_count_once(tmp_path: Path, receiver: Received) -> None:
    run = RUNS["ralphify"]
    stage = run.staged(tmp_path)
    opentelemetry = environment_with("opentelemetry", OPENTELEMETRY)
    environment = on_top_of(tmp_path / "environment", stage.bin.parent, opentelemetry)
    stage.moved(environment)
    place = stage.workplace(run.plan)
    enable = [sys.executable, "-m", "ralph_otel", "enable", "--python", str(environment)]
    subprocess.run(enable, env=place.environment, capture_output=True, check=True)
    place.done = place.run(
        [str(opentelemetry / "bin" / "opentelemetry-instrument"), *stage.command(*run.command)],
        OTEL_SERVICE_NAME="mine",
        OTEL_EXPORTER_OTLP_ENDPOINT=receiver.url,
        OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
        OTEL_METRIC_EXPORT_INTERVAL="500",
    )
    assert_seen(place, run, receiver)
    assert [lines_of(journal)[0]["runner"] for journal in place.journals()] == ["ralphify"]


@pytest.mark.parametrize(("name", "version"), [("ralph-loop", "3.10"), ("ralphkit", "3.12"), ("ralph-runner", "3.13")])
def test_below_a_launch_it_is_seen_in_another_python(name: str, version: str, tmp_path: Path) -> None:
    run = RUNS[name]
    stage = run.staged(tmp_path)
    requirement = f"{name}=={stage.runner.tested[0]}"
    stage.moved(environment_with(f"{requirement}-python{version}", [requirement], needed(version)))
    place = stage.same(run.plan, *run.command)
    assert_agrees(place)
    assert len(place.lines("iteration.finished")) == run.iterations
