"""What can happen in a Ralph loop: one class per event of the journal, version 1.

Every class is a line type of the journal. Its fields, their types and their meaning are declared once, here; the
JSON Schema in `docs/journal.schema.json`, the reference in `docs/events.md` and the check that a recorder applies to
every line it reads (`problem_with`) all come from these declarations.

Standard library only, Python 3.9 and later: this module runs inside any runner's own environment.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

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

MAX_INTEGER = 2**63 - 1
"""The largest integer a line may carry: what OTLP can transport."""
MAX_TEXT = 256
"""The longest name, id or label, in characters. Longer ones are cut when emitted and refused when read."""
MAX_ENTRIES = 50_000
"""The most entries of a mapping in a line (test results, labels, attributes)."""

Labels = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """What a field may hold: the Python types, its JSON Schema, and how an error names it."""

    name: str
    types: tuple[type, ...]
    schema: Mapping[str, Any]
    choices: tuple[str, ...] = ()


TEXT = Kind("a text of 1 to 256 characters", (str,), {"type": "string", "minLength": 1, "maxLength": MAX_TEXT})
COUNT = Kind("a whole number of 0 or more", (int,), {"type": "integer", "minimum": 0, "maximum": MAX_INTEGER})
NUMBER = Kind("a finite number", (int, float), {"type": "number"})
AMOUNT = Kind("a finite number of 0 or more", (int, float), {"type": "number", "minimum": 0})
RATIO = Kind("a number from 0 to 1", (int, float), {"type": "number", "minimum": 0, "maximum": 1})
INTEGER = Kind("a whole number", (int,), {"type": "integer", "minimum": -MAX_INTEGER, "maximum": MAX_INTEGER})
FLAG = Kind("true or false", (bool,), {"type": "boolean"})
RESULTS = Kind(
    "an object of test ids with true or false",
    (dict,),
    {"type": "object", "maxProperties": MAX_ENTRIES, "additionalProperties": {"type": "boolean"}},
)
LABELS = Kind(
    "an object of names with texts, numbers, true or false",
    (dict,),
    {
        "type": "object",
        "maxProperties": MAX_ENTRIES,
        "additionalProperties": {"type": ["string", "number", "boolean"]},
    },
)


def _one_of(*choices: str) -> Kind:
    return Kind("one of " + ", ".join(choices), (str,), {"type": "string", "enum": list(choices)}, choices)


def _need(kind: Kind, doc: str) -> Any:
    """A field that every event of its class carries."""
    return dataclasses.field(metadata={"kind": kind, "doc": doc})


def _may(kind: Kind, doc: str) -> Any:
    """A field that may be absent."""
    return dataclasses.field(default=None, metadata={"kind": kind, "doc": doc})


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
    name: str = _need(TEXT, "The loop's name. Few different values, please: it is on every metric.")
    runner: str | None = _may(TEXT, "The program that runs the loop, by its distribution's name.")
    runner_version: str | None = _may(TEXT, "The runner's version.")
    max_iterations: int | None = _may(COUNT, "The most iterations the loop may run.")
    attributes: Labels | None = _may(LABELS, "Further attributes for the loop's span and log records.")
    pid: int | None = _may(COUNT, "The process that runs the loop: when it is gone, the loop has ended.")
    host: str | None = _may(TEXT, "The machine that process is on.")


@dataclass
class TraceContinued(Event):
    """The loop's trace has grown long: what follows belongs to a trace of its own, linked to the one before.

    The line's trace and span ids are those of the new trace's root span.
    """

    type: ClassVar[str] = "trace.continued"
    part: int = _need(COUNT, "The new trace's number in the loop, from 2.")
    previous_trace_id: str = _need(TEXT, "The trace before, 32 hexadecimal digits.")
    previous_span_id: str = _need(TEXT, "The root span of the trace before, 16 hexadecimal digits.")


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
    reason: str = _need(_one_of(*STOP_REASONS), "Why it ended.")


@dataclass
class SessionStarted(Event):
    """A fresh context window begins."""

    type: ClassVar[str] = "session.started"
    session: str = _need(TEXT, "The session's id, unique in the run.")


@dataclass
class SessionEnded(Event):
    """A context window is given up."""

    type: ClassVar[str] = "session.ended"
    session: str = _need(TEXT, "The session's id.")
    duration: float | None = _may(AMOUNT, "Seconds from its start; taken from the timestamps where absent.")


@dataclass
class IterationStarted(Event):
    """One turn of the loop begins."""

    type: ClassVar[str] = "iteration.started"
    iteration: int = _need(COUNT, "The iteration's number, from 1.")


@dataclass
class IterationFinished(Event):
    """One turn of the loop has ended. This is when it counts."""

    type: ClassVar[str] = "iteration.finished"
    iteration: int = _need(COUNT, "The iteration's number, from 1.")
    outcome: str = _need(_one_of(*OUTCOMES), "How it ended.")
    duration: float = _need(AMOUNT, "Seconds it took.")
    error_type: str | None = _may(TEXT, "The class of the failure: an exception's name or a code, never a message.")
    exit_code: int | None = _may(INTEGER, "The agent's exit code; negative: the signal that ended it.")


@dataclass
class AgentStarted(Event):
    """An agent's process is about to start; the line's span id is what its TRACEPARENT carries."""

    type: ClassVar[str] = "agent.started"
    agent: str = _need(TEXT, "The agent's name: claude, codex, gemini …")
    model: str | None = _may(TEXT, "The model it was asked to use.")
    pid: int | None = _may(COUNT, "Its process id, where known at this time.")


@dataclass
class AgentFinished(Event):
    """An agent's process has ended."""

    type: ClassVar[str] = "agent.finished"
    agent: str = _need(TEXT, "The agent's name.")
    exit_code: int | None = _may(INTEGER, "Its exit code; negative: the signal that ended it.")
    duration: float | None = _may(AMOUNT, "Seconds it ran; taken from the timestamps where absent.")
    turns: int | None = _may(COUNT, "The turns of conversation it reported.")
    outcome: str | None = _may(_one_of(*OUTCOMES), "How it ended; from the exit code where absent.")
    pid: int | None = _may(COUNT, "Its process id.")
    conversation: str | None = _may(TEXT, "The agent's own id of its session.")


