"""When a loop stops and when a session is given up: two tables over what is known after an iteration."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from ralph_otel.events import TestsFinished
from ralph_otel.loop.agent_process import AgentReport, CannotStart
from ralph_otel.loop.options import LoopOptions
from ralph_otel.progress.worktree import Changes


@dataclass
class IterationReport:
    """How an iteration went."""

    number: int
    agent: AgentReport = field(default_factory=AgentReport)
    cancelled: bool = False
    """Whether the user ended it."""
    duration: float = 0.0
    """Seconds, with the tests."""
    tests: TestsFinished | None = None
    changes: Changes | None = None
    made_progress: bool | None = None
    """None: there is nothing to measure it by."""
    goal_reached: bool = False
    """Whether the goal's command says so."""
    file_found: bool = False

    @property
    def outcome(self) -> str:
        """As in the journal."""
        return "cancelled" if self.cancelled else self.agent.outcome


@dataclass
class Standing:
    """What is known of the loop after its last iteration."""

    last: IterationReport = field(default_factory=lambda: IterationReport(0))
    elapsed: float = 0.0
    """Seconds since the start, less pauses."""
    outcomes: Counter[str] = field(default_factory=Counter)
    failures: int = 0
    """Iterations in a row, up to the last, that failed."""
    cost: float | None = None
    """US dollars; None: no agent has said anything."""
    tokens: int = 0
    tests: TestsFinished | None = None
    """The last run's."""
    failure_streak: int = 0
    """Test runs in a row, up to the last, with any failure."""
    no_progress_streak: int = 0
    """Iterations in a row, up to the last, that are known to have made no progress."""
    files_changed: int = 0
    sessions: int = 0
    reboots: int = 0
    signal: int | None = None
    """The signal that asks the loop to stop."""
    cannot_start: CannotStart | None = None

    def add(self, report: IterationReport) -> None:
        """Take an iteration into account."""
        self.last = report
        self.outcomes[report.outcome] += 1
        self.failures = 0 if report.outcome == "success" else self.failures + 1
        self.cannot_start = report.agent.cannot_start
        self.tokens += report.agent.tokens
        if report.agent.cost is not None:
            self.cost = (self.cost or 0.0) + report.agent.cost
        if report.tests is not None:
            self.tests = report.tests
            self.failure_streak = self.failure_streak + 1 if report.tests.failed else 0
        if report.made_progress is not None:
            self.no_progress_streak = 0 if report.made_progress else self.no_progress_streak + 1
        self.files_changed += report.changes.files_changed if report.changes is not None else 0

    @property
    def all_passed(self) -> bool:
        """Whether the last iteration's tests all passed, and there was one at least."""
        tests = self.last.tests
        return tests is not None and tests.failed == 0 and tests.passed > 0


def _reached(value: float | None, limit: float | None) -> bool:
    return value is not None and limit is not None and value >= limit


Stop = Callable[[LoopOptions, Standing], bool]

STOPS: tuple[tuple[str, Stop], ...] = (
    ("user_signal", lambda o, s: s.signal is not None),
    ("error", lambda o, s: s.cannot_start is not None),
    ("completed", lambda o, s: s.last.goal_reached),
    ("tests_passed", lambda o, s: s.all_passed and not o.keep_going),
    ("file_found", lambda o, s: s.last.file_found),
    ("output_pattern", lambda o, s: "until_output" in s.last.agent.matched),
    ("test_failure_streak", lambda o, s: _reached(s.failure_streak, o.max_failure_streak)),
    ("no_progress", lambda o, s: _reached(s.no_progress_streak, o.max_no_progress)),
    ("max_cost", lambda o, s: _reached(s.cost, o.max_cost)),
    ("max_duration", lambda o, s: _reached(s.elapsed, o.max_duration)),
    ("max_iterations", lambda o, s: _reached(s.last.number, o.max_iterations)),
    ("error", lambda o, s: _reached(s.failures, o.max_failures or None)),
)
"""Stop reason and when it holds, the most telling first."""


def stop_reason(options: LoopOptions, standing: Standing) -> str | None:
    """Why the loop must stop now, or None."""
    return next((reason for reason, holds in STOPS if holds(options, standing)), None)


@dataclass
class SessionStanding:
    """What is known of the current context window."""

    began: float = 0.0
    """When, in seconds from the loop's start."""
    iterations: int = 0
    duration: float = 0.0
    """Seconds up to the end of its last iteration."""
    context_percent: float | None = None
    """The last value told."""
    outcome: str = "success"
    """That of the last iteration."""
    asked: bool = False
    """Whether the agent asks for a fresh one."""

    def add(self, report: IterationReport, now: float) -> None:
        """Take an iteration into account that has ended now."""
        self.iterations += 1
        self.duration = now - self.began
        self.outcome = report.outcome
        self.asked = "reboot_output" in report.agent.matched
        if report.agent.context_percent is not None:
            self.context_percent = report.agent.context_percent


Reboot = Callable[[LoopOptions, SessionStanding], bool]

REBOOTS: tuple[tuple[str, Reboot], ...] = (
    ("redline", lambda o, s: _reached(s.context_percent, o.redline)),
    ("pattern_match", lambda o, s: s.asked),
    ("error_recovery", lambda o, s: bool(o.resume_args) and s.outcome != "success"),
    ("iteration_limit", lambda o, s: _reached(s.iterations, o.reboot_after)),
    ("duration_limit", lambda o, s: _reached(s.duration, o.reboot_after_duration)),
)
"""Reboot reason and when it holds, the most telling first."""


def reboot_reason(options: LoopOptions, session: SessionStanding) -> str | None:
    """Why the context must be given up before the next iteration, or None."""
    return next((reason for reason, holds in REBOOTS if holds(options, session)), None)
