"""What one pipeline sends by OTLP: a sender for each signal, their exporters, and their figures."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from ralph_otel.config import MetricsConfig, MetricsExportFormat
from ralph_otel.exporters.delivery.delivered import Delivered, slug
from ralph_otel.exporters.delivery.dropped import Dropped, Reason
from ralph_otel.exporters.delivery.exporters import KeptLogs, KeptMetrics, KeptSpans, ids_by_run, ids_underway
from ralph_otel.exporters.delivery.logged import Logged
from ralph_otel.exporters.delivery.queue import Queue
from ralph_otel.exporters.delivery.sender import Sender
from ralph_otel.exporters.delivery.wire import Wire, wire
from ralph_otel.exporters.otlp import Signal
from ralph_otel.guard import together

_TENANT = ("HEADERS", "CLIENT_CERTIFICATE", "CLIENT_KEY")
"""Variables that may say whose data it is: `OTEL_EXPORTER_OTLP_…`, for all signals or for one."""


class Deliveries:
    """Everything that a pipeline sends by OTLP.

    Args:
        config: where to, and how much may wait for how long.
        target: a URL or `host:port`; by default what the configuration says, and where that is None the variables.
    """

    def __init__(self, config: MetricsConfig, target: str | None = None) -> None:
        self._config = config
        self._target = target if target is not None else config.target(MetricsExportFormat.OTLP)
        self._senders: dict[Signal, Sender] = {}
        self._dropped: dict[Signal, Dropped] = {}
        self._folders: dict[Signal, Path | None] = {}
        self._metrics: KeptMetrics | None = None
        self.logged: Logged | None = None
        """How far log records were handed over; None where they are not kept."""

    def spans(self) -> KeptSpans:
        """An exporter of spans.

        Raises:
            Exception: whatever the official one raises where a variable will not do; likewise the others.
        """
        made, queue = self._wire("traces")
        underway = partial(ids_underway, queue) if queue is not None else None
        delivered = Delivered(made.endpoint, self._config.home, underway)
        return KeptSpans(self._sender(made, queue, lambda body: delivered.note(ids_by_run(body))), delivered)

    def metrics(self) -> KeptMetrics:
        """An exporter of metrics."""
        if self._metrics is None:  # there may be several pipelines of metrics, one after the other
            made, queue = self._wire("metrics")
            official = made.exporter  # before there is a sender, whose thread ends it where nobody answers
            self._metrics = KeptMetrics(self._sender(made, queue), official)
        return self._metrics

    @property
    def metric_exports(self) -> int:
        """How often metrics have been handed over; 0 where none are."""
        return self._metrics.exports if self._metrics is not None else 0

    def logs(self) -> KeptLogs:
        """An exporter of log records."""
        made, queue = self._wire("logs")
        self.logged = Logged(made.endpoint, self._config.home) if queue is not None else None
        return KeptLogs(self._sender(made, queue), self.logged)

    def _wire(self, signal: Signal) -> tuple[Wire, Queue | None]:
        made = wire(signal, self._target)
        keeps = self._config.journal and self._config.waiting_size
        return made, Queue(folder_for(self._config.home, made), self._config.waiting_size) if keeps else None

    def _sender(self, made: Wire, queue: Queue | None, taken: Callable[[bytes], None] | None = None) -> Sender:
        folder = self._folders[made.signal] = queue.folder if queue is not None else None
        dropped = self._dropped[made.signal] = Dropped(folder)
        sender = self._senders[made.signal] = Sender(made, queue, dropped, self._config.waiting_age, taken)
        return sender

    # -- its life ------------------------------------------------------------------------------------------------------

    def flush(self, timeout: float) -> None:
        """Try to send what waits, for at most `timeout` seconds."""
        together([partial(sender.flush, timeout) for sender in self._senders.values()], timeout)

    def stop(self, timeout: float) -> None:
        """Try to send what waits and end, in at most `timeout` seconds; what then waits on disk is sent by others."""
        together([partial(sender.stop, timeout) for sender in self._senders.values()], timeout)

    def expire(self) -> None:
        """Give up what has waited too long in queues that nobody sends from any more, those of an old token, say."""
        own = set(self._folders.values())
        before = time.time_ns() - self._config.waiting_age * 1e9
        for folder in queues(self._config.home).glob("*-*-*-*"):
            queue, dropped = Queue(folder, 0), Dropped(folder)
            for entry in queue.waiting() if folder not in own else ():
                if entry.since < before and queue.remove(entry):
                    dropped.add(Reason.TOO_OLD, entry.items)

    # -- its figures ---------------------------------------------------------------------------------------------------

    def figure(self, name: str) -> dict[tuple[str, ...], int]:
        """A metric of the catalog, by its name without `ralph_otel.`: what it comes to by its attributes' values."""
        if name == "undelivered":
            return {
                (signal, reason.value): items
                for signal, dropped in self._dropped.items()
                for reason, items in list(dropped.counts.items())
            }
        which = ("waiting_requests", "waiting_size").index(name)
        return {(signal,): sender.waiting()[which] for signal, sender in self._senders.items()}


def queues(home: Path) -> Path:
    """The folder of all queues of a home folder."""
    return home / "queue"


def folder_for(home: Path, made: Wire) -> Path:
    """The folder of what waits for a receiver.

    Data of one tenant must not be sent with another's token: so where headers or certificates differ, folders do. What
    of them is in the name is a few bytes of a hash, from which they cannot be had.
    """
    variables = [f"OTEL_EXPORTER_OTLP_{own}{name}" for name in _TENANT for own in ("", f"{made.signal.upper()}_")]
    whose = [urlsplit(made.endpoint).path, *(os.environ.get(name, "") for name in variables)]
    tenant = hashlib.blake2b("\0".join(whose).encode("utf-8", "surrogateescape"), digest_size=4).hexdigest()
    return queues(home) / f"{slug(made.endpoint)}-{made.protocol}-{made.signal}-{tenant}"
