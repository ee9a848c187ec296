"""The OpenTelemetry context of a journal line: the span it belongs to."""

from __future__ import annotations

from functools import lru_cache

from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from ralph_otel.events import Line
from ralph_otel.state import RunState

SCHEMA_URL = "https://opentelemetry.io/schemas/1.37.0"
"""The semantic conventions that names of metrics, spans and log records follow."""
_EMPTY = Context()
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)


@lru_cache(1024)
def span_context(trace_id: str, span_id: str, sampled: bool = True, remote: bool = False) -> SpanContext | None:
    """A span's context from its hexadecimal ids; None if they are not ids."""
    try:
        context = SpanContext(int(trace_id, 16), int(span_id, 16), remote, _SAMPLED if sampled else TraceFlags(0))
    except (TypeError, ValueError):
        return None
    return context if context.is_valid else None


def context_of(line: Line, state: RunState) -> Context:
    """The context of a line's span, so that exemplars and log records point to it."""
    trace_id, span_id = line.get("trace_id"), line.get("span_id")
    if type(trace_id) is not str or type(span_id) is not str:
        return _EMPTY
    span = span_context(trace_id, span_id, state.sampled)
    return _EMPTY if span is None else set_span_in_context(NonRecordingSpan(span), _EMPTY)
