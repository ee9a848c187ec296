"""A runner that knows nothing of ralph-otel: it loads whatever plugins for loops are installed.

python examples/plugin_loader.py claude -p
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any


def collectors() -> list[Any]:
    """What the installed plugins give. One that fails costs a line, not the loop."""
    made = []
    for entry in entry_points(group="ralph_loop.plugins"):
        try:
            made.append(entry.load()())
        except Exception as error:  # noqa: BLE001 — a plugin may raise anything
            print(f"plugin {entry.name} is left out: {error}", file=sys.stderr)
    return made


def main(command: list[str], most: int = 3) -> None:
    """Run the agent some times, each time seen by all plugins."""
    with ExitStack() as run:
        loops = [run.enter_context(each.loop(Path.cwd().name, max_iterations=most)) for each in collectors()]
        for _ in range(most):
            with ExitStack() as turn:
                iterations = [turn.enter_context(loop.iteration()) for loop in loops]
                if subprocess.run(command, input=Path("PROMPT.md").read_bytes()).returncode:
                    for iteration in iterations:
                        iteration.fail("agent_failed")
        for loop in loops:
            loop.stop("max_iterations")


if __name__ == "__main__":
    main(sys.argv[1:] or ["claude", "-p"])