@dataclass
class UsageMeasured(Event):
    """Tokens and money spent since the last such event of this agent; never a running total."""

    type: ClassVar[str] = "usage.measured"
    model: str | None = _may(TEXT, "The model that was used.")
    input_tokens: int | None = _may(COUNT, "Tokens read that no cache held.")
    output_tokens: int | None = _may(COUNT, "Tokens written.")
    cache_read_tokens: int | None = _may(COUNT, "Tokens read from a cache.")
    cache_creation_tokens: int | None = _may(COUNT, "Tokens read and put into a cache.")
    cost_usd: float | None = _may(AMOUNT, "US dollars.")
    cost_source: str | None = _may(_one_of(*COST_SOURCES), "Who says so; `reported` (by the agent) where absent.")


@dataclass
class ContextMeasured(Event):
    """How full the context window is."""

    type: ClassVar[str] = "context.measured"
    percent: float = _need(AMOUNT, "Percent of the window in use, 0 to 100 (more, where an agent overfills it).")
    tokens: int | None = _may(COUNT, "Tokens in the window.")
    window: int | None = _may(COUNT, "The window's size in tokens.")


@dataclass
class RebootStarted(Event):
    """The loop throws its context away to begin with a fresh one."""

    type: ClassVar[str] = "reboot.started"
    reason: str = _need(_one_of(*REBOOT_REASONS), "Why.")
    context_percent: float | None = _may(AMOUNT, "How full the window was, in percent.")


@dataclass
class RebootFinished(Event):
    """The fresh context is ready."""

    type: ClassVar[str] = "reboot.finished"
    reason: str = _need(_one_of(*REBOOT_REASONS), "Why, as when it started.")
    context_percent: float | None = _may(AMOUNT, "As when it started.")
    duration: float | None = _may(AMOUNT, "Seconds it took; taken from the timestamps where absent.")


