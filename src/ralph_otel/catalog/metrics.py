"""Every metric, and the events that feed it. To add a metric, add a row."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from ralph_otel.catalog.attributes import (
    AGENT,
    CHANGE,
    COST_SOURCE,
    DROP_REASON,
    ERROR_TYPE,
    MODEL,
    OUTCOME,
    REBOOT_REASON,
    ROLE,
    SIGNAL,
    STOP_REASON,
    TEST_OUTCOME,
    TEST_STATUS,
    TOKEN_TYPE,
    TOOL,
    Attribute,
)
from ralph_otel.config.defaults import DEFAULT_PREFIX
from ralph_otel.events import Line
from ralph_otel.state import RunState

PERCENT_BUCKETS = (10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 100.0)


class Kind(StrEnum):
    """What sort of instrument a metric is."""

    COUNTER = "counter"
    UPDOWN = "updowncounter"
    HISTOGRAM = "histogram"
    GAUGE = "gauge"
    OBSERVABLE_COUNTER = "observable counter"
    OBSERVABLE_UPDOWN = "observable updowncounter"
    OBSERVABLE_GAUGE = "observable gauge"


Value = Callable[[Line, RunState], float | None]
"""Takes a completed line and the state after it; None: nothing to record."""
AttributeValue = Callable[[Line], str | None]


@dataclass(frozen=True, slots=True)
class Feed:
    """How events of one type make measurements of a metric.

    Args:
        event: the event's type.
        value: the measurement. For a metric that `follows` the state it is the state's running number, and what is
            recorded is how much that has changed.
        attributes: how each attribute gets its value from the line.
    """

    event: str
    value: Value
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Metric:
    """One row: a metric, without the prefix unless `absolute`."""

    name: str
    kind: Kind
    unit: str
    description: str
    attributes: tuple[Attribute, ...] = ()
    feeds: tuple[Feed, ...] = ()
    follows: bool = False
    buckets: tuple[float, ...] | None = None
    """A histogram's upper bounds; None: the configured duration buckets."""
    absolute: bool = False
    """The name stands as it is (semantic conventions, our own health); the common attributes may be absent."""

    def full_name(self, prefix: str = DEFAULT_PREFIX) -> str:
        """The OpenTelemetry name."""
        return self.name if self.absolute else f"{prefix}.{self.name}"


# -- what a feed is made of --------------------------------------------------------------------------------------------


def _one(line: Line, state: RunState) -> float:
    return 1


def _of(name: str) -> Value:
    """The line's own field."""
    return lambda line, state: line.get(name)


def _positive(name: str) -> Value:
    """The line's own field, when there is anything to add."""
    return lambda line, state: line.get(name) or None


def _state(name: str) -> Value:
    """A field of the state."""
    return lambda line, state: getattr(state, name)


def _size(name: str) -> Value:
    """How many there are in a collection of the state."""
    return lambda line, state: len(getattr(state, name))


def _text(name: str, default: str | None = None) -> AttributeValue:
    return lambda line: line.get(name) or default


def _always(value: str) -> AttributeValue:
    return lambda line: value


def _counter(name: str, unit: str, description: str, *feeds: Feed, attributes: tuple[Attribute, ...] = ()) -> Metric:
    return Metric(name, Kind.COUNTER, unit, description, attributes, feeds)


def _duration(name: str, description: str, *feeds: Feed, attributes: tuple[Attribute, ...] = ()) -> Metric:
    return Metric(name, Kind.HISTOGRAM, "s", description, attributes, feeds)


def _gauge(name: str, unit: str, description: str, value: Value, *on: str) -> Metric:
    feeds = tuple(Feed(event, _if_named(name, value) if event == "gauge.set" else value) for event in on)
    return Metric(name, Kind.GAUGE, unit, description, feeds=feeds)


def _if_named(name: str, value: Value) -> Value:
    """The value, where a generic operation names this metric."""
    return lambda line, state: value(line, state) if line["name"] == name and not line.get("labels") else None


