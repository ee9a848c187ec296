"""What is known of one run, and its aggregate."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

from ralph_otel.events import Line
from ralph_otel.model import LoopMetrics, ProgressMetrics, SessionMetrics, TestMetrics
from ralph_otel.state.clock import Clock
from ralph_otel.state.flakiness import Flakiness
from ralph_otel.state.fold import HANDLERS
from ralph_otel.state.iterations import OpenIteration
from ralph_otel.state.rollups import Rollups

VELOCITY_WINDOW, VELOCITY_EDGE = 10, 3
SKEW = 300_000_000_000
"""Nanoseconds that another machine's clock may be ahead."""
RECENT = 64
"""Finished iterations whose progress may still be measured."""

_SUMS = (
    "total_iterations", "successful_iterations", "failed_iterations", "duration_sum",
    "reboots", "reboot_context_sum", "reboot_context_count",
    "sessions_created", "sessions_ended", "session_duration_sum",
    "iterations_with_progress", "files_changed", "execution_ns", "flaky_count",
)  # fmt: skip
"""What adds up over several runs."""
_LATEST = {
    "tests_at": ("total_tests", "passing_tests", "failing_tests", "skipped_tests", "failure_streak"),
    "progress_at": ("no_progress_streak", "velocity_override", "scores", "score"),
    "context_at": ("context_percent",),
}
"""What is taken from the run that spoke of it last: the field that says when, and the fields."""