@dataclass
class TestsFinished(Event):
    """A run of the project's tests has ended."""

    __test__: ClassVar[bool] = False  # pytest: not a test class

    type: ClassVar[str] = "tests.finished"
    passed: int = _need(COUNT, "Tests that passed.")
    failed: int = _need(COUNT, "Tests that failed or broke.")
    skipped: int | None = _may(COUNT, "Tests that were skipped.")
    total: int | None = _may(COUNT, "All tests; passed + failed + skipped where absent.")
    duration: float | None = _may(AMOUNT, "Seconds the run took.")
    results: Mapping[str, bool] | None = _may(RESULTS, "Test id to whether it passed; what flaky tests are found by.")


@dataclass
class ProgressMeasured(Event):
    """What an iteration changed, and how far that brought the goal nearer."""

    type: ClassVar[str] = "progress.measured"
    score: float = _need(RATIO, "0 (nothing) to 1.")
    made_progress: bool | None = _may(FLAG, "Whether that is progress; score ≥ 0.1 where absent.")
    files_changed: int | None = _may(COUNT, "Files whose content differs from the iteration's start.")
    lines_added: int | None = _may(COUNT, "Lines added.")
    lines_removed: int | None = _may(COUNT, "Lines removed.")
    commits: int | None = _may(COUNT, "Commits made.")


@dataclass
class ToolCalled(Event):
    """An agent has used a tool."""

    type: ClassVar[str] = "tool.called"
    tool: str = _need(TEXT, "The tool's name, never its arguments.")
    outcome: str = _need(_one_of(*OUTCOMES), "How it ended.")
    duration: float | None = _may(AMOUNT, "Seconds it took.")


@dataclass
class ErrorRaised(Event):
    """Something went wrong in the loop."""

    type: ClassVar[str] = "error.raised"
    error_type: str = _need(TEXT, "The class of the error: an exception's name or a code, never a message.")


@dataclass
class StopConditionTriggered(Event):
    """A condition to stop the loop holds."""

    type: ClassVar[str] = "stop_condition.triggered"
    condition: str = _need(TEXT, "The condition's name: usually a stop reason.")


@dataclass
class CounterAdded(Event):
    """The generic operation: add to a counter of one's own."""

    type: ClassVar[str] = "counter.added"
    name: str = _need(TEXT, "The counter's name, without the prefix.")
    value: float = _need(AMOUNT, "What to add.")
    labels: Labels | None = _may(LABELS, "Label names and values.")


@dataclass
class GaugeSet(Event):
    """The generic operation: set a gauge of one's own."""

    type: ClassVar[str] = "gauge.set"
    name: str = _need(TEXT, "The gauge's name, without the prefix.")
    value: float = _need(NUMBER, "Its new value.")
    labels: Labels | None = _may(LABELS, "Label names and values.")


@dataclass
class HistogramObserved(Event):
    """The generic operation: put a value into a histogram of one's own."""

    type: ClassVar[str] = "histogram.observed"
    name: str = _need(TEXT, "The histogram's name, without the prefix.")
    value: float = _need(AMOUNT, "The observed value; seconds, unless you mean otherwise.")
    labels: Labels | None = _may(LABELS, "Label names and values.")


@dataclass
class ResourceSampled(Event):
    """What the runner or its agents use of the machine."""

    type: ClassVar[str] = "resource.sampled"
    role: str = _need(_one_of(*ROLES), "Whose: the runner's own process, or all processes below it.")
    cpu: float = _need(AMOUNT, "Processor cores in use.")
    memory: float = _need(AMOUNT, "Resident memory in bytes.")
    processes: int = _need(COUNT, "Processes.")


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
)
"""Every event class, in the order of the documentation."""

BY_TYPE: dict[str, type[Event]] = {event.type: event for event in EVENTS}

Line = dict[str, Any]
"""One line of a journal, decoded: the envelope (`v`, `type`, `ts`, `loop`, ids) and the event's own fields."""


@dataclass(frozen=True)
class Field:
    """One declared field of an event."""

    name: str
    kind: Kind
    required: bool
    doc: str


