"""`MetricsConfig`: what may be set, and what is wrong with it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ralph_otel import journal
from ralph_otel.config.fields import FIELDS
from ralph_otel.config.sources import resolved
from ralph_otel.config.values import MetricsExportFormat
from ralph_otel.notices import notice, shown


@dataclass(frozen=True, slots=True, init=False)
class MetricsConfig:
    """How a collector works. Where the value of one that is left out comes from, `ralph_otel.config` says.

    Args:
        enabled: whether anything is recorded at all.
        prefix: how the names of the loop's metrics begin.
        collection_interval: seconds, or a text such as `10s`, between two exports and two samples of resources.
        enable_histograms: whether distributions are recorded.
        duration_buckets: upper bounds of duration histograms, in seconds.
        export_format: one or several of `MetricsExportFormat`, also as text with commas.
        export_target: where to: `host:port` or a file's path for prometheus, a URL for otlp, a file's path for console
            and json, `host:port` for statsd. With several formats: `prometheus=127.0.0.1:9500,statsd=localhost:8125`.
        journal: whether events are kept in files; without, they live in memory only.
        home: the folder of the journals; `RALPH_OTEL_HOME`, else the XDG state folder.
        service_name: the resource's `service.name`.
        resources: whether processor and memory use are sampled.
        queue_size: how many events may wait in memory where there is no journal to hold them.
        waiting_size: bytes, or a text such as `64MiB`, that may wait on disk for an OTLP receiver, of each signal and
            receiver; the oldest make room. 0: nothing is kept on disk.
        waiting_age: seconds, or a text such as `72h`, that it may wait.
        journal_size: bytes, or a text such as `500MB`, that journals may take together; those of ended runs make room,
            the oldest first. 0: any number.
        journal_age: seconds, or a text such as `2160h`, after which the journal of an ended run is removed. 0: never.
        trace_iterations: after so many iterations a loop goes on in a trace of its own, linked to the one before, so
            that each can be looked at; 0: never.
        capture_logging: whether what the process logs by Python's `logging` goes out as log records, too, in the span
            that is current. Its messages may hold anything: off unless asked for.
        redact: regular expressions; what they match is in no name, label or message that is written.
        web_config: a file that says with which certificate the servers answer, and to whom; see `ralph_otel.serving`.
        web_insecure: whether the servers may be reached from other machines without TLS and a password or token.
        web_hosts: further names under which the servers may be asked for, besides this machine's own.
    """

    enabled: bool
    prefix: str
    collection_interval: float
    enable_histograms: bool
    duration_buckets: tuple[float, ...]
    export_format: tuple[MetricsExportFormat, ...]
    export_target: str | None
    journal: bool
    home: Path
    service_name: str
    resources: bool
    queue_size: int
    waiting_size: int
    waiting_age: float
    journal_size: int
    journal_age: float
    trace_iterations: int
    capture_logging: bool
    redact: tuple[str, ...] | None
    web_config: Path | None
    web_insecure: bool
    web_hosts: tuple[str, ...] | None
    sources: Mapping[str, str]
    """Field to where its value came from: `argument`, a variable's name, a file's name, or `default`."""

    def __init__(
        self,
        enabled: bool | None = None,
        prefix: str | None = None,
        collection_interval: float | str | None = None,
        enable_histograms: bool | None = None,
        duration_buckets: Sequence[float] | str | None = None,
        export_format: MetricsExportFormat | str | Sequence[MetricsExportFormat | str] | None = None,
        export_target: str | None = None,
        journal: bool | None = None,
        home: str | Path | None = None,
        service_name: str | None = None,
        resources: bool | None = None,
        queue_size: int | None = None,
        waiting_size: int | str | None = None,
        waiting_age: float | str | None = None,
        journal_size: int | str | None = None,
        journal_age: float | str | None = None,
        trace_iterations: int | None = None,
        capture_logging: bool | None = None,
        redact: Sequence[str] | str | None = None,
        web_config: str | Path | None = None,
        web_insecure: bool | None = None,
        web_hosts: Sequence[str] | str | None = None,
    ) -> None:
        arguments = {name: value for name, value in locals().items() if name in FIELDS and value is not None}
        values, sources = resolved(arguments)
        if values["home"] is None:
            values["home"] = _home()
        for name, value in values.items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "sources", sources)

    def target(self, format_: MetricsExportFormat) -> str | None:
        """The part of `export_target` that is meant for a format."""
        if self.export_target is None:
            return None
        parts = (part.strip().partition("=") for part in self.export_target.split(","))
        named = {name: target for name, _, target in parts if name in list(MetricsExportFormat)}
        if named:
            return named.get(format_)
        first = next((f for f in self.export_format if f is not MetricsExportFormat.NONE), None)
        return self.export_target if format_ is first else None

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values."""
        plain = asdict(self)
        del plain["sources"]
        plain |= {name: str(value) for name, value in plain.items() if isinstance(value, Path)}
        return {**plain, "export_format": [f.value for f in self.export_format]}


def usable(config: Any) -> MetricsConfig:
    """The configuration that a host gave: one, its fields as a mapping, or None. Else, with a notice, the usual one."""
    if isinstance(config, MetricsConfig):
        return config
    if config is not None and not isinstance(config, Mapping):
        notice(f"configuration: {shown(config)} will not do; it must be a MetricsConfig or a mapping of its fields")
    fields = dict(config) if isinstance(config, Mapping) else {}
    known = {name: value for name, value in fields.items() if name in FIELDS}
    for name in fields.keys() - known.keys():
        notice(f"configuration: unknown field {shown(name)}; known ones: {', '.join(FIELDS)}")
    return MetricsConfig(**known)


def address_of(target: str) -> tuple[str, int] | None:
    """A target as host and port; None if it is a file's path."""
    host, _, port = target.rpartition(":")
    if not host or not port.isdecimal() or "/" in target or int(port) > 65535:
        return None
    return host.strip("[]"), int(port)


def is_textfile(target: str) -> bool:
    """Whether a target is a file for node_exporter, which reads those that end so."""
    return target.endswith(".prom")


def _home() -> Path:
    try:
        return journal.home({**os.environ, "RALPH_OTEL_HOME": ""})  # that has been asked
    except RuntimeError:  # no home folder can be found
        notice("RALPH_OTEL_HOME: no home folder for this user; set RALPH_OTEL_HOME to a folder for the journals")
        return Path("/nonexistent/ralph-otel")
