"""What the SDK logs, said once, in one line, and without secrets.

The SDK's exporters write to stderr with every batch that fails, in a host that has not set up `logging`. And some of
its messages quote what was configured: headers, say, which hold tokens.
"""

from __future__ import annotations

import logging

from ralph_otel.notices import notice, public, shown

_OUTSPOKEN = ("opentelemetry.exporter.", "opentelemetry.sdk.")
"""Loggers whose messages may be told; of others only the text is, without the values in it."""


class _SdkTroubles(logging.Handler):
    """Says a logger's first warning. It is there in any case, so that the SDK itself never writes to stderr."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._said: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        if record.name in self._said:
            return
        self._said.add(record.name)
        text = record.getMessage() if record.name.startswith(_OUTSPOKEN) else str(record.msg)
        name = record.name.rpartition(".")[2].lstrip("_") or record.name
        notice(f"{name}: {shown(public(text), 200)}")


def tame_sdk_logging() -> None:
    """Have what the SDK logs said once, in one line. A second call does nothing."""
    logger = logging.getLogger("opentelemetry")
    if not any(isinstance(handler, _SdkTroubles) for handler in logger.handlers):
        logger.addHandler(_SdkTroubles())
