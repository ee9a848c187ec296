"""The OpenTelemetry context of a journal line: the span it belongs to."""

from __future__ import annotations

from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from ralph_otel.events import Line

_EMPTY = Context()
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)


def span_context(trace_id: str, span_id: str, flags: int = 1, remote: bool = False) -> SpanContext | None:
    """A span's context from its hexadecimal ids; None if they are not ids."""
    try:
        context = SpanContext(int(trace_id, 16), int(span_id, 16), remote, _SAMPLED if flags & 1 else TraceFlags(0))
    except (TypeError, ValueError):
        return None
    return context if context.is_valid else None


def context_of(line: Line) -> Context:
    """The context to record a line's measurements in, so that exemplars point to its span."""
    trace_id, span_id = line.get("trace_id"), line.get("span_id")
    if type(trace_id) is not str or type(span_id) is not str:
        return _EMPTY
    span = span_context(trace_id, span_id)
    return _EMPTY if span is None else set_span_in_context(NonRecordingSpan(span), _EMPTY)
