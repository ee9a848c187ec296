"""How a loop ended: why, with which numbers, and what its process's exit code says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ralph_otel.events import TestsFinished

RUNNER = "ralph-otel"
"""What the embedded runner's loops are said to be run by."""

STOPPED_BECAUSE = {
    "completed": "the goal's command says that the goal is reached",
    "max_iterations": "all iterations that were asked for have run",
    "max_duration": "the time that was given is used up",
    "max_cost": "the money that was given is spent",
    "tests_passed": "all tests pass",
    "test_failure_streak": "the tests fail again and again",
    "no_progress": "the iterations bring no progress",
    "file_found": "the file that was waited for is there",
    "output_pattern": "the agent's output says that it is done",
    "user_signal": "it was asked to",
    "error": "the agent fails again and again, or cannot be started",
    "crashed": "it died",
}
"""What a stop reason means, in a few words."""

GOOD = ("completed", "tests_passed", "file_found", "output_pattern", "max_iterations", "max_duration", "max_cost")
"""Reasons for which the exit code is 0: a goal is reached, or a limit that the user set."""


@dataclass(frozen=True)
class LoopResult:
    """A loop that has ended."""

    reason: str
    """One of `ralph_otel.events.STOP_REASONS`."""
    run_id: str
    iterations: int
    outcomes: Mapping[str, int]
    """How many iterations ended how."""
    duration: float
    """Seconds, less pauses."""
    sessions: int
    reboots: int
    files_changed: int
    """Over all iterations."""
    tokens: int
    """Of all kinds together."""
    cost: float | None
    """US dollars; None: no agent has said anything."""
    tests: TestsFinished | None
    """The last run's."""
    signal: int | None
    """The signal that asked it to stop."""
    cannot_start: int | None
    """127 or 126, where the agent could not be started."""

    @property
    def exit_code(self) -> int:
        """What the process should exit with: 0 for a good reason, 128 + signal, 127 or 126, else 1."""
        if self.reason in GOOD:
            return 0
        if self.signal is not None:
            return 128 + self.signal
        return self.cannot_start or 1
