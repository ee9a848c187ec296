"""Every event: a class each, with its fields and what they mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from ralph_otel.events.kinds import (
    AMOUNT,
    COUNT,
    FLAG,
    INTEGER,
    LABELS,
    NUMBER,
    RATIO,
    RESULTS,
    TEXT,
    Labels,
    may,
    need,
    one_of,
)

VERSION = 1
"""The version of the journal's format, the `v` of every line."""

OUTCOMES = ("success", "failure", "timeout", "cancelled")
STOP_REASONS = (
    "completed",
    "max_iterations",
    "max_duration",
    "max_cost",
    "tests_passed",
    "test_failure_streak",
    "no_progress",
    "file_found",
    "output_pattern",
    "user_signal",
    "error",
    "crashed",
)
REBOOT_REASONS = (
    "redline",
    "degradation",
    "iteration_limit",
    "duration_limit",
    "pattern_match",
    "manual",
    "error_recovery",
)
COST_SOURCES = ("reported", "estimated")
ROLES = ("runner", "agent")
PROGRESS_THRESHOLD = 0.1
"""A score from here on is progress, where the event does not say."""


@dataclass
class Event:
    """Something that happened in a loop.

    An event says only what happened. When, in which run and in which span is added by the probe that emits it
    (`ts`, `loop`, `trace_id`, `span_id`, `parent_span_id` of the journal's line).
    """

    type: ClassVar[str]


@dataclass
class LoopStarted(Event):
    """A loop begins. The first line of every journal."""

    type: ClassVar[str] = "loop.started"
    name: str = need(TEXT, "The loop's name. Few different values, please: it is on every metric.")
    runner: str | None = may(TEXT, "The program that runs the loop, by its distribution's name.")
    runner_version: str | None = may(TEXT, "The runner's version.")
    max_iterations: int | None = may(COUNT, "The most iterations the loop may run.")
    attributes: Labels | None = may(LABELS, "Further attributes for the loop's span and log records.")
    pid: int | None = may(COUNT, "The process that runs the loop: when it is gone, the loop has ended.")
    host: str | None = may(TEXT, "The machine that process is on.")


@dataclass
class TraceContinued(Event):
    """The loop's trace has grown long: what follows belongs to a trace of its own, linked to the one before.

    The line's trace and span ids are those of the new trace's root span.
    """

    type: ClassVar[str] = "trace.continued"
    part: int = need(COUNT, "The new trace's number in the loop, from 2.")
    previous_trace_id: str = need(TEXT, "The trace before, 32 hexadecimal digits.")
    previous_span_id: str = need(TEXT, "The root span of the trace before, 16 hexadecimal digits.")


@dataclass
class LoopPaused(Event):
    """The loop waits; the time until it resumes does not count as execution."""

    type: ClassVar[str] = "loop.paused"


@dataclass
class LoopResumed(Event):
    """The loop goes on after a pause."""

    type: ClassVar[str] = "loop.resumed"


@dataclass
class LoopStopped(Event):
    """The loop has ended. The last line of a journal, unless the loop was killed."""

    type: ClassVar[str] = "loop.stopped"
    reason: str = need(one_of(*STOP_REASONS), "Why it ended.")
    duration: float | None = may(
        AMOUNT, "Seconds from `loop.started`, pauses included; taken from the timestamps where absent."
    )


@dataclass
class SessionStarted(Event):
    """A fresh context window begins."""

    type: ClassVar[str] = "session.started"
    session: str = need(TEXT, "The session's id, unique in the run.")


@dataclass
class SessionEnded(Event):
    """A context window is given up."""

    type: ClassVar[str] = "session.ended"
    session: str = need(TEXT, "The session's id.")
    duration: float | None = may(AMOUNT, "Seconds from its start; taken from the timestamps where absent.")


@dataclass
class IterationStarted(Event):
    """One turn of the loop begins."""

    type: ClassVar[str] = "iteration.started"
    iteration: int = need(COUNT, "The iteration's number, from 1.")


