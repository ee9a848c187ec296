"""What the stand-in of an agent adds below `ralph-otel run` to an agent that a shell script starts.

Wall time from the start of the agent's command to its end, the same agent with and without the stand-in, in turn: into
/dev/null, where the output is passed on and read, and for an agent whose output is not understood.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from benchmarks.rounds import alternate, middle
from benchmarks.workload import folder
from ralph_otel.runners.launched import Launch
from ralph_otel.shims.agents import ShellAgents

_AGENTS = ("claude", "aider")
_OUTPUT = 1_000_000


def _start(name: str, environment: Mapping[str, str]) -> float:
    begin = time.perf_counter()
    subprocess.run([name, "-p"], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begin


def _pipe(environment: Mapping[str, str]) -> float:
    """Until the reader of a pipe has all of the agent's output."""
    begin = time.perf_counter()
    done = subprocess.run(["claude", "much"], env=environment, stdout=subprocess.PIPE, check=True)
    if len(done.stdout) != _OUTPUT:
        raise RuntimeError(f"{len(done.stdout)} bytes")
    return time.perf_counter() - begin


def measure(quick: bool = False) -> dict[str, float]:
    """Time agents that do nothing, and one that prints a million bytes.

    Returns:
        Milliseconds: `added_ms` for an agent whose output is read, `unread_ms` for another, `output_ms` for a million
        bytes through a pipe (medians of the differences); `bare_ms` and `shim_ms`, how long the first takes in all.
    """
    rounds = 3 if quick else 100
    with folder() as place:
        bin_ = place / "bin"
        bin_.mkdir()
        for name in _AGENTS:
            (bin_ / name).write_text(f'#!/bin/sh\n[ "$1" != much ] || exec head -c {_OUTPUT} /dev/zero\n')
            (bin_ / name).chmod(0o755)
        bare = {**os.environ, "PATH": f"{bin_}{os.pathsep}{os.environ['PATH']}"}
        bare.pop("TRACEPARENT", None)
        launch = Launch("shim", place)
        shell = ShellAgents(launch, ["ralph.sh"], None, (), place, bare["PATH"])
        try:
            shell.start()
            sides: dict[str, Callable[[], float]] = {}
            for side, environment in (("bare", bare), ("shim", shell.environment(launch.environment(bare)))):
                sides[side] = partial(_start, "claude", environment)
                sides[f"unread_{side}"] = partial(_start, "aider", environment)
                sides[f"output_{side}"] = partial(_pipe, environment)
            took = alternate(sides, rounds)
            shell.drain(0)
            shell.stop(0)
        finally:
            shell.close()
        _check(place / "shim.jsonl", 3 * (rounds + 1))

    def added(kind: str) -> float:
        pairs = zip(took[f"{kind}shim"], took[f"{kind}bare"], strict=True)
        return statistics.median(one - other for one, other in pairs) * 1e3

    return {
        "added_ms": added(""),
        "unread_ms": added("unread_"),
        "output_ms": added("output_"),
        "bare_ms": middle(took, "bare") * 1e3,
        "shim_ms": middle(took, "shim") * 1e3,
    }


def _check(journal: Path, iterations: int) -> None:
    seen = journal.read_bytes().count(b'"iteration.finished"')
    if seen != iterations:
        raise RuntimeError(f"{seen} iterations of {iterations}")


def main() -> None:
    """Print the measurement."""
    print(json.dumps(measure()))


if __name__ == "__main__":
    main()