def _active(name: str, unit: str, description: str, value: Value, *on: str) -> Metric:
    feeds = tuple(Feed(event, value) for event in (*on, "loop.stopped"))
    return Metric(name, Kind.UPDOWN, unit, description, feeds=feeds, follows=True)


_BY_OUTCOME = {OUTCOME.name: _text("outcome")}
_BY_REASON = {STOP_REASON.name: _text("reason")}
_BY_REBOOT = {REBOOT_REASON.name: _text("reason")}
_BY_AGENT = {AGENT.name: _text("agent"), OUTCOME.name: _text("outcome")}
_BY_TEST_OUTCOME: dict[str, AttributeValue] = {TEST_OUTCOME.name: lambda line: "failed" if line["failed"] else "passed"}


def _tokens(field_name: str, token_type: str) -> Feed:
    attributes = {TOKEN_TYPE.name: _always(token_type), MODEL.name: _text("model")}
    return Feed("usage.measured", _positive(field_name), attributes)


METRICS: tuple[Metric, ...] = (
    # Iterations
    _counter(
        "iterations", "{iteration}", "Iterations that finished.",
        Feed("iteration.finished", _one, _BY_OUTCOME), attributes=(OUTCOME,),
    ),
    _duration(
        "iteration_duration", "Seconds an iteration took.",
        Feed("iteration.finished", _of("duration"), _BY_OUTCOME), attributes=(OUTCOME,),
    ),
    Metric(
        "iterations_with_progress", Kind.COUNTER, "{iteration}", "Iterations that made progress.", follows=True,
        feeds=tuple(
            Feed(event, _state("iterations_with_progress"))
            for event in ("iteration.finished", "progress.measured", "counter.added")
        ),
    ),
    Metric(
        "iteration_age", Kind.OBSERVABLE_GAUGE, "s",
        "Seconds that the running iteration has taken, less pauses; absent while none runs.",
    ),
    _gauge(
        "last_iteration_timestamp", "s", "When the last iteration finished, in Unix seconds.",
        lambda line, state: line["ts"] / 1e9, "iteration.finished",
    ),
    # Runs, sessions and what is going on now
    _active("active_runs", "{run}", "Loops that are running.", lambda line, state: int(state.active), "loop.started"),
    _active(
        "active_sessions", "{session}", "Sessions that are open.", _size("open_sessions"),
        "session.started", "session.ended",
    ),
    _active(
        "active_iterations", "{iteration}", "Iterations that are running.", _size("open_iterations"),
        "iteration.started", "iteration.finished",
    ),
    _counter(
        "runs", "{run}", "Loops that ended.", Feed("loop.stopped", _one, _BY_REASON), attributes=(STOP_REASON,)
    ),
    _duration(
        "run_duration", "Seconds a loop ran, less its pauses.",
        Feed("loop.stopped", lambda line, state: state.execution_time(), _BY_REASON), attributes=(STOP_REASON,),
    ),
    _counter("sessions_created", "{session}", "Sessions that began.", Feed("session.started", _one)),
    _duration("session_duration", "Seconds a session lasted.", Feed("session.ended", _of("duration"))),
    # Context
    _counter(
        "reboots", "{reboot}", "Times the context was thrown away.",
        Feed("reboot.started", _one, _BY_REBOOT), attributes=(REBOOT_REASON,),
    ),
    _duration(
        "reboot_duration", "Seconds until the fresh context was ready.",
        Feed("reboot.finished", _of("duration"), _BY_REBOOT), attributes=(REBOOT_REASON,),
    ),
    Metric(
        "context_at_reboot", Kind.HISTOGRAM, "%", "How full the context window was at a reboot.", (REBOOT_REASON,),
        (Feed("reboot.started", _of("context_percent"), _BY_REBOOT),), buckets=PERCENT_BUCKETS,
    ),
    _gauge(
        "context_usage", "%", "How full the context window is.", _state("context_percent"),
        "context.measured", "session.started", "gauge.set",
    ),
    # Tests
    Metric(
        "tests", Kind.GAUGE, "{test}", "Tests of the last run.", (TEST_STATUS,),
        tuple(
            Feed("tests.finished", _of(field_name), {TEST_STATUS.name: _always(status)})
            for field_name, status in (("passed", "passing"), ("failed", "failing"), ("skipped", "skipped"))
        ),
    ),
    _gauge(
        "test_pass_ratio", "1", "Passing tests ÷ all tests of the last run.", _state("pass_ratio"), "tests.finished"
    ),
    _counter(
        "test_runs", "{run}", "Runs of the tests.",
        Feed("tests.finished", _one, _BY_TEST_OUTCOME), attributes=(TEST_OUTCOME,),
    ),
    _duration(
        "test_run_duration", "Seconds a run of the tests took.",
        Feed("tests.finished", _of("duration"), _BY_TEST_OUTCOME), attributes=(TEST_OUTCOME,),
    ),
    _gauge(
        "test_failure_streak", "{run}", "Test runs in a row with any failure.", _state("failure_streak"),
        "tests.finished", "gauge.set",
    ),
    _gauge(
        "flaky_tests", "{test}", "Tests that pass and fail by turns.", _state("flaky_tests"),
        "tests.finished", "gauge.set",
    ),
    # Progress
    _gauge(
        "no_progress_streak", "{iteration}", "Iterations in a row without progress.", _state("no_progress_streak"),
        "iteration.finished", "progress.measured", "gauge.set",
    ),
    _gauge("progress_score", "{score}", "The last progress score.", _state("score"), "progress.measured", "gauge.set"),
    _gauge(
        "progress_velocity", "{score}", "How the progress score moves: last three less first three of the last ten.",
        _state("velocity"), "progress.measured", "gauge.set",
    ),
    _counter(
        "files_changed", "{file}", "Files changed.",
        Feed("progress.measured", _positive("files_changed")),
        Feed("counter.added", _if_named("files_changed", _positive("value"))),
    ),
    _counter(
        "lines_changed", "{line}", "Lines changed.",
        Feed("progress.measured", _positive("lines_added"), {CHANGE.name: _always("added")}),
        Feed("progress.measured", _positive("lines_removed"), {CHANGE.name: _always("removed")}),
        attributes=(CHANGE,),
    ),
    _counter("commits", "{commit}", "Commits made.", Feed("progress.measured", _positive("commits"))),
    # Agents, tokens and money
    _duration(
        "agent_duration", "Seconds an agent's process ran.",
        Feed("agent.finished", _of("duration"), _BY_AGENT), attributes=(AGENT, OUTCOME),
    ),
    _counter(
        "turns", "{turn}", "Turns of conversation.",
        Feed("agent.finished", _positive("turns"), _BY_AGENT), attributes=(AGENT, OUTCOME),
    ),
    _counter(
        "tokens", "{token}", "Tokens used.",
        _tokens("input_tokens", "input"), _tokens("output_tokens", "output"),
        _tokens("cache_read_tokens", "cache_read"), _tokens("cache_creation_tokens", "cache_creation"),
        attributes=(TOKEN_TYPE, MODEL),
    ),
    _counter(
        "cost", "USD", "Money spent, in US dollars.",
        Feed(
            "usage.measured", _positive("cost_usd"),
            {MODEL.name: _text("model"), COST_SOURCE.name: _text("cost_source", "reported")},
        ),
        attributes=(MODEL, COST_SOURCE),
    ),
    _counter(
        "tool_calls", "{call}", "Tools that agents used.",
        Feed("tool.called", _one, {TOOL.name: _text("tool"), OUTCOME.name: _text("outcome")}),
        attributes=(TOOL, OUTCOME),
    ),
    _counter(
        "errors", "{error}", "Errors of the loop.",
        Feed("error.raised", _one, {ERROR_TYPE.name: _text("error_type")}), attributes=(ERROR_TYPE,),
    ),
)  # fmt: skip
"""Every metric of a loop that events feed, and the age of its running iteration."""

