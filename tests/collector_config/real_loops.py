"""Loops of all sorts, each a process that sends its telemetry to a collector."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

from support.tape import lines_of

SCRIPT = """
    import sys, time
    import ralph_otel
    name, behaviour = sys.argv[1:]
    collector = ralph_otel.register()
    with collector.loop(name, runner="r") as loop:
        for number in range(1, 4):
            with loop.session(), loop.iteration() as it, it.agent("claude", model="m") as agent:
                agent.usage(model="m", input_tokens=10, output_tokens=300, cost_usd=0.0125)
                agent.tool("Bash", "failure" if behaviour == "clumsy" else "success", 0.01)
                it.context_usage(61.0)
                it.tests(passed=41, failed=1 if behaviour == "clumsy" else 0)
                it.progress(0.4, files_changed=2)
                if number == 3 and behaviour == "slow":
                    time.sleep(5.1)
                if number == 3 and behaviour in ("fails", "fails late"):
                    it.fail("timeout")
            if number == 2 and behaviour == "reboots":
                with loop.reboot("redline", context_percent=88):
                    pass
            if number == 2 and behaviour in ("fails late", "waits"):
                collector.flush(60)
                print("two", flush=True)
                sys.stdin.readline()
    collector.flush(60)
"""


@dataclass(frozen=True)
class Finished:
    """A loop that has ended.

    Args:
        run: its run id.
        traces: the ids of its traces.
        spans: the ids of its spans.
        events: the number of its journal's lines.
    """

    run: str
    traces: tuple[str, ...]
    spans: frozenset[str]
    events: int


def begin(name: str, behaviour: str, home: Path, **environment: str) -> subprocess.Popen[str]:
    """Start a loop of three iterations: one that `fails` in the last, is `slow` there, `reboots` before it, has a
    `clumsy` agent whose tools and tests fail, does all well (`fine`), or `waits` after the second for a line, as one
    that `fails late` does.
    """
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SCRIPT), name, behaviour],
        env={
            **os.environ,
            "RALPH_OTEL_HOME": str(home),
            "RALPH_OTEL_COLLECTION_INTERVAL": "0.5s",
            "RALPH_OTEL_RESOURCES": "false",
            **environment,
        },
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def end(process: subprocess.Popen[str], name: str, home: Path) -> Finished:
    """Let it go on, if it waits, and wait for its end; what its journal says."""
    process.communicate("go on\n", timeout=100)
    assert process.returncode == 0
    for path in (home / "runs").glob("*.jsonl"):
        lines = lines_of(path)
        if lines[0].get("name") == name:
            traces = dict.fromkeys(line["trace_id"] for line in lines if "trace_id" in line)
            spans = frozenset(line["span_id"] for line in lines if "span_id" in line)
            return Finished(path.stem, tuple(traces), spans, len(lines))
    raise AssertionError(f"no journal of {name}")


def run(name: str, behaviour: str, home: Path, **environment: str) -> Finished:
    """Run a loop from its beginning to its end."""
    return end(begin(name, behaviour, home, **environment), name, home)
