"""Programs that use ralph-otel, in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ralph_otel.events import Line

from .tape import lines_of

LOOP = """
    import ralph_otel
    collector = ralph_otel.register()
    with collector.loop("l", runner="r") as loop:
        for _ in range(3):
            with loop.session(), loop.iteration() as it, it.agent("claude") as agent:
                agent.usage(output_tokens=10)
                it.tests(1, 0)
                it.progress(0.5)
"""
FOREIGN = ("OTEL_", "RALPH_OTEL_", "TRACEPARENT", "TRACESTATE", "BAGGAGE")
"""How the variables begin that would change what ralph-otel and the SDK do."""
QUIET = {"RALPH_OTEL_EXPORT_FORMAT": "none"}
"""Without exporters, that is without a port."""

_PATIENT = "import ralph_otel.collector\nralph_otel.collector.BARRIER_TIMEOUT = 90.0\n"


@dataclass(frozen=True)
class Ended:
    """How a program ended."""

    code: int
    stdout: str
    stderr: str
    seconds: float


def run(
    script: str,
    cwd: Path,
    *arguments: str,
    env: Mapping[str, str] | None = None,
    python: str = sys.executable,
    patient: bool = False,
) -> Ended:
    """Run a Python program to its end. It gets this process's environment plus `env`.

    Args:
        patient: whether what it asks a collector is waited for as long as that takes on a busy machine.
    """
    began = time.monotonic()
    done = subprocess.run(
        [python, "-c", (_PATIENT if patient else "") + textwrap.dedent(script), *arguments],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr, time.monotonic() - began)


def start(script: str, cwd: Path, *arguments: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Start a Python program; its stdout and stderr are pipes."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), *arguments],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def check_went_well(ended: Ended) -> None:
    """It ended with 0 and said nothing on stderr."""
    assert (ended.code, ended.stderr) == (0, "")


def journal(home: Path) -> list[Line]:
    """The lines of the only journal in a home folder."""
    [path] = (home / "runs").glob("*.jsonl")
    return lines_of(path)
