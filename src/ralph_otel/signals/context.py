"""What a signal is about: the OpenTelemetry context of a journal line, which is its span, and the resource."""

from __future__ import annotations

import os
from functools import lru_cache

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from ralph_otel.config import MetricsConfig
from ralph_otel.events import Line
from ralph_otel.state import RunState
from ralph_otel.version import __version__

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


def resource_of(config: MetricsConfig, instance_id: str) -> Resource:
    """What every signal of a pipeline is of; `instance_id` is the run id, or that of the first one."""
    attributes: dict[str, str | int] = {
        "service.instance.id": instance_id,
        "telemetry.distro.name": "ralph-otel",
        "telemetry.distro.version": __version__,
    }
    if config.sources["service_name"] != "default" or "service.name=" not in os.environ.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    ):
        attributes["service.name"] = config.service_name
    return Resource.create(attributes)
