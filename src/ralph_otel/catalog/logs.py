"""Every log record: one for each event, named `ralph.<type>`. To add one, add a row."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Severity(IntEnum):
    """The severity numbers of OpenTelemetry."""

    DEBUG = 5
    INFO = 9
    WARN = 13
    ERROR = 17


@dataclass(frozen=True, slots=True)
class Log:
    """One row.

    Args:
        body: a line for people; `{field}` is a field of the event, `?` where it is absent.
        severity: how it is usually meant; a failure is at least a warning, an error or a crash an error.
    """

    body: str
    severity: Severity = Severity.INFO


LOGS: dict[str, Log] = {
    "loop.started": Log("Loop {name} started."),
    "loop.paused": Log("The loop is paused."),
    "loop.resumed": Log("The loop goes on."),
    "loop.stopped": Log("The loop stopped: {reason}."),
    "trace.continued": Log("The loop goes on in a trace of its own, part {part}.", Severity.DEBUG),
    "session.started": Log("Session {session} started."),
    "session.ended": Log("Session {session} ended after {duration} s."),
    "iteration.started": Log("Iteration {iteration} started."),
    "iteration.finished": Log("Iteration {iteration} finished: {outcome} after {duration} s."),
    "agent.started": Log("Agent {agent} started."),
    "agent.finished": Log("Agent {agent} ended: {outcome} after {duration} s."),
    "usage.measured": Log("Used {input_tokens} tokens in, {output_tokens} out, {cost_usd} USD.", Severity.DEBUG),
    "context.measured": Log("The context window is {percent} % full.", Severity.DEBUG),
    "reboot.started": Log("The context is thrown away: {reason}."),
    "reboot.finished": Log("The fresh context is ready after {duration} s."),
    "tests.finished": Log("Tests: {passed} of {total} passed, {failed} failed."),
    "progress.measured": Log("Progress score {score}, {files_changed} files changed."),
    "tool.called": Log("Tool {tool}: {outcome}.", Severity.DEBUG),
    "error.raised": Log("Error {error_type}.", Severity.ERROR),
    "stop_condition.triggered": Log("Stop condition: {condition}."),
    "counter.added": Log("Counter {name} + {value}.", Severity.DEBUG),
    "gauge.set": Log("Gauge {name} = {value}.", Severity.DEBUG),
    "histogram.observed": Log("Histogram {name}: {value}.", Severity.DEBUG),
    "resource.sampled": Log("The {role} uses {cpu} cores and {memory} bytes.", Severity.DEBUG),
    "events.dropped": Log("{count} events are missing here: the journal could not take them.", Severity.WARN),
}
