"""Which spans a receiver has taken: so that a span is sent once, whoever sends it.

For every run and endpoint there is a file of span ids, appended after each batch that was taken:
`<home>/delivered/<host>_<port>/<run id>`. A replay and the recovery of a killed run leave out what is in it. Were a
process killed between the receiver's yes and the append, that batch would be sent twice, with the same ids.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from ralph_otel.catalog.attributes import RUN_ID
from ralph_otel.journal import create_folder
from ralph_otel.notices import notice

_MAX_RUNS = 1000
"""Runs whose delivered spans are remembered at once."""


class DeliveredOnce(SpanExporter):
    """Sends through another exporter what has not been delivered yet, and notes what has been.

    Args:
        exporter: what sends.
        endpoint: its endpoint, a URL or `host:port`.
        home: the home folder.
        again: whether spans that were delivered are sent once more.
    """

    def __init__(self, exporter: SpanExporter, endpoint: str, home: Path, again: bool = False) -> None:
        self._exporter = exporter
        self._folder = home / "delivered" / _slug(endpoint)
        self._again = again
        self._before: dict[str, frozenset[str]] = {}
        self.skipped = 0
        """Spans that were left out because they had been delivered."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send the spans that have not been delivered; SUCCESS if there are none."""
        fresh = [span for span in spans if self._again or not self._was_delivered(span)]
        self.skipped += len(spans) - len(fresh)
        if not fresh:
            return SpanExportResult.SUCCESS
        result = self._exporter.export(fresh)
        if result is SpanExportResult.SUCCESS:
            self._note(fresh)
        return result

    def shutdown(self) -> None:
        """End the exporter behind."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing waits here."""
        return self._exporter.force_flush(timeout_millis)

    def _was_delivered(self, span: ReadableSpan) -> bool:
        run = _run_of(span)
        before = self._before.get(run)
        if before is None:
            if len(self._before) >= _MAX_RUNS:
                del self._before[next(iter(self._before))]
            before = self._before[run] = self._read(run)
        return bool(before) and _id_of(span) in before

    def _read(self, run: str) -> frozenset[str]:
        try:
            return frozenset((self._folder / run).read_text("ascii", "replace").split())
        except OSError:
            return frozenset()

    def _note(self, spans: Sequence[ReadableSpan]) -> None:
        ids: dict[str, list[str]] = {}
        for span in spans:
            ids.setdefault(_run_of(span), []).append(_id_of(span))
        try:
            create_folder(self._folder)
            for run, own in ids.items():
                fd = os.open(self._folder / run, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
                try:
                    os.write(fd, "".join(f"{one}\n" for one in own).encode("ascii"))
                finally:
                    os.close(fd)
        except OSError as error:
            notice(f"cannot note delivered spans in {self._folder}: {error.strerror}; a replay would send them again")


def _run_of(span: ReadableSpan) -> str:
    """The run's id, as a file's name."""
    return re.sub(r"[^\w.-]|^\.", "_", str((span.attributes or {}).get(RUN_ID.name, "_")))


def _id_of(span: ReadableSpan) -> str:
    context = span.get_span_context()
    return f"{context.span_id:016x}" if context is not None else ""


def _slug(endpoint: str) -> str:
    """Host and port of an endpoint, as a folder's name; never what may be secret in it."""
    parts = urlsplit(endpoint if "//" in endpoint else f"//{endpoint}")
    try:
        port = parts.port
    except ValueError:
        port = None
    return re.sub(r"[^\w.-]", "_", f"{parts.hostname or 'unknown'}_{port or parts.scheme or 'default'}")