ENVELOPE: tuple[Field, ...] = (
    Field("v", COUNT, True, "The format's version: 1."),
    Field("type", TEXT, True, "The event's type."),
    Field("ts", COUNT, True, "When, in Unix nanoseconds."),
    Field("loop", TEXT, True, "The run id."),
    Field("trace_id", TEXT, False, "The trace, 32 lower-case hexadecimal digits."),
    Field("span_id", TEXT, False, "The span this line starts, ends or belongs to, 16 hexadecimal digits."),
    Field("parent_span_id", TEXT, False, "The span around it, 16 hexadecimal digits."),
)
"""What every line carries besides its event's fields."""


def fields_of(event: type[Event]) -> list[Field]:
    """The declared fields of an event class, in order."""
    return [
        Field(f.name, f.metadata["kind"], f.default is dataclasses.MISSING, f.metadata["doc"])
        for f in dataclasses.fields(event)
    ]


_CHECKS: dict[str, tuple[tuple[str, bool, Kind], ...]] = {
    event.type: tuple((f.name, f.required, f.kind) for f in fields_of(event)) for event in EVENTS
}
_IDS = (("trace_id", 32), ("span_id", 16), ("parent_span_id", 16))
_HEXADECIMAL = re.compile("[0-9a-f]+").fullmatch


def problem_with(line: Line) -> str | None:
    """Say what is wrong with a decoded line, or None if a recorder can use it.

    Unknown types and fields are no problem; a field that is present as `null` counts as absent.

    Returns:
        One sentence that names the field, the value and what would do.
    """
    kind_of = line.get("type")
    if type(kind_of) is not str or not kind_of:
        return "type must be a text, got " + shown(kind_of)
    if line.get("v") != VERSION or type(line["v"]) is not int:
        return "v must be 1, got " + shown(line.get("v"))
    ts, loop = line.get("ts"), line.get("loop")
    if type(ts) is not int or not 0 <= ts <= MAX_INTEGER:
        return "ts must be Unix nanoseconds, got " + shown(ts)
    if type(loop) is not str or not 0 < len(loop) <= MAX_TEXT:
        return "loop must be the run id, got " + shown(loop)
    for name, digits in _IDS:
        value = line.get(name)
        if value is not None and not (type(value) is str and len(value) == digits and _HEXADECIMAL(value)):
            return f"{name} must be {digits} lower-case hexadecimal digits, got {shown(value)}"
    return _problem_with_fields(kind_of, line)


def _problem_with_fields(type_: str, line: Line) -> str | None:
    for name, required, kind in _CHECKS.get(type_, ()):
        value = line.get(name)
        if value is None:
            if required:
                return f"{type_}: {name} is missing; it must be {kind.name}"
        elif not _fits(value, kind):
            return f"{type_}: {name} must be {kind.name}, got {shown(value)}"
    return None


def _fits(value: Any, kind: Kind) -> Any:
    """Whether a value is of a kind. Written for speed: it runs for every field of every line."""
    cls: type = type(value)
    if cls not in kind.types:
        return False
    if cls is str:
        return value in kind.choices if kind.choices else 0 < len(value) <= MAX_TEXT
    if cls is int:
        if kind is NUMBER or kind is INTEGER:
            return -MAX_INTEGER <= value <= MAX_INTEGER
        return 0 <= value <= (1 if kind is RATIO else MAX_INTEGER)
    if cls is float:
        if kind is NUMBER:
            return math.isfinite(value)
        return 0.0 <= value <= (1.0 if kind is RATIO else 1e300)
    if cls is dict:
        return _mapping_fits(value, bool_only=kind is RESULTS)
    return True


def _mapping_fits(mapping: dict[Any, Any], bool_only: bool) -> bool:
    if len(mapping) > MAX_ENTRIES:
        return False
    if bool_only:
        return all(type(value) is bool for value in mapping.values())
    return all(
        type(value) in (str, bool)
        or (type(value) is int and -MAX_INTEGER <= value <= MAX_INTEGER)
        or (type(value) is float and math.isfinite(value))
        for value in mapping.values()
    )


def shown(value: Any, limit: int = 60) -> str:
    """A value as an error message may show it: short, on one line, with nothing a terminal would obey."""
    if isinstance(value, (dict, list)):
        return f"{type(value).__name__} of {len(value)}"
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 128:
        return f"an integer of {value.bit_length()} bits"
    text = ascii(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
