"""From events to log records: one each, named `ralph.<type>`, in the context of its span."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from opentelemetry._logs import Logger, LogRecord, SeverityNumber

from ralph_otel.catalog import LOGS, Log, Severity
from ralph_otel.catalog.attributes import LOG_ID, LOOP_NAME, RUN_ID, RUNNER
from ralph_otel.events import ENVELOPE, Line
from ralph_otel.signals.context import SCHEMA_URL, context_of
from ralph_otel.state import RunState
from ralph_otel.version import __version__

_ENVELOPE = {field.name for field in ENVELOPE} | {"trace_flags"}
_UNKNOWN = Log("{type}", Severity.DEBUG)


class LogSignals:
    """Log records on one provider.

    Args:
        provider: gives the provider of loggers, ours or the host's, once there is one.
    """

    def __init__(self, provider: Callable[[], Any]) -> None:
        self._provider = provider
        self._made: Logger | None = None

    def record(self, line: Line, state: RunState) -> None:
        """Take in a completed line, and its run's state after it."""
        logger = self._logger()
        if logger is None:
            return
        row = LOGS.get(line["type"], _UNKNOWN)
        severity = _severity(row, line)
        body = _body(line, row)
        logger.emit(
            LogRecord(
                timestamp=line["ts"],
                context=context_of(line, state),
                severity_number=SeverityNumber(severity.value),
                severity_text=severity.name,
                body=body,
                attributes={LOG_ID.name: _id(line, body), **_attributes(line, state)},
                event_name=f"ralph.{line['type']}",
            )
        )

    def _logger(self) -> Logger | None:
        """The logger; None while a host has no SDK for logs: records would be made for nothing."""
        if self._made is None:
            provider = self._provider()
            if not type(provider).__module__.startswith("opentelemetry._logs"):
                self._made = provider.get_logger("ralph_otel", __version__, SCHEMA_URL)
        return self._made


class _Fields(dict[str, Any]):
    """A line's fields for a body; what is absent is a question mark."""

    def __missing__(self, name: str) -> str:
        return "?"


def _severity(row: Log, line: Line) -> Severity:
    if line.get("reason") in ("error", "crashed"):
        return Severity.ERROR
    if line.get("outcome") in ("failure", "timeout") or (line["type"] == "tests.finished" and line["failed"]):
        return max(row.severity, Severity.WARN)
    return row.severity


def record_id(line: Line) -> str:
    """The id of an event's record: the same live, in a replay and after a crash, so that a receiver can tell."""
    return _id(line, _body(line, LOGS.get(line["type"], _UNKNOWN)))


def _id(line: Line, body: str) -> str:
    whole = f"{line['loop']} {line['type']} {line['ts']} {line.get('span_id')} {body}"
    return hashlib.blake2b(whole.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _body(line: Line, row: Log) -> str:
    return row.body.format_map(_Fields(line))


def _attributes(line: Line, state: RunState) -> dict[str, Any]:
    """The line's own fields as `ralph.<field>`, and whose they are. Mappings (test results, labels) stay home."""
    attributes: dict[str, Any] = {RUN_ID.name: line["loop"], LOOP_NAME.name: state.name}
    if state.runner:
        attributes[RUNNER.name] = state.runner
    for name, value in line.items():
        if name not in _ENVELOPE and isinstance(value, (str, int, float, bool)) and name not in ("name", "runner"):
            attributes[f"ralph.{name}"] = value
    return attributes
