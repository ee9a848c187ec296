"""The operating system refuses calls, by injection with `strace`: the host notices nothing, and nothing is lost."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass

import pytest
from fault_scene import Scene

from support.receiver import points

_RUN = "known"
_PROGRAM = f"""
import os, sys, ralph_otel
collector = ralph_otel.register()
collector.wait_ready(60)
with collector.loop("l", run_id="{_RUN}") as loop:
    for number in range(20):
        with loop.iteration():
            os.write(1, b"%d\\n" % number)
collector.flush(30)
sys.exit(3)
"""


def strace_works() -> bool:
    """Whether programs can be looked into here."""
    strace = shutil.which("strace")
    return (
        strace is not None and subprocess.run([strace, "-qq", "true"], capture_output=True, check=False).returncode == 0
    )


pytestmark = pytest.mark.skipif(not strace_works(), reason="needs strace, and leave to use it (apt-get install strace)")


@dataclass(frozen=True)
class Injection:
    """Calls that fail.

    Args:
        name: the test's.
        calls: which, and how, as `strace -e inject=` takes it.
        of_journal: whether only those that are about the journal.
        lines: how many of the journal's 42 lines are in it: the loop's two, and two of each iteration.
        said: what the one line on stderr has in it; "" if there is none.
    """

    name: str
    calls: str
    of_journal: bool
    lines: int
    said: str


INJECTIONS = (
    Injection("no room from the tenth line on", "write:error=ENOSPC:when=10+", True, 9, "events are kept in memory"),
    Injection("an error of the disk for a while", "write:error=EIO:when=10..19", True, 32, "events are kept in memory"),
    Injection("calls are interrupted", "write:error=EINTR:when=10..19", True, 42, ""),
    Injection("the journal cannot be opened", "openat:error=EMFILE", True, 0, "no journal"),
    Injection("nothing can be put in place", "rename,renameat,renameat2:error=EDQUOT", False, 42, "kept in memory"),
)


@pytest.mark.parametrize("injection", INJECTIONS, ids=lambda injection: injection.name)
def test_calls_that_fail_cost_the_host_nothing_and_lose_nothing(injection: Injection, scene: Scene) -> None:
    journal = scene.home / "runs" / f"{_RUN}.jsonl"
    log = scene.folder / "strace"
    which = ["-P", str(journal)] if injection.of_journal else []
    strace = ["strace", "-f", "--seccomp-bpf", "-qq", "-o", str(log), *which, "-e", f"inject={injection.calls}"]
    ended = scene.run([*strace, sys.executable, "-c", _PROGRAM])
    assert "INJECTED" in log.read_text()
    assert (ended.code, ended.stdout) == (3, "".join(f"{number}\n" for number in range(20)))
    lines = [line for line in ended.stderr.splitlines() if not line.startswith("strace: ")]
    assert [line for line in lines if not line.startswith("ralph-otel: ")] == []
    assert any(injection.said in line for line in lines) == bool(lines) == bool(injection.said)
    assert (len(journal.read_bytes().splitlines()) if journal.exists() else 0) == injection.lines
    arrived = scene.arrived()
    assert (arrived.spans, arrived.counted) == (20, 20)
    assert own(scene, "ralph_otel.dropped_events") == 0
    if injection.lines:
        assert own(scene, "ralph_otel.journal_errors") == 42 - injection.lines


def own(scene: Scene, name: str) -> float:
    """The sum of one of our own metrics."""
    metric = scene.received.metrics().get(name)
    return float(sum(points(metric).values())) if metric is not None else 0
