"""What a hook costs Claude Code, which waits for it.

`ralph-otel hook` with a tool's call on its standard input, as the installed command runs it, against a Python that does
nothing, in turn; the journal is on the disk. Processor time of the whole process. `least` is the wall time from its
start to its end, the shortest of all rounds: the others say more of what else the machine does.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.rounds import alternate, middle, ratio
from benchmarks.workload import folder

_BASE = {"session_id": "s1", "cwd": "/somewhere", "transcript_path": "/somewhere/t.jsonl"}
_PROMPT = {**_BASE, "hook_event_name": "UserPromptSubmit", "prompt": "Go on."}
_TOOL = {
    **_BASE,
    "hook_event_name": "PostToolUse",
    "tool_name": "Bash",
    "tool_input": {"command": "make test"},
    "tool_response": {"stdout": "ok\n" * 1000, "is_error": False},
    "duration_ms": 250,
}
_HOOK = [sys.executable, "-m", "ralph_otel", "hook"]
_NOTHING = [sys.executable, "-c", "pass"]


@dataclass
class _Process:
    """One command, run again and again with the same input."""

    command: list[str]
    said: bytes
    environment: dict[str, str]
    least: float = math.inf
    """The shortest wall time of all runs, in seconds."""

    def run(self) -> float:
        """Seconds of processor time."""
        begin = time.perf_counter()
        process = subprocess.Popen(self.command, stdin=subprocess.PIPE, env=self.environment)
        assert process.stdin is not None, "it is a pipe"
        process.stdin.write(self.said)
        process.stdin.close()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        self.least = min(self.least, time.perf_counter() - begin)
        return used.ru_utime + used.ru_stime


def measure(quick: bool = False) -> dict[str, float]:
    """Run hooks of a session that goes on.

    Returns:
        Milliseconds: `hook_ms` and `python_ms`, the processor time of each; `ratio`, the one ÷ the other; `least_ms`,
        the wall time of the quickest hook.
    """
    rounds = 3 if quick else 100
    with folder() as home:
        environment = {**os.environ, "RALPH_OTEL_HOME": str(home)}
        environment.pop("TRACEPARENT", None)
        _Process(_HOOK, json.dumps(_PROMPT).encode(), environment).run()
        said = json.dumps(_TOOL).encode()
        hook, python = _Process(_HOOK, said, environment), _Process(_NOTHING, b"", environment)
        took = alternate({"hook": hook.run, "python": python.run}, rounds)
        _check(home, rounds + 1)
    return {
        "hook_ms": middle(took, "hook") * 1e3,
        "python_ms": middle(took, "python") * 1e3,
        "ratio": ratio(took, "hook", "python"),
        "least_ms": hook.least * 1e3,
    }


def _check(home: Path, calls: int) -> None:
    """Each hook has written its line."""
    seen = sum(path.read_bytes().count(b'"tool.called"') for path in (home / "runs").glob("*.jsonl"))
    if seen != calls:
        raise RuntimeError(f"{seen} calls of {calls}")


def main() -> None:
    """Print the measurement."""
    print(json.dumps(measure()))


if __name__ == "__main__":
    main()
