"""Which spans a receiver has taken: so that a span is sent once, whoever sends it.

For every run and endpoint there is a file of span ids, appended after each batch that was taken:
`<home>/delivered/<host>_<port>/<run id>`. A replay and the recovery of a killed run leave out what is in it. Were a
process killed between the receiver's yes and the append, that batch would be sent twice, with the same ids.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from ralph_otel.catalog.attributes import RUN_ID
from ralph_otel.journal import create_folder
from ralph_otel.notices import notice

_MAX_RUNS = 1000
"""Runs whose delivered spans are remembered at once."""


class Delivered:
    """The spans that one endpoint has taken.

    Args:
        endpoint: a URL or `host:port`.
        home: the home folder.
        underway: gives the ids of a run's spans that wait to be sent.
    """

    def __init__(self, endpoint: str, home: Path, underway: Callable[[str], Iterable[str]] | None = None) -> None:
        self._folder = home / "delivered" / slug(endpoint)
        self._underway = underway
        self._before: dict[str, frozenset[str]] = {}

    def fresh(self, spans: Sequence[ReadableSpan]) -> list[ReadableSpan]:
        """Those that were neither delivered nor underway when this process first saw their run."""
        return [span for span in spans if not self._was_delivered(span)]

    def _was_delivered(self, span: ReadableSpan) -> bool:
        run = run_of(span)
        before = self._before.get(run)
        if before is None:
            if len(self._before) >= _MAX_RUNS:
                del self._before[next(iter(self._before))]
            # In this order: what is taken meanwhile is noted before it waits no more.
            underway = frozenset(self._underway(run)) if self._underway is not None else frozenset()
            before = self._before[run] = underway | self._read(run)
        return bool(before) and id_of(span) in before

    def _read(self, run: str) -> frozenset[str]:
        try:
            return frozenset((self._folder / run).read_text("ascii", "replace").split())
        except OSError:
            return frozenset()

    def note(self, ids: Mapping[str, Sequence[str]]) -> None:
        """Note spans that were taken: run to their ids. Where that cannot be written it is said."""
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


class DeliveredOnce(SpanExporter):
    """Sends through another exporter what has not been delivered yet, and notes what has been.

    Args:
        exporter: what sends.
        delivered: what its receiver has taken.
        again: whether spans that were delivered are sent once more.
    """

    def __init__(self, exporter: SpanExporter, delivered: Delivered, again: bool = False) -> None:
        self._exporter = exporter
        self._delivered = delivered
        self._again = again
        self.skipped = 0
        """Spans that were left out because they had been delivered."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send the spans that have not been delivered; SUCCESS if there are none."""
        fresh = list(spans) if self._again else self._delivered.fresh(spans)
        self.skipped += len(spans) - len(fresh)
        if not fresh:
            return SpanExportResult.SUCCESS
        result = self._exporter.export(fresh)
        if result is SpanExportResult.SUCCESS:
            ids: dict[str, list[str]] = {}
            for span in fresh:
                ids.setdefault(run_of(span), []).append(id_of(span))
            self._delivered.note(ids)
        return result

    def shutdown(self) -> None:
        """End the exporter behind."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing waits here."""
        return self._exporter.force_flush(timeout_millis)


def run_of(span: ReadableSpan) -> str:
    """The run's id, as a file's name."""
    return as_name((span.attributes or {}).get(RUN_ID.name, "_"))


def as_name(run_id: object) -> str:
    """A run id as a file's name."""
    return re.sub(r"[^\w.-]|^\.", "_", str(run_id))


def id_of(span: ReadableSpan) -> str:
    """The span's id, in hexadecimal; "" where it has none."""
    context = span.get_span_context()
    return f"{context.span_id:016x}" if context is not None else ""


def slug(endpoint: str) -> str:
    """Host and port of an endpoint, as a folder's name; never what may be secret in it."""
    return re.sub(r"[^\w.-]", "_", address(endpoint))


def address(endpoint: str) -> str:
    """Host and port of an endpoint, for a person; the scheme where it has no port."""
    parts = urlsplit(endpoint if "//" in endpoint else f"//{endpoint}")
    try:
        port = parts.port
    except ValueError:
        port = None
    return f"{parts.hostname or 'unknown'}:{port or parts.scheme or 'default'}"
