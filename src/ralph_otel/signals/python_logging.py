"""The runner's own `logging`, as log records in the span that is current. Only when the user asks for it.

A message may hold anything, prompts and secrets included: `capture_logging` is off unless it is turned on.
"""

from __future__ import annotations

import logging

from opentelemetry import context
from opentelemetry._logs import Logger, LogRecord, SeverityNumber

from ralph_otel.redaction import redacted_text

_LEVELS = (
    (logging.CRITICAL, SeverityNumber.FATAL),
    (logging.ERROR, SeverityNumber.ERROR),
    (logging.WARNING, SeverityNumber.WARN),
    (logging.INFO, SeverityNumber.INFO),
    (0, SeverityNumber.DEBUG),
)
_EXPORTING = ("opentelemetry", "ralph_otel", "urllib3", "requests", "grpc")
"""Loggers of the export itself: to export what they say would make them say more."""


class CapturedLogging(logging.Handler):
    """Hands records of `logging` to a logger of OpenTelemetry.

    Args:
        logger: where they go.
    """

    def __init__(self, logger: Logger) -> None:
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """Export a record, in the context that is current in its thread or task."""
        if record.name.partition(".")[0] in _EXPORTING:
            return
        try:
            self._logger.emit(_exported(record))
        except Exception:  # noqa: BLE001 — logging's own way: told on stderr if `logging.raiseExceptions` is set
            self.handleError(record)


def _exported(record: logging.LogRecord) -> LogRecord:
    attributes: dict[str, str | int] = {"logger.name": record.name}
    if record.exc_info and record.exc_info[0] is not None:
        attributes["exception.type"] = record.exc_info[0].__qualname__
    return LogRecord(
        timestamp=round(record.created * 1e9),
        context=context.get_current(),
        severity_number=next(number for level, number in _LEVELS if record.levelno >= level),
        severity_text=record.levelname,
        body=redacted_text(record.getMessage()),
        attributes=attributes,
    )
