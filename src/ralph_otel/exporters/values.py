"""Attributes as text, the same in every format."""

from __future__ import annotations

import json

from opentelemetry.util.types import AnyValue

from ralph_otel.escapes import spelled_out


def text_of(value: AnyValue) -> str:
    """An attribute as text: a text as it is, None as nothing, anything else as JSON (`true`, `12`, `["a", "b"]`)."""
    if value is None:
        return ""
    return spelled_out(
        encodable(value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False))
    )


def encodable(text: str) -> str:
    """The text with `?` for lone surrogates, which UTF-8 cannot carry; a single one would break a whole scrape."""
    return text.encode("utf-8", "replace").decode("utf-8")
