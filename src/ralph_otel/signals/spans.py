"""The two ways to make a span whose whole life is known: for our own pipeline, and in a host's.

In ours the finished span is made as it is and handed to the processor: a tenth of the time that the SDK's tracer takes,
which has nothing to decide here. A host's own samplers and processors get to see a span of its own tracer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, Tracer, TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    INVALID_SPAN_CONTEXT,
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    set_span_in_context,
)
from opentelemetry.util.types import AttributeValue

from ralph_otel.signals.context import SCHEMA_URL
from ralph_otel.version import __version__

_ERROR, _UNSET = Status(StatusCode.ERROR), Status(StatusCode.UNSET)


@dataclass(slots=True)
class FinishedSpan:
    """All there is to know of a span; times are Unix nanoseconds."""

    name: str
    context: SpanContext
    parent: SpanContext | None
    kind: SpanKind
    attributes: dict[str, AttributeValue]
    links: Sequence[Link]
    start: int
    end: int
    failed: bool


MakeSpan = Callable[[FinishedSpan], None]


class OwnSpans:
    """Makes spans for a processor of ours.

    Args:
        on_end: takes each span: a processor's method, or what gathers them.
        resource: whose spans they are.
    """

    def __init__(self, on_end: Callable[[ReadableSpan], None], resource: Resource) -> None:
        self._on_end = on_end
        self._resource = resource
        self._scope = InstrumentationScope("ralph_otel", __version__, SCHEMA_URL)

    def __call__(self, span: FinishedSpan) -> None:
        """Make a span."""
        self._on_end(
            ReadableSpan(
                span.name,
                context=span.context,
                parent=span.parent,
                resource=self._resource,
                attributes=span.attributes,
                links=span.links,
                kind=span.kind,
                status=_ERROR if span.failed else _UNSET,
                start_time=span.start,
                end_time=span.end,
                instrumentation_scope=self._scope,
            )
        )


class _ChosenIds(IdGenerator):
    """Hands out the ids that were drawn before, one span at a time."""

    def __init__(self) -> None:
        self.trace_id = self.span_id = 0

    def generate_trace_id(self) -> int:
        return self.trace_id

    def generate_span_id(self) -> int:
        return self.span_id

    def is_trace_id_random(self) -> bool:
        return True


class HostSpans:
    """Makes spans in a host's pipeline.

    Args:
        provider: gives the host's provider. It is asked until it gives one of the SDK: a host may set up its own after
            us. Spans that end before are lost, as the host's own are.
    """

    def __init__(self, provider: Callable[[], Any]) -> None:
        self._provider = provider
        self._ids = _ChosenIds()
        self._made: Tracer | None = None

    def __call__(self, span: FinishedSpan) -> None:
        """Make a span."""
        tracer = self._tracer()
        if tracer is None:
            return
        self._ids.trace_id, self._ids.span_id = span.context.trace_id, span.context.span_id
        made = tracer.start_span(
            span.name,
            context=set_span_in_context(NonRecordingSpan(span.parent or INVALID_SPAN_CONTEXT)),
            kind=span.kind,
            attributes=span.attributes,
            links=span.links,
            start_time=span.start,
        )
        if span.failed:
            made.set_status(_ERROR)
        made.end(span.end)

    def _tracer(self) -> Tracer | None:
        if self._made is None:
            provider = self._provider()
            inner = getattr(provider, "provider", None)  # logfire hands out a wrapper around the SDK's
            if isinstance(inner, TracerProvider):
                provider = inner
            tracer = provider.get_tracer("ralph_otel", __version__, SCHEMA_URL)
            if isinstance(tracer, Tracer):
                tracer.id_generator = self._ids
                self._made = tracer
        return self._made