@dataclass
class IterationFinished(Event):
    """One turn of the loop has ended. This is when it counts."""

    type: ClassVar[str] = "iteration.finished"
    iteration: int = need(COUNT, "The iteration's number, from 1.")
    outcome: str = need(one_of(*OUTCOMES), "How it ended.")
    duration: float = need(AMOUNT, "Seconds it took.")
    error_type: str | None = may(TEXT, "The class of the failure: an exception's name or a code, never a message.")
    exit_code: int | None = may(INTEGER, "The agent's exit code; negative: the signal that ended it.")


@dataclass
class AgentStarted(Event):
    """An agent's process is about to start; the line's span id is what its TRACEPARENT carries."""

    type: ClassVar[str] = "agent.started"
    agent: str = need(TEXT, "The agent's name: claude, codex, gemini …")
    model: str | None = may(TEXT, "The model it was asked to use.")
    pid: int | None = may(COUNT, "Its process id, where known at this time.")


@dataclass
class AgentFinished(Event):
    """An agent's process has ended."""

    type: ClassVar[str] = "agent.finished"
    agent: str = need(TEXT, "The agent's name.")
    exit_code: int | None = may(INTEGER, "Its exit code; negative: the signal that ended it.")
    duration: float | None = may(AMOUNT, "Seconds it ran; taken from the timestamps where absent.")
    turns: int | None = may(COUNT, "The turns of conversation it reported.")
    outcome: str | None = may(one_of(*OUTCOMES), "How it ended; from the exit code where absent.")
    pid: int | None = may(COUNT, "Its process id.")
    conversation: str | None = may(TEXT, "The agent's own id of its session.")


@dataclass
class UsageMeasured(Event):
    """Tokens and money spent since the last such event of this agent; never a running total."""

    type: ClassVar[str] = "usage.measured"
    model: str | None = may(TEXT, "The model that was used.")
    input_tokens: int | None = may(COUNT, "Tokens read that no cache held.")
    output_tokens: int | None = may(COUNT, "Tokens written.")
    cache_read_tokens: int | None = may(COUNT, "Tokens read from a cache.")
    cache_creation_tokens: int | None = may(COUNT, "Tokens read and put into a cache.")
    cost_usd: float | None = may(AMOUNT, "US dollars.")
    cost_source: str | None = may(one_of(*COST_SOURCES), "Who says so; `reported` (by the agent) where absent.")


@dataclass
class ContextMeasured(Event):
    """How full the context window is."""

    type: ClassVar[str] = "context.measured"
    percent: float = need(AMOUNT, "Percent of the window in use, 0 to 100 (more, where an agent overfills it).")
    tokens: int | None = may(COUNT, "Tokens in the window.")
    window: int | None = may(COUNT, "The window's size in tokens.")


@dataclass
class RebootStarted(Event):
    """The loop throws its context away to begin with a fresh one."""

    type: ClassVar[str] = "reboot.started"
    reason: str = need(one_of(*REBOOT_REASONS), "Why.")
    context_percent: float | None = may(AMOUNT, "How full the window was, in percent.")


@dataclass
class RebootFinished(Event):
    """The fresh context is ready."""

    type: ClassVar[str] = "reboot.finished"
    reason: str = need(one_of(*REBOOT_REASONS), "Why, as when it started.")
    context_percent: float | None = may(AMOUNT, "As when it started.")
    duration: float | None = may(AMOUNT, "Seconds it took; taken from the timestamps where absent.")


@dataclass
class TestsFinished(Event):
    """A run of the project's tests has ended."""

    __test__: ClassVar[bool] = False  # pytest: not a test class

    type: ClassVar[str] = "tests.finished"
    passed: int = need(COUNT, "Tests that passed.")
    failed: int = need(COUNT, "Tests that failed or broke.")
    skipped: int | None = may(COUNT, "Tests that were skipped.")
    total: int | None = may(COUNT, "All tests; passed + failed + skipped where absent.")
    duration: float | None = may(AMOUNT, "Seconds the run took.")
    results: Mapping[str, bool] | None = may(RESULTS, "Test id to whether it passed; what flaky tests are found by.")


