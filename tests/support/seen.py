"""Which signals of a runner arrive. What the tests have seen is kept in `tests/seen.json`; `docs/runners.md` shows it.

A test that has seen something else than what is kept fails; with SEEN=write in the environment it keeps it instead.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Collection, Iterable
from pathlib import Path

from ralph_otel.events import Line

FILE = Path(__file__).parents[1] / "seen.json"
"""By table and by runner with its version, the names of the signals that arrive."""
SIGNALS = {
    "iterations": "each iteration, when it begins and ends",
    "outcome": "whether it succeeded, failed, took too long or was cancelled",
    "duration": "how long it took",
    "session": "each context window",
    "reboot": "contexts that were given up, and why",
    "tests": "results of tests",
    "progress": "whether an iteration made progress",
    "files": "how many files it changed",
    "lines": "how many lines it changed",
    "agent process": "each agent's name, how long it ran and how it ended",
    "pid": "its process id",
    "exit code": "its exit code",
    "model": "the model that it was asked to use",
    "TRACEPARENT": "the trace goes on in the agent",
    "tokens": "tokens by kind and model",
    "cost": "US dollars, as the agent reports them",
    "estimated cost": "US dollars, as the runner guesses them",
    "context": "how full the context window is",
    "turns": "the agent's turns of conversation",
    "tools": "its tool calls",
    "pause": "when the loop waits",
    "stop reason": "why the loop ended",
}
"""What there is to be seen of a runner, and what that is."""
_FIELDS: dict[str, tuple[str, str]] = {
    "outcome": ("iteration.finished", "outcome"),
    "duration": ("iteration.finished", "duration"),
    "session": ("session.ended", "session"),
    "reboot": ("reboot.started", "reason"),
    "tests": ("tests.finished", "passed"),
    "progress": ("progress.measured", "score"),
    "files": ("progress.measured", "files_changed"),
    "lines": ("progress.measured", "lines_added"),
    "agent process": ("agent.finished", "agent"),
    "pid": ("agent.finished", "pid"),
    "exit code": ("agent.finished", "exit_code"),
    "model": ("agent.started", "model"),
    "tokens": ("usage.measured", "output_tokens"),
    "context": ("context.measured", "percent"),
    "turns": ("agent.finished", "turns"),
    "tools": ("tool.called", "tool"),
    "stop reason": ("loop.stopped", "reason"),
}


def signals_of(lines: Collection[Line], given: Iterable[str | None]) -> set[str]:
    """Which of the signals are in lines of journals.

    Args:
        lines: all lines.
        given: the `TRACEPARENT` of each agent.
    """
    spans = {f"00-{line['trace_id']}-{line['span_id']}-01" for line in lines if line["type"] == "agent.started"}
    seen = {name for name, (kind, field) in _FIELDS.items() if any(x["type"] == kind and field in x for x in lines)}
    kinds = {line["type"] for line in lines}
    sources = {line.get("cost_source") for line in lines if "cost_usd" in line}
    conditions = {
        "iterations": {"iteration.started", "iteration.finished"} <= kinds,
        "cost": "reported" in sources,
        "estimated cost": "estimated" in sources,
        "pause": {"loop.paused", "loop.resumed"} <= kinds,
        "TRACEPARENT": bool(spans) and set(given) == spans,
    }
    return seen | {name for name, holds in conditions.items() if holds}


def assert_known(table: str, column: str, signals: Collection[str]) -> None:
    """What has been seen is what is kept.

    Args:
        table: which table of the page.
        column: the runner and its version.
        signals: those that have arrived.
    """
    seen = [name for name in SIGNALS if name in signals]
    assert len(seen) == len(set(signals))
    if os.environ.get("SEEN") == "write":
        with FILE.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            known = json.load(file)
            known["signals"] = list(SIGNALS)
            known["tables"].setdefault(table, {})[column] = seen
            file.seek(0)
            file.truncate()
            file.write(json.dumps(known, indent=1, ensure_ascii=False) + "\n")
    else:
        assert json.loads(FILE.read_text())["tables"][table].get(column) == seen, "`make seen` keeps what is seen now"