HEALTH: tuple[Metric, ...] = (
    Metric(
        "ralph_otel.events", Kind.OBSERVABLE_COUNTER, "{event}", "Events that were recorded.", absolute=True
    ),
    Metric(
        "ralph_otel.dropped_events", Kind.OBSERVABLE_COUNTER, "{event}",
        "Events that neither the journal nor the queue could take.", absolute=True,
    ),
    Metric(
        "ralph_otel.bad_lines", Kind.OBSERVABLE_COUNTER, "{line}", "Journal lines that could not be used.",
        absolute=True,
    ),
    Metric(
        "ralph_otel.doubted_times", Kind.OBSERVABLE_COUNTER, "{line}",
        "Journal lines with a time so far from all others that it was not believed.", absolute=True,
    ),
    Metric(
        "ralph_otel.journal_errors", Kind.OBSERVABLE_COUNTER, "{error}",
        "Events that could not be written to the journal.", absolute=True,
    ),
    Metric(
        "ralph_otel.refused_series", Kind.OBSERVABLE_COUNTER, "{measurement}",
        "Generic measurements refused for their name, or because there were too many names.", absolute=True,
    ),
    Metric(
        "ralph_otel.waiting_requests", Kind.OBSERVABLE_GAUGE, "{request}",
        "Requests that wait for the OTLP receiver; those of other loops of the same home folder, too.", (SIGNAL,),
        absolute=True,
    ),
    Metric(
        "ralph_otel.waiting_size", Kind.OBSERVABLE_GAUGE, "By", "Bytes of the requests that wait.", (SIGNAL,),
        absolute=True,
    ),
    Metric(
        "ralph_otel.undelivered", Kind.OBSERVABLE_COUNTER, "{item}",
        "Spans, data points and log records that were given up and will not reach the OTLP receiver.",
        (SIGNAL, DROP_REASON), absolute=True,
    ),
)  # fmt: skip
"""Our own health; on every exporter, so that what is missing can be seen to be missing."""