@dataclass(eq=False, repr=False)
class RunState:
    """What is known of one run. Fields are public to be read; only `apply` and `absorb` change them."""

    run_id: str = ""
    name: str = ""
    runner: str = ""
    runner_version: str = ""
    max_iterations: int | None = None
    attributes: dict[str, Any] = field(default_factory=dict)
    pid: int | None = None
    host: str | None = None
    sampled: bool = True
    """Whether the run's traces are recorded."""
    root: tuple[str, str] | None = None
    """Trace and span id of the loop's span, in the trace that is going on."""
    started: int | None = None
    clock: Clock = field(default_factory=Clock)
    doubted: int = 0
    """Lines of absorbed runs whose times were not believed."""
    began: int | None = None
    """When the process that runs it began with it: the last `loop.started`."""
    stopped: int | None = None
    stop_reason: str | None = None
    paused_at: int | None = None
    paused_ns: int = 0
    execution_ns: int = 0
    """Execution time of absorbed runs."""

    total_iterations: int = 0
    successful_iterations: int = 0
    failed_iterations: int = 0
    duration_sum: float = 0.0
    open_iterations: dict[int, OpenIteration] = field(default_factory=dict)
    last_iteration: OpenIteration | None = None
    recent: deque[OpenIteration] = field(default_factory=lambda: deque(maxlen=RECENT))

    reboots: int = 0
    reboot_context_sum: float = 0.0
    reboot_context_count: int = 0
    open_reboot: int | None = None
    context_percent: float = 0.0
    context_at: int = 0

    sessions_created: int = 0
    sessions_ended: int = 0
    session_duration_sum: float = 0.0
    open_sessions: dict[str, int] = field(default_factory=dict)
    open_agents: dict[str, int] = field(default_factory=dict)

    tests_at: int = 0
    total_tests: int = 0
    passing_tests: int = 0
    failing_tests: int = 0
    skipped_tests: int = 0
    failure_streak: int = 0
    flakiness: Flakiness = field(default_factory=Flakiness)
    flaky_count: int = 0
    """Flaky tests of absorbed runs, or as a generic operation says."""

    progress_at: int = 0
    iterations_with_progress: int = 0
    no_progress_streak: int = 0
    streak_before: int = 0
    pending_progress: bool | None = None
    scores: deque[float] = field(default_factory=lambda: deque(maxlen=VELOCITY_WINDOW))
    score: float | None = None
    velocity_override: float | None = None
    files_changed: int = 0
    dropped_events: int = 0
    """Events that are missing in the journal, by what it says itself."""

    rollups: Rollups = field(default_factory=Rollups)

    @property
    def last(self) -> int:
        """Time of the latest event, Unix nanoseconds."""
        return self.clock.now

    @property
    def doubted_times(self) -> int:
        """Lines whose times were not believed."""
        return self.doubted + self.clock.doubted

    # -- reading ----------------------------------------------------------------------------------------------------

    @property
    def active(self) -> bool:
        """Whether the run has begun and not stopped."""
        return self.started is not None and self.stopped is None

    @property
    def pass_ratio(self) -> float:
        """Passing ÷ all tests of the last run; 0 without tests."""
        return self.passing_tests / self.total_tests if self.total_tests else 0.0

    @property
    def flaky_tests(self) -> int:
        """How many tests are flaky."""
        return self.flaky_count + len(self.flakiness.flaky)

    @property
    def velocity(self) -> float:
        """Of the last 10 scores at most, the mean of the last 3 less the mean of the first 3; 0 with fewer than 3."""
        if self.velocity_override is not None:
            return self.velocity_override
        if len(self.scores) < VELOCITY_EDGE:
            return 0.0
        scores = list(self.scores)
        return (sum(scores[-VELOCITY_EDGE:]) - sum(scores[:VELOCITY_EDGE])) / VELOCITY_EDGE

    def execution_time(self, now: int | None = None) -> float:
        """Seconds from the start to the end less pauses; to `now` (default: the last event) while it runs."""
        total = self.execution_ns
        if self.started is not None:
            end = self.stopped if self.stopped is not None else max(now or 0, self.last)
            pause = max(0, end - self.paused_at) if self.paused_at is not None else 0
            total += max(0, end - self.started - self.paused_ns - pause)
        return total / 1e9

    def iteration_age(self, now: int) -> float | None:
        """Seconds that the oldest running iteration has taken by then, less pauses; None while none runs."""
        if not self.active or self.paused_at is not None:
            return None
        paused = self.paused_ns
        ages = [now - each.started - (paused - each.paused) for each in list(self.open_iterations.values())]
        return max(0, *ages) / 1e9 if ages else None

    def metrics(self, now: int | None = None) -> LoopMetrics:
        """The aggregate at a time, in Unix nanoseconds; by default that of the last event."""
        iterations, ended, said = self.total_iterations, self.sessions_ended, self.reboot_context_count
        return LoopMetrics(
            total_iterations=iterations,
            successful_iterations=self.successful_iterations,
            failed_iterations=self.failed_iterations,
            total_reboots=self.reboots,
            total_execution_time=self.execution_time(now),
            avg_iteration_duration=self.duration_sum / iterations if iterations else 0.0,
            context_usage_percent=self.context_percent,
            tests=TestMetrics(
                self.total_tests,
                self.passing_tests,
                self.failing_tests,
                self.pass_ratio,
                self.failure_streak,
                self.flaky_tests,
            ),
            progress=ProgressMetrics(
                self.iterations_with_progress,
                self.iterations_with_progress / iterations if iterations else 0.0,
                self.no_progress_streak,
                self.velocity,
                self.files_changed,
            ),
            session=SessionMetrics(
                self.sessions_created,
                len(self.open_sessions),
                self.session_duration_sum / ended if ended else 0.0,
                self.reboots,
                self.reboot_context_sum / said if said else 0.0,
            ),
            rollups=self.rollups.at(self.stopped if self.stopped is not None else self._window_end(now)),
        )

    def _window_end(self, now: int | None) -> int:
        """When the windows end: now, or at the last event where only that is known, or another machine's clock says so.

        An event from farther ahead is somebody's error, and would hide all others.
        """
        return self.last if now is None or now < self.last <= now + SKEW else now

    # -- folding ----------------------------------------------------------------------------------------------------

    def apply(self, line: Line) -> bool:
        """Fold one checked line in, and complete it.

        Returns:
            Whether it says anything new; a second stop of a stopped loop, say, does not, and makes no signal.
        """
        ts = line["ts"] = self.clock.read(line["ts"], line["type"] == "loop.started" and self.stopped is not None)
        if self.started is None or self.started > self.clock.now:
            self.started = ts
        handler = HANDLERS.get(line["type"])
        return handler is None or handler(self, line, ts) is not False

    def absorb(self, other: RunState) -> None:
        """Add another run's numbers to these, for the totals over several runs."""
        for name in _SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.flaky_count += len(other.flakiness.flaky)
        self.open_sessions.update({f"{other.run_id}/{name}": ts for name, ts in other.open_sessions.items()})
        self.execution_ns += round(other.execution_time() * 1e9) - other.execution_ns
        self.doubted += other.doubted_times
        self.clock.now = max(self.clock.now, other.clock.now)
        for when, names in _LATEST.items():
            if getattr(other, when) > getattr(self, when):
                for name in (when, *names):
                    setattr(self, name, getattr(other, name))
        self.rollups.absorb(other.rollups)

    def fresh(self) -> RunState:
        """A state with nothing counted that knows which parts of the run are open: what is left after a reset."""
        state = RunState(self.run_id)
        for name in (
            "name", "runner", "runner_version", "max_iterations", "attributes", "pid", "host", "began", "sampled",
            "root", "clock", "stopped", "stop_reason", "open_iterations", "open_sessions", "open_agents", "open_reboot",
        ):  # fmt: skip
            setattr(state, name, getattr(self, name))
        state.doubted = -state.clock.doubted
        for iteration in state.open_iterations.values():
            iteration.paused -= self.paused_ns
        if self.started is not None:
            state.started = self.last
        if self.paused_at is not None:
            state.paused_at = self.last
        return state
