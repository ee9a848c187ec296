"""`make stack`: what a person starts to look around."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
from backends import Backends
from projects import AGENT, Project
from stack.clients import JaegerClient, PrometheusClient

from support.waiting import until


def test_it_prints_where_everything_is_and_ends_with_ctrl_c(backends: Backends, tmp_path: Path) -> None:
    home = tmp_path / "home"
    environment = {**backends.environment(RALPH_OTEL_HOME=str(home)), "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-m", "stack"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, process_group=0) as process:
        said = _until_started(process)
        children = psutil.Process(process.pid).children()
        prometheus = PrometheusClient(_address("Prometheus", said))
        jaeger = JaegerClient(_address("Jaeger", said))
        loop = next(line for line in said.splitlines() if "ralph-otel run -- ./ralph.sh" in line)
        shell = f"bash -c '{AGENT} < PROMPT.md > out'"
        project = Project(tmp_path / "p", backends)
        run = project.run("sh", "-c", loop.replace("./ralph.sh", shell))
        until(lambda: [span.name for span in jaeger.trace(run.trace_id) if not span.parent_id] == ["loop bash"])
        asked = f'ralph_loop_runs_total{{instance="{run.id}"}}'
        until(lambda: [sample.value for sample in prometheus.query(asked)] == [1], 100, "for the shipped interval")
        os.killpg(process.pid, signal.SIGINT)
        rest, _ = process.communicate(timeout=100)
    assert (process.returncode, rest.strip()) == (0, "stack: stopping")
    assert len(children) == 3
    assert not any(child.is_running() for child in children)
    assert not list(tmp_path.glob("ralph-otel-stack-*"))


def test_two_that_start_at_once_have_ports_of_their_own(backends: Backends, tmp_path: Path) -> None:
    environment = {**backends.environment(RALPH_OTEL_HOME=str(tmp_path / "home")), "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-m", "stack"]
    both = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(2)
    ]
    said = [_until_started(process) for process in both]
    for process in both:
        process.send_signal(signal.SIGINT)
    last = [process.communicate(timeout=100)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], (said, last)
    for name in ("Prometheus", "Jaeger"):
        assert len({_address(name, text) for text in said}) == 2


def _until_started(process: subprocess.Popen[str]) -> str:
    """What it says until all is there, or it ends."""
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if "Ctrl-C" in line:
            break
    return said


def _address(name: str, said: str) -> str:
    [address] = re.findall(rf"^{name} +(http://\S+)$", said, re.MULTILINE)
    return str(address)
