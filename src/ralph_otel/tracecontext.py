"""Trace ids and the W3C trace context, without the OpenTelemetry packages.

The probe draws ids and hands `TRACEPARENT` to agents at once; the recorder makes the spans with these ids later, in
another thread or process. Format: https://www.w3.org/TR/trace-context/ and, for the names of the environment
variables, the OpenTelemetry specification "Environment Variables as Context Propagation Carriers".

Standard library only, Python 3.9 and later.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

SAMPLED = 1
"""The flag that says that a trace is recorded."""

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII)


def new_trace_id() -> str:
    """32 random lower-case hexadecimal digits, not all zero."""
    return os.urandom(16).hex()


def new_span_id() -> str:
    """16 random lower-case hexadecimal digits, not all zero."""
    return os.urandom(8).hex()


@dataclass(frozen=True)
class TraceContext:
    """Where a span stands: its trace, itself, the flags, and what travels along.

    Args:
        trace_id: 32 lower-case hexadecimal digits.
        span_id: 16 lower-case hexadecimal digits.
        flags: the trace flags, 0 to 255; bit 1 is `SAMPLED`.
        state: the `tracestate` header's text, or "".
        baggage: the `baggage` header's text, or "".
    """

    trace_id: str
    span_id: str
    flags: int = SAMPLED
    state: str = ""
    baggage: str = ""

    @property
    def traceparent(self) -> str:
        """The `traceparent` header's text."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}"

    def environment(self) -> dict[str, str]:
        """The variables that tell a child process of this context."""
        variables = {"TRACEPARENT": self.traceparent}
        if self.state:
            variables["TRACESTATE"] = self.state
        if self.baggage:
            variables["BAGGAGE"] = self.baggage
        return variables


def parse(traceparent: str, state: str = "", baggage: str = "") -> TraceContext | None:
    """Read a `traceparent` text; None if it is not a valid one (the specification says to start afresh then)."""
    found = _TRACEPARENT.fullmatch(traceparent.strip()) if len(traceparent) < 512 else None
    if found is None:
        return None
    version, trace_id, span_id, flags, rest = found.groups()
    if version == "ff" or (version == "00" and rest) or not int(trace_id, 16) or not int(span_id, 16):
        return None
    return TraceContext(trace_id, span_id, int(flags, 16) & SAMPLED, _printable(state), _printable(baggage))


def from_environment(environment: Mapping[str, str]) -> TraceContext | None:
    """The context that the process was started in, or None."""
    return parse(environment.get("TRACEPARENT", ""), environment.get("TRACESTATE", ""), environment.get("BAGGAGE", ""))


def from_host() -> TraceContext | None:
    """The span that is current in the host's own OpenTelemetry, or None.

    Looks only where OpenTelemetry has been imported already: a probe brings no package into its host.
    """
    trace: Any = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None
    try:
        span = trace.get_current_span().get_span_context()
        if not span.is_valid:
            return None
        state = span.trace_state.to_header() if span.trace_state else ""
        return TraceContext(f"{span.trace_id:032x}", f"{span.span_id:016x}", int(span.trace_flags) & SAMPLED, state)
    except Exception:  # noqa: BLE001 — a half-imported or foreign module: then there is no parent
        return None


def sampled_at_root(trace_id: str, environment: Mapping[str, str]) -> bool:
    """Whether a trace that begins here is recorded, as `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG` say.

    For the ratio samplers the SDK's rule: the lower half of the trace id, taken as a fraction, is below the ratio.
    """
    sampler = environment.get("OTEL_TRACES_SAMPLER", "").strip().lower().replace("parentbased_", "")
    if sampler == "always_off":
        return False
    if sampler != "traceidratio":
        return True
    try:
        bound = round(float(environment.get("OTEL_TRACES_SAMPLER_ARG", "") or 1.0) * 2**64)
    except (ValueError, OverflowError):
        return True
    return int(trace_id[16:], 16) < bound


def attach(context: TraceContext) -> Callable[[], None] | None:
    """Make a span current for the host's own OpenTelemetry, so that what other libraries record nests in it.

    Returns:
        What undoes it; None where the host has not imported OpenTelemetry, or none of it can be undone.
    """
    trace: Any = sys.modules.get("opentelemetry.trace")
    current: Any = sys.modules.get("opentelemetry.context")
    if trace is None or current is None:
        return None
    try:
        ids = trace.SpanContext(
            int(context.trace_id, 16), int(context.span_id, 16), False, trace.TraceFlags(context.flags)
        )
        before = current.get_current()
        ours = trace.set_span_in_context(trace.NonRecordingSpan(ids))
        current.attach(ours)
    except Exception:  # noqa: BLE001 — half imported: then there is nothing to nest
        return None

    def undo() -> None:
        # Not by detach(): in another thread or task than this one it fails, with a traceback in the host's log.
        if current.get_current() is ours:
            current.attach(before)

    return undo


def host_name() -> str | None:
    """This machine's name, where it has one."""
    return (os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME")) or None


def _printable(text: str) -> str:
    """A header's text, or nothing where it could not be one (the limit is the specification's for baggage)."""
    return text if len(text) <= 8192 and text.isascii() and text.isprintable() else ""