_PROCESS_ROLE = (ROLE,)
_UPDOWN, _GAUGE = Kind.OBSERVABLE_UPDOWN, Kind.OBSERVABLE_GAUGE
RESOURCES: tuple[Metric, ...] = (
    Metric(
        "process.cpu.utilization", _GAUGE, "1",
        "Fraction of all processor cores that the runner, or all processes below it together, had in use.",
        _PROCESS_ROLE, absolute=True,
    ),
    Metric("process.memory.usage", _UPDOWN, "By", "Physical memory in use.", _PROCESS_ROLE, absolute=True),
    Metric("process.thread.count", _UPDOWN, "{thread}", "Threads.", _PROCESS_ROLE, absolute=True),
    Metric(
        "process.unix.file_descriptor.count", _UPDOWN, "{file_descriptor}",
        "File descriptors that the runner has open.", _PROCESS_ROLE, absolute=True,
    ),
    Metric(
        "ralph.process.count", _UPDOWN, "{process}", "Living processes: the runner, and those below it.",
        _PROCESS_ROLE, absolute=True,
    ),
    Metric(
        "system.cpu.utilization", _GAUGE, "1", "Fraction of the machine's processor time that was not idle.",
        absolute=True,
    ),
    Metric("system.memory.utilization", _GAUGE, "1", "Fraction of the machine's memory in use.", absolute=True),
    Metric(
        "system.cpu.load_average.1m", _GAUGE, "{thread}", "Runnable threads of the machine, mean over one minute.",
        absolute=True,
    ),
)  # fmt: skip
"""What the runner, its agents and the machine use. Names and units are those of the semantic conventions, which have
none for the number of processes in a tree, hence ours, nor for the load average, called as the Collector's host metrics
call it."""

BY_NAME: dict[str, Metric] = {metric.name: metric for metric in (*METRICS, *RESOURCES, *HEALTH)}
