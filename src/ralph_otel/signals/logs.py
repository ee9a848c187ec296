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
_MAX_RUNS = 1000
"""Runs whose last events are remembered at once."""
_UNKNOWN = Log("{type}", Severity.DEBUG)


class LogSignals:
    """Log records on one provider.

    Args:
        provider: gives the provider of loggers, ours or the host's, once there is one.
    """

    def __init__(self, provider: Callable[[], Any]) -> None:
        self._provider = provider
        self._made: Logger | None = None
        self._ids = RecordIds()

    def record(self, line: Line, state: RunState, unless: Callable[[str], bool] | None = None) -> None:
        """Make the record of a completed line, after its run's state is known.

        Args:
            line: the line.
            state: its run's state after it.
            unless: whether none is to be made for the record's id; asked for each line, in order.
        """
        record_id = self._ids.of(line)
        if unless is not None and unless(record_id):
            return
        logger = self._logger()
        if logger is None:
            return
        row = LOGS.get(line["type"], _UNKNOWN)
        severity = _severity(row, line)
        logger.emit(
            LogRecord(
                timestamp=line["ts"],
                context=context_of(line, state),
                severity_number=SeverityNumber(severity.value),
                severity_text=severity.name,
                body=row.body.format_map(_Fields(line)),
                attributes={LOG_ID.name: record_id, **_attributes(line, state)},
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


class RecordIds:
    """The ids of records: the same live, in a replay and after a crash, so that a receiver can tell.

    Made from the run, the type and the time, and of several events alike in these, of the place among them.
    """

    def __init__(self) -> None:
        self._alike: dict[str, tuple[int, dict[str, int]]] = {}
        """By run, the last time, and how many events of each type there were at that time."""

    def of(self, line: Line) -> str:
        """The id for a line. Ask for each of a run once, in order."""
        run, type_, ts = line["loop"], line["type"], line["ts"]
        before, counts = self._alike.get(run, (ts, {}))
        if before != ts:
            counts = {}
        if run not in self._alike and len(self._alike) >= _MAX_RUNS:
            del self._alike[next(iter(self._alike))]
        self._alike[run] = (ts, counts)
        counts[type_] = place = counts.get(type_, 0) + 1
        whole = f"{run} {ts} {type_} {place}"
        return hashlib.blake2b(whole.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _attributes(line: Line, state: RunState) -> dict[str, Any]:
    """The line's own fields as `ralph.<field>`, and whose they are. Mappings (test results, labels) stay home."""
    attributes: dict[str, Any] = {RUN_ID.name: line["loop"], LOOP_NAME.name: state.name}
    if state.runner:
        attributes[RUNNER.name] = state.runner
    for name, value in line.items():
        if name not in _ENVELOPE and isinstance(value, (str, int, float, bool)) and name not in ("name", "runner"):
            attributes[f"ralph.{name}"] = value
    return attributes
