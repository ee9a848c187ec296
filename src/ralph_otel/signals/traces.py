"""From events to spans: `loop` → `session` → `iteration` → `invoke_agent` → `execute_tool`, `tests`, `reboot`.

The probe draws every span's ids and passes them to agents at once. Here the span is made when its end is known, with
those very ids, with the times of its events, and with what was measured inside it as attributes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opentelemetry.sdk.trace import Tracer
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import NonRecordingSpan, SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.util.types import AttributeValue

from ralph_otel.catalog import AGENT, ERROR_TYPE, MODEL, OUTCOME, REBOOT_REASON, STOP_REASON
from ralph_otel.events import Line
from ralph_otel.signals.context import span_context
from ralph_otel.state import RunState
from ralph_otel.version import __version__

MAX_OPEN = 10_000
"""Spans that may be open at once; the oldest are given up beyond."""

_Attributes = dict[str, AttributeValue]


class ChosenIds(IdGenerator):
    """Hands out the ids that a line carries, one span at a time."""

    def __init__(self) -> None:
        self.trace_id = self.span_id = 0

    def generate_trace_id(self) -> int:
        """The line's trace id."""
        return self.trace_id

    def generate_span_id(self) -> int:
        """The line's span id."""
        return self.span_id

    def is_trace_id_random(self) -> bool:
        """They were drawn at random."""
        return True


class _Open:
    """A span that has started: its first line, and what has been learnt since."""

    __slots__ = ("attributes", "error", "line")

    def __init__(self, line: Line) -> None:
        self.line = line
        self.attributes: _Attributes = {}
        self.error: str | None = None


class TraceSignals:
    """Spans on one provider.

    Args:
        provider: gives the provider, ours or the host's. It is asked until it gives one of the SDK: a host may set up
            its own after us. Spans that end before are lost, as the host's own are.
    """

    def __init__(self, provider: Callable[[], Any]) -> None:
        self._provider = provider
        self._ids = ChosenIds()
        self._made: Tracer | None = None
        self._open: dict[tuple[str, str], _Open] = {}

    def _tracer(self) -> Tracer | None:
        if self._made is None:
            tracer = self._provider().get_tracer("ralph_otel", __version__)
            if isinstance(tracer, Tracer):
                tracer.id_generator = self._ids
                self._made = tracer
        return self._made

    def record(self, line: Line, state: RunState) -> None:
        """Take in a completed line, and its run's state after it."""
        trace_id, span_id, type_ = line.get("trace_id"), line.get("span_id"), line["type"]
        if type(trace_id) is not str or type(span_id) is not str:
            return
        key = (trace_id, span_id)
        if type_ in _STARTS:
            if len(self._open) >= MAX_OPEN:
                del self._open[next(iter(self._open))]
            self._open[key] = _Open(line)
        elif type_ in _ENDS:
            if (span := self._open.pop(key, None)) is not None:
                _learn(span, line)
                self._export(span, line["ts"], state)
        elif (span := self._open.get(key)) is not None:
            _learn(span, line)

    def _export(self, span: _Open, end: int, state: RunState) -> None:
        line = span.line
        own, tracer = span_context(line["trace_id"], line["span_id"]), self._tracer()
        if own is None or tracer is None or line.get("trace_flags", 1) == 0:
            return
        parent = span_context(
            line["trace_id"], line.get("parent_span_id") or "0", remote=line["type"] == "loop.started"
        )
        self._ids.trace_id, self._ids.span_id = own.trace_id, own.span_id
        name, attributes = _NAMES[line["type"]](line, state)
        attributes.update(span.attributes)
        attributes["ralph.run.id"] = line["loop"]
        made = tracer.start_span(
            name,
            context=set_span_in_context(NonRecordingSpan(parent)) if parent else None,
            kind=SpanKind.CLIENT if line["type"] == "agent.started" else SpanKind.INTERNAL,
            attributes=attributes,
            start_time=line["ts"],
        )
        if span.error is not None:
            made.set_attribute(ERROR_TYPE.name, span.error)
            made.set_status(Status(StatusCode.ERROR))
        made.end(max(end, line["ts"]))


