"""The private folder of a launch: stand-ins for the agents' commands, and what they need to run by themselves.

ralph-otel-x1y2z3/
  ralph-otel-agents/claude …   first on PATH: one small program for each agent that is there
  shims/*.py                   what these programs execute: copies, for an agent may remove what it finds installed
  socket                       what the launch listens on
  trace                        the trace id and the flags for the next agent
  lock                         see `ralph_otel.temporary`
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from ralph_otel.agents import PARSERS
from ralph_otel.files import write_atomically
from ralph_otel.shims.command import SHIMS, SOCKET, TRACE
from ralph_otel.temporary import TemporaryFolder, parents

AGENTS = ("claude", "codex", "gemini", "opencode", "aider", "amp", "cursor-agent", "copilot")
"""The agents that are known by the name of their command."""
_COPIED = ("__init__", "command", "stand_in", "observer")
_LONGEST_SOCKET = 100
"""Bytes of a path that every system takes for a Unix socket."""
_LONGEST_INTERPRETER = 100
"""Characters of an interpreter that every system takes in a program's first line."""

_PROGRAM = """import sys
sys.path.append({folder})
from shims.command import main
main({name}, {installed}, {parsed})
"""


class Folder:
    """A launch's folder; a context manager that removes it.

    Args:
        installed: the agents' commands, and where the real ones are.
        home: where it may be, if nothing can be executed in the folder for temporary files.

    Raises:
        OSError: it cannot be made anywhere.
    """

    def __init__(self, installed: Mapping[str, str], home: Path) -> None:
        self._temporary = _make(home)
        self.path = self._temporary.path
        try:
            self._fill(installed)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Folder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def socket(self) -> Path:
        """Where the launch listens."""
        return self.path / SOCKET

    def environment(self, base: Mapping[str, str]) -> dict[str, str]:
        """An environment in which agents are found through their stand-ins."""
        path = base.get("PATH")
        return {**base, "PATH": f"{self.path / SHIMS}{os.pathsep}{path}" if path else str(self.path / SHIMS)}

    def set_trace(self, trace_id: str, flags: int) -> None:
        """Say what the next agent's trace is."""
        write_atomically(self.path / TRACE, f"{trace_id} {flags:02x}".encode(), 0o600)

    def close(self) -> None:
        """Remove it, unless somebody still finds agents here: a loop in the background, say.

        What is left of it makes way for the agents at once, for nobody listens any more.
        """
        if self._temporary.used():
            self._temporary.release()
        else:
            self._temporary.remove()

    def _fill(self, installed: Mapping[str, str]) -> None:
        modules = self.path / "shims"
        modules.mkdir(mode=0o700)
        for name in _COPIED:
            shutil.copyfile(Path(__file__).with_name(f"{name}.py"), modules / f"{name}.py")
        for name, path in installed.items():
            _write_program(self.path / SHIMS / name, self._program(name, path))

    def _program(self, name: str, path: str) -> str:
        text = _PROGRAM.format(
            folder=ascii(str(self.path)), name=ascii(name), installed=ascii(path), parsed=name in PARSERS
        )
        # Not the one of a virtual environment: an agent may make that anew.
        python = getattr(sys, "_base_executable", None) or sys.executable
        if len(python) <= _LONGEST_INTERPRETER and not any(map(str.isspace, python)):
            return f"#!{python} -ISE\n{text}"
        return f'#!/bin/sh\nexec {shlex.quote(python)} -ISE -c {shlex.quote(text)} "$@"\n'


def installed(names: Iterable[str], path: str | None) -> dict[str, str]:
    """Those of the commands that are on a PATH, with where they are."""
    found = {name: shutil.which(name, path=path) for name in names} if path else {}
    return {name: os.path.abspath(where) for name, where in found.items() if where is not None}  # noqa: PTH100 — keeps `..`


def _make(home: Path) -> TemporaryFolder:
    """A new private folder in which a program can be executed and a socket's path is not too long."""
    problem = OSError("no folder for programs")
    for parent in parents(home):
        try:
            folder = TemporaryFolder(parent)
        except OSError as error:
            problem = error
            continue
        try:
            if _runs_programs(folder.path):
                return folder
            problem = OSError(f"nothing can be executed in {parent}, or its path is too long")
        except OSError as error:
            problem = error
        folder.remove()
    raise problem


def _runs_programs(folder: Path) -> bool:
    """Whether a program can be executed there, and a socket have a path. Makes the folder for the programs."""
    (folder / SHIMS).mkdir(mode=0o700)
    trial = folder / SHIMS / "trial"
    _write_program(trial, "")
    runs = os.access(trial, os.X_OK) and len(os.fsencode(folder / SOCKET)) <= _LONGEST_SOCKET
    trial.unlink()
    return runs


def _write_program(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", errors="surrogateescape")
    path.chmod(0o700)
