"""The programs: which there are, and where each is found."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from stack.errors import StackError
from stack.modules import Module, built

COLLECTOR, PROMETHEUS, JAEGER, NODE_EXPORTER = (
    Module("collector", "."),
    Module("prometheus", "tool"),
    Module("jaeger", "tool"),
    Module("node_exporter", "tool"),
)


@dataclass(frozen=True, slots=True)
class Program:
    """One program.

    Args:
        name: what it is called here. `RALPH_STACK_<NAME>` is the variable that names one to be used instead.
        module: where it is built.
        binary: what it is called there.
        installed: what it is called where somebody has installed it.
        version: the version is looked for in what `--version` prints, or for Jaeger `version`.
    """

    name: str
    module: Module
    binary: str
    installed: str
    version: str
    ask_version: str = "--version"

    @property
    def variable(self) -> str:
        """The environment variable by which another one can be named."""
        return f"RALPH_STACK_{self.name.upper()}"


PROGRAMS = {
    program.name: program
    for program in (
        Program("otelcol", COLLECTOR, "otelcol", "otelcol-contrib", "0.155."),
        Program("prometheus", PROMETHEUS, "prometheus", "prometheus", "3.10."),
        Program("promtool", PROMETHEUS, "promtool", "promtool", "3.10."),
        Program("jaeger", JAEGER, "all-in-one", "jaeger-all-in-one", "1.62.", "version"),
        Program("node_exporter", NODE_EXPORTER, "node_exporter", "node_exporter", "1.10."),
    )
}


def find(name: str) -> Path:
    """The program by that name: the one that its variable names, one on PATH of the right version, or one built here.

    Building takes minutes, once; see `stack.modules`.

    Raises:
        StackError: the variable names no program, or the build failed.
        CannotBuild: there is none, and Go is missing or too old.
    """
    program = PROGRAMS[name]
    named = os.environ.get(program.variable)
    if named:
        path = shutil.which(named)
        if path is None:
            raise StackError(f"{program.variable}={named}: there is no such program; name one, or unset it")
        return Path(path)
    installed = shutil.which(program.installed)
    if installed is not None and _has_version(installed, program):
        return Path(installed)
    return built(program.module, program.variable) / program.binary


def _has_version(path: str, program: Program) -> bool:
    try:
        said = subprocess.run([path, program.ask_version], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    words = (said.stdout + said.stderr).replace("v", " ").replace('"', " ").split()
    return any(word.startswith(program.version) for word in words)
