"""Runners below `ralph-otel run`, with an agent that keeps an account and waits in the middle of its work."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
from fault_scene import Scene

from support import patient
from support.waiting import until

_AGENT = """#!/bin/sh
cat > /dev/null
echo "began $$" >> "$ACCOUNT"
number=$(grep -c ^began "$ACCOUNT")
if [ "$number" -gt 5 ]; then
    echo waits >> "$ACCOUNT"
    while [ ! -e "$ACCOUNT.gate.$number" ]; do sleep 0.05; done
fi
echo "ended $$" >> "$ACCOUNT"
"""
_SCRIPT = """#!/bin/bash
for turn in 1 2 3 4 5 6 7; do claude -p < PROMPT.md; done
echo done
"""
RUNNERS = {
    "a script": ["bash", "script.sh"],
    "ralphify": [str(Path(sys.executable).with_name("ralph")), "run", "my", "-n", "7"],
}


@dataclass
class Launched:
    """A runner of seven iterations, of which the sixth and the seventh wait for `go_on`."""

    scene: Scene
    process: subprocess.Popen[str]
    command: Sequence[str]
    below: bool

    def runner(self) -> psutil.Process:
        """The runner's process: below ours, unless it was started by itself."""
        own = psutil.Process(self.process.pid)
        [runner] = [child for child in own.children() if self._is_runner(child)] if self.below else [own]
        return runner

    def _is_runner(self, process: psutil.Process) -> bool:
        """There are others for moments, and one that only takes signals."""
        words, ours = self.command[1:], patient.__file__
        with contextlib.suppress(psutil.Error):
            return process.cmdline()[-len(words) :] == words and ours not in process.cmdline()
        return False

    def go_on(self, *iterations: int) -> None:
        """Let the agents of these iterations end their work; by default all."""
        for number in iterations or (6, 7):
            Path(f"{self.scene.account_file}.gate.{number}").touch()


def launched(scene: Scene, runner: str, below: bool = True, recorded: bool = True) -> Launched:
    """A runner in the middle of its sixth iteration.

    Args:
        scene: where.
        runner: a key of `RUNNERS`.
        below: whether `ralph-otel run` starts it.
        recorded: whether its journal says so, too.
    """
    for name, text in (("bin/claude", _AGENT), ("script.sh", _SCRIPT)):
        path = scene.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    (scene.folder / "PROMPT.md").write_text("Go on.\n")
    (scene.folder / "my").mkdir()
    (scene.folder / "my" / "RALPH.md").write_text("---\nagent: claude -p\n---\nGo on.\n")
    scene.variables["PATH"] = f"{scene.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    process = scene.start(RUNNERS[runner], *([*patient.RUN, "--"] if below else ()))
    scene.wait_for("waits")
    if below and recorded:
        until(lambda: list((scene.home / "recorders").glob("*")), what="for the recorder, which may be later")
        until(lambda: any(b'"iteration":6' in path.read_bytes() for path in scene.journals()), what="for iteration 6")
    return Launched(scene, process, RUNNERS[runner], below)
