"""The demo's project and scripted agent, for real loops; what the agent reports is known beforehand."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from backends import Backends

from ralph_otel.events import Line
from support import patient
from support.tape import lines_of

_DEMO = Path(__file__).parents[2] / "demo"
_TOOLS = Path(sys.executable).parent
AGENT = "claude -p --output-format stream-json --verbose"
MODEL = "scripted-no-model"


@dataclass(frozen=True)
class Spent:
    """What so many calls of the agent say they used, from `demo/scripted_agent.py`."""

    calls: int

    @property
    def tokens(self) -> dict[str, int]:
        """Tokens by type."""
        numbers = range(1, self.calls + 1)
        return {
            "input": 40 * self.calls,
            "output": sum(600 + 150 * number for number in numbers),
            "cache_read": sum(9000 * (number + 5) for number in numbers),
        }

    @property
    def cost(self) -> float:
        """US dollars."""
        numbers = range(1, self.calls + 1)
        each = (0.01 + (600 + 150 * number) * 25e-6 + 9000 * (number + 5) * 5e-7 for number in numbers)
        return sum(round(cost, 4) for cost in each)


class Project:
    """A copy of the demo's project, with failing tests, under git, and `claude`, which is the demo's script.

    Args:
        folder: for everything; made.
        backends: where its loops send to.
    """

    def __init__(self, folder: Path, backends: Backends) -> None:
        self._home = folder / "home"
        self.folder = folder / "project"
        (folder / "bin").mkdir(parents=True)
        agent = folder / "bin" / "claude"
        agent.write_text(f'#!/bin/sh\nexec {shlex.join([sys.executable, str(_DEMO / "scripted_agent.py")])} "$@"\n')
        agent.chmod(0o755)
        ours = folder / "bin" / "ralph-otel"
        ours.write_text(f'#!/bin/sh\nexec {shlex.join(patient.PROGRAM)} "$@"\n')
        ours.chmod(0o755)
        who = {f"GIT_{who}_{what}": "x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        self._own = {
            **who,
            "PATH": f"{folder / 'bin'}:{_TOOLS}:/usr/bin:/bin",
            "RALPH_OTEL_HOME": str(self._home),
            "DEMO_THINKING": "0.1",
        }
        self._backends = backends
        shutil.copytree(_DEMO / "project", self.folder, ignore=shutil.ignore_patterns("__pycache__"))
        for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "Roman numerals, with faults"]):
            subprocess.run(["git", *words], cwd=self.folder, env=self._environment({}), check=True)

    def _environment(self, variables: Mapping[str, str]) -> dict[str, str]:
        return self._backends.by_otlp(**{**self._own, **variables})

    def run(self, *command: str, **variables: str) -> Run:
        """Run a loop to its end, which must be one without an error."""
        with self.started(*command, **variables) as process:
            _, stderr = process.communicate(timeout=300)
        assert process.returncode == 0, stderr
        return self.only_run()

    @contextmanager
    def started(self, *command: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
        """A loop that runs, for at most as long as the block does."""
        process = subprocess.Popen(
            command,
            cwd=self.folder,
            env=self._environment(variables),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        with process:
            try:
                yield process
            finally:
                process.kill()

    def only_run(self) -> Run:
        """The only run that has been recorded here."""
        [journal] = (self._home / "runs").glob("*.jsonl")
        return Run(journal)


@dataclass(frozen=True)
class Run:
    """A run, as its journal has it."""

    journal: Path

    @property
    def id(self) -> str:
        """The run id, which is the instance at every backend."""
        return self.journal.stem

    def lines(self, type_: str = "") -> list[Line]:
        """Its events, or those of one type."""
        return [line for line in lines_of(self.journal) if type_ in ("", line["type"])]

    @property
    def trace_id(self) -> str:
        """Its trace."""
        return str(self.lines("loop.started")[0]["trace_id"])
