"""Folders that hold what a Python environment does, with something in them that looks as ralphify does."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from ralph_otel.runners.launched import Launch


class Site:
    """A folder on PYTHONPATH that is the environment of a Python, and a launch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runs = folder / "home" / "runs"
        self.launch = Launch("launch-1", self.runs, 50)
        folder.mkdir(exist_ok=True)

    def module(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def distribution(self, name: str, version: str) -> None:
        self.module(
            f"{name}-{version}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )

    def run(self, python: str, code: str, injected: bool = True, **changes: str) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        environment = {**environment, "PYTHONPATH": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1", **changes}
        if injected:
            environment = self.launch.environment(environment)
        return subprocess.run(
            [python, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=False
        )

    def says(self, python: str, code: str) -> Any:
        """What the code prints, read as JSON; nothing else may be said."""
        done = self.run(python, code)
        assert done.stderr == ""
        return json.loads(done.stdout)


_ENGINE = """
import types
from ralphify import _agent

class Kind:
    def __init__(self, value): self.value = value

class Event:
    def __init__(self, kind, **data): self.type, self.data = Kind(kind), data

class Deaf:
    def emit(self, event): pass

def run_loop(config, state, emitter=None):
    emitter = emitter or Deaf()
    emitter.emit(Event("run_started", ralph_name="fake", max_iterations=1))
    emitter.emit(Event("iteration_started", iteration=1))
    _agent.execute(config.agent.split())
    emitter.emit(Event("iteration_completed", iteration=1, returncode=0, duration=0.5))
    emitter.emit(Event("run_stopped", reason="completed", total=1))
"""


def put_runner(site: Site) -> Site:
    """Put something there that looks as ralphify does, for any Python, and an agent."""
    site.distribution("ralphify", "0.3.0")
    site.module("ralphify/__init__.py", "from ralphify.engine import run_loop\n")
    site.module("ralphify/_agent.py", "import subprocess\n\ndef execute(cmd):\n    subprocess.Popen(cmd).wait()\n")
    site.module("ralphify/engine.py", _ENGINE)
    site.module("agent.py", "import json, os, sys; print(json.dumps([dict(os.environ), sys.path]))\n")
    return site


def loop(site: Site) -> str:
    """Code that runs a loop whose agent prints its environment and its path."""
    return (
        "import sys, types, ralphify\n"
        f"agent = sys.executable + ' {site.folder}/agent.py'\n"
        "ralphify.run_loop(types.SimpleNamespace(agent=agent, max_iterations=1), None)\n"
    )
