"""The commands that look at an iteration's result: the tests, and the one that knows whether the goal is reached."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ralph_otel.events import TestsFinished
from ralph_otel.loop.child import Child, supervise
from ralph_otel.loop.interrupts import Interrupts
from ralph_otel.loop.results import ResultsReader, junit_path


@dataclass(frozen=True)
class Verdict:
    """How a command ended."""

    ending: str
    """`exit`, `timeout`, `cancelled`, or `error`: it could not be started."""
    exit_code: int
    duration: float
    """Seconds."""


@dataclass(frozen=True)
class Shell:
    """Runs shell commands in a loop."""

    interrupts: Interrupts
    grace: float
    say: Callable[[str], None]
    tick: Callable[[], None]

    def run(
        self,
        command: str,
        environment: Mapping[str, str],
        output: Callable[[bytes], None],
        deadline: float | None = None,
    ) -> Verdict:
        """Run a command to its end, which is `deadline` at the latest.

        Args:
            output: takes what it prints, on either stream; called on another thread.
        """
        began = time.monotonic()
        try:
            child = Child(command, environment, output, self.interrupts.wake, merge=True)
        except (OSError, ValueError) as error:
            self.say(f"{command}: cannot be started: {getattr(error, 'strerror', None) or error}")
            return Verdict("error", 127, 0.0)
        ending = supervise(child, self.interrupts, self.grace, deadline, self.tick)
        exit_code = child.exit_code if child.exit_code is not None else -9
        return Verdict(ending, exit_code, time.monotonic() - began)


def run_tests(
    shell: Shell,
    command: str,
    environment: Mapping[str, str],
    deadline: float | None,
    junit: Path | None = None,
    show: Callable[[bytes], None] | None = None,
) -> tuple[Verdict, TestsFinished | None]:
    """Run the test command.

    Args:
        junit: where it writes a JUnit report; found from the command's own options by default.
        show: takes its output.

    Returns:
        How the command ended, and the tests' results: None where the run was cancelled.
    """
    reader = ResultsReader(junit or junit_path(command, Path()), time.time())

    def output(data: bytes) -> None:
        if show is not None:
            show(data)
        reader.feed(data)

    verdict = shell.run(command, environment, output, deadline)
    if verdict.ending == "cancelled":
        return verdict, None
    results = reader.finish(verdict.exit_code or int(verdict.ending != "exit"), verdict.duration)
    if reader.problem is not None:
        shell.say(reader.problem)
    return verdict, results
