"""What is configured: every field with where its value came from, and what was not understood."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any

from opentelemetry.util.re import parse_env_headers

from ralph_otel.doctor.findings import Finding, Subject, ok, problem, warning
from ralph_otel.notices import public_url, shown

_OURS = "RALPH_OTEL_"
INTERNAL = ("RALPH_OTEL_LAUNCH", "RALPH_OTEL_RUN")
"""Variables by which our own processes speak to each other."""
_PLAIN = ("PROTOCOL", "TIMEOUT", "COMPRESSION", "EXPORTER", "SAMPLER", "SAMPLER_ARG", "INTERVAL", "DISABLED", "PORT")
"""How the names of OTEL_ variables end whose values are shown: words and numbers, never a secret."""


def fields(subject: Subject) -> Iterator[Finding]:
    """Every field, its value and its source; before them, what would not do."""
    for notice in subject.notices:
        yield problem(notice, "mend it; until then the next source counts, or the default")
    config = subject.config
    if not config.enabled:
        yield warning(
            f"nothing is recorded: enabled is false ({config.sources['enabled']})", "set RALPH_OTEL_ENABLED=true"
        )
    for name, source in config.sources.items():
        value = getattr(config, name)
        if name == "redact" and value is not None:  # an expression may be the very secret
            value = f"{len(value)} expressions, not shown"
        yield ok(f"{name} = {_value(value)} ({source})")


def _value(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ",".join(map(_value, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def variables(subject: Subject) -> Iterator[Finding]:
    """The variables that are set: unknown ones of ours, and OpenTelemetry's."""
    ours = [name.upper() for name in subject.config.sources]
    for name in sorted(os.environ):
        field = name.removeprefix(_OURS)
        if name.startswith(_OURS) and field not in ours and name not in INTERNAL:
            close = get_close_matches(field, ours, 1)
            yield warning(f"{shown(name)} means nothing", f"did you mean {_OURS}{close[0]}?" if close else "remove it")
    standard = [_described(name, os.environ[name]) for name in sorted(os.environ) if name.startswith("OTEL_")]
    yield ok(", ".join(standard) if standard else "no OTEL_ variable is set")
    for name in sorted(os.environ):
        if name.startswith("OTEL_EXPORTER_OTLP_") and name.endswith("HEADERS"):
            yield from _headers(name, os.environ[name])


def _described(name: str, value: str) -> str:
    """A variable as it may be shown: what may be a secret stays out."""
    if name.endswith("ENDPOINT"):
        return f"{name}={public_url(value)}"
    return f"{name}={shown(value)[1:-1]}" if name.endswith(_PLAIN) else name


def _headers(name: str, value: str) -> Iterator[Finding]:
    """The names of headers; their values are nobody's business."""
    parts = [part for part in value.split(",") if part.strip()]
    headers = parse_env_headers(value, liberal=True)
    if len(headers) < len(parts):
        yield problem(
            f"{name}: {len(parts) - len(headers)} of {len(parts)} headers cannot be read (values are not shown)",
            "write name=value,name=value, with spaces and commas in values as %20 and %2C",
        )
    elif headers:
        yield ok(f"{name}: {', '.join(sorted(headers))} (values are not shown)")
