"""Loops with scripted agents: small programs in a folder of the test's own, and what the loop tells of them."""

from __future__ import annotations

import json
import stat
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

from rich.console import Console

from ralph_otel.events import Line, problem_with
from ralph_otel.loop.display import Display
from ralph_otel.loop.interrupts import Interrupts
from ralph_otel.loop.options import LoopOptions
from ralph_otel.loop.result import LoopResult
from ralph_otel.loop.runner import run_loop
from ralph_otel.probe import Loop

CLI = (sys.executable, "-c", "from ralph_otel.cli import main; main()", "loop")
"""The command line of the embedded runner."""


class Recording:
    """A collector that keeps every line, and refuses what no recorder could use."""

    def __init__(self) -> None:
        self.lines: list[Line] = []

    def loop(self, name: str, **options: Any) -> Loop:
        return Loop(name, self._take, **options)

    def shutdown(self, timeout: float = 0.0) -> None:
        """Nothing to end."""

    def _take(self, line: Line) -> None:
        assert problem_with(line) is None
        self.lines.append(line)


class Workshop:
    """A working directory with a prompt.

    Attributes:
        lines: what the last loop has emitted so far.
        said: what it told its user.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lines: list[Line] = []
        self.said = ""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "PROMPT.md").write_text("Fix the next thing.\n")

    def script(self, text: str, name: str = "agent") -> str:
        """An executable `sh` script, or one with a first line of its own; its path."""
        path = self.folder / name
        path.write_text(text if text.startswith("#!") else f"#!/bin/sh\n{text}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return str(path)

    def python(self, text: str, name: str = "agent") -> str:
        """An executable Python script; its path."""
        return self.script(f"#!{sys.executable} -S\n{text}\n", name)

    def run(self, program: str, /, *arguments: str, interrupts: Interrupts | None = None, **options: Any) -> LoopResult:
        """Run a loop with a program as its agent; no more than 20 iterations unless told otherwise."""
        collector, console = Recording(), Console(file=StringIO(), width=200)
        self.lines = collector.lines
        chosen = LoopOptions(command=(program, *arguments), **{"max_iterations": 20, "grace": 2.0, **options})
        try:
            return run_loop(chosen, collector, display=Display(20, console=console), interrupts=interrupts)
        finally:
            assert isinstance(console.file, StringIO)
            self.said = console.file.getvalue()

    def of(self, type_: str) -> list[Line]:
        """The lines of a type."""
        return [line for line in self.lines if line["type"] == type_]

    def values(self, type_: str, field: str) -> list[Any]:
        """A field of the lines of a type; None where it is absent."""
        return [line.get(field) for line in self.of(type_)]

    def read(self, name: str) -> str:
        """A file's content; "" if it is not there."""
        path = self.folder / name
        return path.read_text() if path.exists() else ""


class Hastened(Interrupts):
    """A clock on which an hour passes at once when something has come about: no machine is too slow for the limits.

    Args:
        when: whether it has.
    """

    def __init__(self, when: Callable[[], object]) -> None:
        super().__init__()
        self._when = when

    def now(self) -> float:
        return super().now() + (3600.0 if self._when() else 0.0)


def claude_says(percent: float = 50.0, cost: float = 0.25, **result: Any) -> str:
    """An `sh` script that prints what Claude Code does in `stream-json`, once it has read its prompt."""
    tokens = round(2000 * percent)
    usage = {"input_tokens": 100, "cache_read_input_tokens": tokens - 100, "output_tokens": 7}
    model = {
        "inputTokens": 100,
        "outputTokens": 7,
        "cacheReadInputTokens": tokens - 100,
        "costUSD": cost,
        "contextWindow": 200_000,
    }
    records = (
        {"type": "system", "subtype": "init", "session_id": "c-1", "model": "claude-x"},
        {"type": "assistant", "message": {"id": "m", "model": "claude-x", "usage": usage}, "session_id": "c-1"},
        {
            "type": "result",
            "subtype": "success",
            "is_error": False,
            "num_turns": 3,
            "session_id": "c-1",
            "total_cost_usd": cost,
            "modelUsage": {"claude-x": model},
            **result,
        },
    )
    return "cat > /dev/null\ncat <<'END'\n" + "\n".join(map(json.dumps, records)) + "\nEND"
