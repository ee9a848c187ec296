"""Journals for the page, with something of everything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .tape import Tape
from .watched import ago

MARKUP = "<img src=x onerror=window.hurt=1>"
HOSTILE = f"{MARKUP}\x1b[31mred\x1b[0m‮\u0000'\"&"
"""A name that would do harm where it is not shown as text."""


def rich(run: str = "20261126T010000Z-rich00", name: str = "fix-bugs", age: float = 3600, turns: int = 12) -> Tape:
    """A run that has ended, with all that the page can show."""
    tape = Tape(name, run, runner="ralphify", runner_version="0.3.0", max_iterations=50)
    at = 0.0
    for number in range(1, turns + 1):
        at = _turn(tape, at, number)
    return ago(tape.add(at, "loop.stopped", reason="tests_passed"), age)


def _turn(tape: Tape, at: float, number: int) -> float:
    """An iteration of about a minute; every fourth fails and ends in a reboot."""
    fails = number % 4 == 0
    took = 40.0 + number * 7 % 30
    tape.add(at, "session.started", session=f"s{number}").add(at, "iteration.started", iteration=number)
    tape.add(at + 1, "agent.started", agent="claude", model="claude-x", pid=1)
    for step, tool in enumerate(("Read", "Edit", "Bash")):
        tape.add(at + 6 + step * 8, "tool.called", tool=tool, outcome="success", duration=3.0)
    tape.add(at + took - 8, "agent.finished", agent="claude", exit_code=1 if fails else 0, turns=4)
    tape.add(
        at + took - 8, "usage.measured", model="claude-x", input_tokens=900, output_tokens=300, cost_usd=0.12,
        cache_read_tokens=20_000,
    )  # fmt: skip
    tape.add(at + took - 7, "context.measured", percent=30.0 + number * 17 % 62)
    results = {"tests/a.py::test_one": True, "tests/a.py::test_two": not fails, "tests/a.py::test_new": number > 8}
    tape.add(
        at + took - 2, "tests.finished", passed=30 + number - fails, failed=2 + fails, duration=4.0, results=results
    )
    tape.add(at + took - 1, "progress.measured", score=0.0 if fails else 0.4, files_changed=2, lines_added=9, commits=1)
    outcome = "failure" if fails else "success"
    more: dict[str, Any] = {"error_type": "AgentFailed", "exit_code": 1} if fails else {}
    tape.add(at + took, "iteration.finished", iteration=number, outcome=outcome, duration=took, **more)
    if fails:
        tape.add(at + took, "reboot.started", reason="redline", context_percent=88.0)
        tape.add(at + took + 2, "reboot.finished", reason="redline", duration=2.0)
        took += 2
    tape.add(at + took, "session.ended", session=f"s{number}")
    return at + took + 1


def hostile(run: str = "20261126T020000Z-evil00") -> Tape:
    """A run whose every name is markup, with an agent at work."""
    tape = Tape(HOSTILE, run, runner=HOSTILE, runner_version=HOSTILE)
    tape.add(1, "iteration.started", iteration=1).add(1, "agent.started", agent=HOSTILE, model=HOSTILE)
    tape.add(2, "tool.called", tool=HOSTILE, outcome="failure", duration=1.0)
    tape.add(2, "usage.measured", model=HOSTILE, output_tokens=5, cost_usd=0.5)
    tape.add(2, "error.raised", error_type=HOSTILE)
    tape.add(3, "tests.finished", passed=0, failed=1, results={HOSTILE: False})
    tape.add(3, "stop_condition.triggered", condition=HOSTILE)
    tape.add(4, "iteration.finished", iteration=1, outcome="failure", duration=3.0, error_type=HOSTILE)
    return ago(tape.add(5, "iteration.started", iteration=2).add(6, "tool.called", tool=HOSTILE, outcome="success"), 60)


def put(home: Path, *tapes: Tape) -> None:
    """Put journals into a home folder; one by the same name is replaced."""
    for tape in tapes:
        path = home / "runs" / f"{tape.run}.jsonl"
        tape.write(path.with_suffix(".new")).replace(path)