@dataclass
class ProgressMeasured(Event):
    """What an iteration changed, and how far that brought the goal nearer."""

    type: ClassVar[str] = "progress.measured"
    score: float = need(RATIO, "0 (nothing) to 1.")
    made_progress: bool | None = may(FLAG, "Whether that is progress; score ≥ 0.1 where absent.")
    files_changed: int | None = may(COUNT, "Files whose content differs from the iteration's start.")
    lines_added: int | None = may(COUNT, "Lines added.")
    lines_removed: int | None = may(COUNT, "Lines removed.")
    commits: int | None = may(COUNT, "Commits made.")


@dataclass
class ToolCalled(Event):
    """An agent has used a tool."""

    type: ClassVar[str] = "tool.called"
    tool: str = need(TEXT, "The tool's name, never its arguments.")
    outcome: str = need(one_of(*OUTCOMES), "How it ended.")
    duration: float | None = may(AMOUNT, "Seconds it took.")


@dataclass
class ErrorRaised(Event):
    """Something went wrong in the loop."""

    type: ClassVar[str] = "error.raised"
    error_type: str = need(TEXT, "The class of the error: an exception's name or a code, never a message.")


@dataclass
class StopConditionTriggered(Event):
    """A condition to stop the loop holds."""

    type: ClassVar[str] = "stop_condition.triggered"
    condition: str = need(TEXT, "The condition's name: usually a stop reason.")


@dataclass
class CounterAdded(Event):
    """The generic operation: add to a counter of one's own."""

    type: ClassVar[str] = "counter.added"
    name: str = need(TEXT, "The counter's name, without the prefix.")
    value: float = need(AMOUNT, "What to add.")
    labels: Labels | None = may(LABELS, "Label names and values.")


@dataclass
class GaugeSet(Event):
    """The generic operation: set a gauge of one's own."""

    type: ClassVar[str] = "gauge.set"
    name: str = need(TEXT, "The gauge's name, without the prefix.")
    value: float = need(NUMBER, "Its new value.")
    labels: Labels | None = may(LABELS, "Label names and values.")


@dataclass
class HistogramObserved(Event):
    """The generic operation: put a value into a histogram of one's own."""

    type: ClassVar[str] = "histogram.observed"
    name: str = need(TEXT, "The histogram's name, without the prefix.")
    value: float = need(AMOUNT, "The observed value; seconds, unless you mean otherwise.")
    labels: Labels | None = may(LABELS, "Label names and values.")


@dataclass
class ResourceSampled(Event):
    """What the runner or its agents use of the machine."""

    type: ClassVar[str] = "resource.sampled"
    role: str = need(one_of(*ROLES), "Whose: the runner's own process, or all processes below it.")
    cpu: float = need(AMOUNT, "Processor cores in use.")
    memory: float = need(AMOUNT, "Resident memory in bytes.")
    processes: int = need(COUNT, "Processes.")


@dataclass
class EventsDropped(Event):
    """Events are missing before this one: the file could not take them, and too many waited for it."""

    type: ClassVar[str] = "events.dropped"
    count: int = need(COUNT, "How many.")


EVENTS: tuple[type[Event], ...] = (
    LoopStarted,
    LoopPaused,
    LoopResumed,
    LoopStopped,
    TraceContinued,
    SessionStarted,
    SessionEnded,
    IterationStarted,
    IterationFinished,
    AgentStarted,
    AgentFinished,
    UsageMeasured,
    ContextMeasured,
    RebootStarted,
    RebootFinished,
    TestsFinished,
    ProgressMeasured,
    ToolCalled,
    ErrorRaised,
    StopConditionTriggered,
    CounterAdded,
    GaugeSet,
    HistogramObserved,
    ResourceSampled,
    EventsDropped,
)
"""Every event class, in the order of the documentation."""

BY_TYPE: dict[str, type[Event]] = {event.type: event for event in EVENTS}