# -- what each span is called, what it says from its start ------------------------------------------------------------


def _loop(line: Line, state: RunState) -> tuple[str, _Attributes]:
    said = {f"ralph.loop.{name}": value for name, value in (line.get("attributes") or {}).items()}
    attributes: _Attributes = {**said, "ralph.loop.name": line["name"], "ralph.iterations": state.total_iterations}
    if runner := line.get("runner"):
        attributes["ralph.runner"] = runner
    return f"loop {line['name']}", attributes


def _session(line: Line, state: RunState) -> tuple[str, _Attributes]:
    return "session", {"ralph.session.id": line["session"]}


def _iteration(line: Line, state: RunState) -> tuple[str, _Attributes]:
    return "iteration", {"ralph.iteration.number": line["iteration"]}


def _agent(line: Line, state: RunState) -> tuple[str, _Attributes]:
    attributes: _Attributes = {"gen_ai.operation.name": "invoke_agent", AGENT.name: line["agent"]}
    if model := line.get("model"):
        attributes[MODEL.name] = model
    return f"invoke_agent {line['agent']}", attributes


def _reboot(line: Line, state: RunState) -> tuple[str, _Attributes]:
    return "reboot", {REBOOT_REASON.name: line["reason"]}


_NAMES: dict[str, Callable[[Line, RunState], tuple[str, _Attributes]]] = {
    "loop.started": _loop,
    "session.started": _session,
    "iteration.started": _iteration,
    "agent.started": _agent,
    "reboot.started": _reboot,
}
_STARTS = frozenset(_NAMES)
_ENDS = frozenset({"loop.stopped", "session.ended", "iteration.finished", "agent.finished", "reboot.finished"})

_LEARNT: dict[str, dict[str, str]] = {
    "loop.stopped": {"reason": STOP_REASON.name},
    "iteration.finished": {"outcome": OUTCOME.name, "exit_code": "process.exit.code"},
    "agent.finished": {
        "outcome": OUTCOME.name,
        "exit_code": "process.exit.code",
        "pid": "process.pid",
        "turns": "ralph.agent.turns",
        "conversation": "gen_ai.conversation.id",
    },
    "usage.measured": {"model": MODEL.name},
    "context.measured": {"percent": "ralph.context.percent"},
    "reboot.started": {"context_percent": "ralph.context.percent"},
    "tests.finished": {"passed": "ralph.tests.passed", "failed": "ralph.tests.failed", "total": "ralph.tests.total"},
    "progress.measured": {"score": "ralph.progress.score", "files_changed": "ralph.progress.files_changed"},
}
"""What a line adds to its span: field to attribute."""
_SUMMED = {
    "input_tokens": "gen_ai.usage.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
    "cache_read_tokens": "gen_ai.usage.cache_read.input_tokens",
    "cache_creation_tokens": "gen_ai.usage.cache_creation.input_tokens",
    "cost_usd": "ralph.cost.usd",
}
_FAILED = ("failure", "timeout")


def _learn(span: _Open, line: Line) -> None:
    """Note on a span what one of its lines says."""
    for name, attribute in _LEARNT.get(line["type"], {}).items():
        if (value := line.get(name)) is not None:
            span.attributes[attribute] = value
    if line["type"] == "usage.measured":
        for name, attribute in _SUMMED.items():
            if value := line.get(name):
                before: Any = span.attributes.get(attribute, 0)
                span.attributes[attribute] = before + value
    elif line["type"] == "error.raised":
        span.error = line["error_type"]
    elif line.get("outcome") in _FAILED or line.get("reason") in ("error", "crashed"):
        code = line.get("exit_code")
        span.error = line.get("error_type") or (f"exit_code_{code}" if code else line.get("outcome") or line["reason"])
