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
        assert process.stdout is not None
        said = ""
        while "Ctrl-C" not in said:
            line = process.stdout.readline()
            assert line, said
            said += line
        children = psutil.Process(process.pid).children()
        prometheus = PrometheusClient(_address("Prometheus", said))
        jaeger = JaegerClient(_address("Jaeger", said))
        loop = next(line for line in said.splitlines() if "ralph-otel run -- ./ralph.sh" in line)
        shell = f"bash -c '{AGENT} < PROMPT.md > out'"
        project = Project(tmp_path / "p", backends)
        run = project.run("sh", "-c", loop.replace("./ralph.sh", shell))
        until(lambda: [span.name for span in jaeger.trace(run.trace_id) if not span.parent_id] == ["loop bash"])
        asked = f'ralph_loop_runs_total{{instance="{run.id}"}}'
        until(lambda: [sample.value for sample in prometheus.query(asked)] == [1], 40, "for the shipped interval")
        os.killpg(process.pid, signal.SIGINT)
        rest, _ = process.communicate(timeout=30)
    assert (process.returncode, rest.strip()) == (0, "stack: stopping")
    assert len(children) == 3
    assert not any(child.is_running() for child in children)
    assert not list(tmp_path.glob("ralph-otel-stack-*"))


def _address(name: str, said: str) -> str:
    [address] = re.findall(rf"^{name} +(http://\S+)$", said, re.MULTILINE)
    return str(address)
