"""Claude Code as its hooks see it: inputs, by a clock and with processes of its own."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ralph_otel.events import Line, problem_with
from ralph_otel.hooks import handling, processes
from ralph_otel.model import LoopMetrics
from ralph_otel.runs import fold, journals
from support.tape import at, lines_of
from support.tape import fold as fold_lines

SECRET = "SECRET"


class Claude:
    """Sends inputs of hooks in this process.

    Args:
        home: the home folder of ralph-otel.
        project: the project's folder.
    """

    def __init__(self, home: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home = home
        self.project = project
        self.now = 0.0
        """Seconds on the clock."""
        self.process, self.shell = "100:1", "99:1"
        """Claude Code's process, and the one that has started it."""
        self.alive = {self.process, self.shell}
        self.environment: dict[str, str] = {}
        monkeypatch.setattr(handling, "time", SimpleNamespace(time_ns=lambda: at(self.now)))
        monkeypatch.setattr(processes, "around", lambda: (self.process, self.shell))
        monkeypatch.setattr(processes, "lives", lambda process: process in self.alive)

    def says(self, event: str, after: float = 0.0, session: str = "s1", **fields: Any) -> None:
        """Send one input, some seconds after the last one."""
        self.now += after
        said = {
            "session_id": session, "transcript_path": f"/{SECRET}.jsonl", "cwd": str(self.project),
            "hook_event_name": event, **fields,
        }  # fmt: skip
        handling.handle(json.dumps(said).encode(), {**os.environ, **self.environment})

    def uses(self, tool: str, after: float = 0.0, session: str = "s1", **fields: Any) -> None:
        """A tool has been called."""
        given = {"tool_input": {"command": SECRET}, "tool_response": {"stdout": SECRET}}
        self.says("PostToolUse", after, session, tool_name=tool, **{**given, **fields})

    def prints(self, session: str, seconds: float = 10.0, tools: tuple[str, ...] = ()) -> None:
        """`claude -p`, from its start to its end."""
        self.says("SessionStart", 0, session, source="startup", model="claude-test-1")
        self.says("UserPromptSubmit", 1, session, prompt=SECRET)
        for tool in tools:
            self.uses(tool, 1, session, duration_ms=500)
        self.says("Stop", seconds - 1 - len(tools), session, last_assistant_message=SECRET)
        self.says("SessionEnd", 0, session, reason="other")

    # -- what has come of it ----------------------------------------------------------------------------------------

    def runs(self) -> list[Path]:
        """The journals, the oldest first."""
        return sorted(journals(self.home))

    def lines(self, run: int = -1) -> list[Line]:
        """The lines of a run, the last one's by default; every one is valid, or this fails."""
        path = self.runs()[run]
        assert SECRET not in path.read_text()
        lines = lines_of(path)
        assert [problem_with(line) for line in lines] == [None] * len(lines)
        return lines

    def of_type(self, type_: str, run: int = -1) -> list[Line]:
        """The lines of one type."""
        return [line for line in self.lines(run) if line["type"] == type_]

    def types(self, run: int = -1) -> list[str]:
        """The types of the lines."""
        return [line["type"] for line in self.lines(run)]

    def metrics(self, run: int = -1) -> LoopMetrics:
        """What the lines fold to."""
        return fold_lines(self.lines(run)).metrics()

    def reason(self, run: int = -1) -> str | None:
        """Why a run has stopped; None while it goes on."""
        return fold(self.runs()[run]).run.stop_reason


def plugin_file(project: Path, iteration: int, limit: int = 0, promise: str = "null", **fields: str) -> Path:
    """The ralph-wiggum plugin's state file, as it writes it."""
    path = project / ".claude" / "ralph-loop.local.md"
    path.parent.mkdir(exist_ok=True)
    more = "".join(f"{name}: {value}\n" for name, value in fields.items())
    path.write_text(
        f"---\nactive: true\niteration: {iteration}\n{more}max_iterations: {limit}\n"
        f'completion_promise: {promise}\nstarted_at: "2026-01-01T00:00:00Z"\n---\n\n{SECRET} prompt\n'
    )
    return path
