"""What waits for OTLP receivers, since when and why; and what was given up."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ralph_otel.config import MetricsConfig, MetricsExportFormat
from ralph_otel.doctor.findings import Finding, Subject, ok, warning
from ralph_otel.exporters import otlp
from ralph_otel.exporters.delivery.deliveries import folder_for, queues
from ralph_otel.exporters.delivery.dropped import Entry, Reason, read
from ralph_otel.exporters.delivery.queue import Queue
from ralph_otel.exporters.delivery.wire import wire
from ralph_otel.wording import size

_SIGNALS: tuple[otlp.Signal, ...] = ("metrics", "traces", "logs")
_RECENT = 7 * 86_400.0
"""Seconds for which it is told what was given up."""

_REMEDIES = {
    Reason.REFUSED: "see the check otlp, and the receiver's log",
    Reason.REJECTED: "see the receiver's log: it has left out a part",
    Reason.TOO_LARGE: "raise the receiver's limit",
    Reason.TOO_OLD: "raise RALPH_OTEL_WAITING_AGE, if outages are that long",
    Reason.NO_ROOM: "raise RALPH_OTEL_WAITING_SIZE, if outages are that long",
    Reason.DAMAGED: "look at the disk",
    Reason.UNSAVED: "make room on the disk, or set RALPH_OTEL_HOME to another one",
}


def delivery(subject: Subject) -> Iterator[Finding]:
    """Every queue of the home folder."""
    folders = sorted(path for path in queues(subject.config.home).glob("*-*-*-*") if path.is_dir())
    ours = _ours(subject.config) if folders else set()
    faults = [finding for folder in folders for finding in (*_waiting(folder, folder in ours), *_dropped(folder))]
    yield from faults
    if not faults:
        yield ok("nothing waits, and nothing was given up in the last 7 days")


def _ours(config: MetricsConfig) -> set[Path]:
    """The folders of the receivers that a loop would have that starts here and now."""
    target, found = config.target(MetricsExportFormat.OTLP), set[Path]()
    if not config.enabled or MetricsExportFormat.OTLP not in config.export_format:
        return found
    for signal in _SIGNALS:
        if otlp.wanted(signal, target):
            made = wire(signal, target)
            found.add(folder_for(config.home, made))
            made.close()
    return found


def _name(folder: Path) -> str:
    host, protocol, signal, _ = folder.name.rsplit("-", 3)
    return f"{signal} by {protocol} to {':'.join(host.rsplit('_', 1))}"


def _waiting(folder: Path, ours: bool) -> Iterator[Finding]:
    queue = Queue(folder, 0)
    entries = queue.waiting()
    if not entries:
        return
    state = queue.state()
    why = f"; the last attempt: {state.said}" if state.said else ""
    items, packed = sum(entry.items for entry in entries), sum(entry.packed for entry in entries)
    since = entries[0].since / 1e9
    yield warning(
        f"{_name(folder)}: {_number(len(entries), 'request')} with {_number(items, 'item')} ({size(packed)})"
        f" {'waits' if len(entries) == 1 else 'wait'} since {_when(since)}{why}",
        "when the receiver is there again, the next loop sends them, or ralph-otel watch"
        if ours
        else f"a loop with this endpoint and the same OTEL_EXPORTER_OTLP_HEADERS sends them; or remove {folder}",
    )


def _dropped(folder: Path) -> Iterator[Finding]:
    """A finding for each reason."""
    recent = [entry for entry in read(folder) if entry.ts > time.time() - _RECENT]
    by_reason: dict[str, list[Entry]] = {}
    for entry in recent:
        by_reason.setdefault(entry.reason, []).append(entry)
    for reason, entries in by_reason.items():
        said = Counter(entry.said for entry in entries if entry.said)
        why = f" ({said.most_common(1)[0][0]})" if said else ""
        items = sum(entry.items for entry in entries)
        yield warning(
            f"{_name(folder)}: {_number(items, 'item')} given up since {_when(entries[0].ts)}: {reason}{why}",
            _REMEDIES[Reason(reason)],
        )


def _number(count: int, thing: str) -> str:
    return f"{count} {thing}{'' if count == 1 else 's'}"


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
