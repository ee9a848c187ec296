"""Configuration: what may be set, where each value came from, and what is wrong with it.

Order: arguments, then `RALPH_OTEL_*` variables (each field upper-cased), then the standard `OTEL_*` variables, then
`ralph-otel.toml` or `[tool.ralph-otel]` of `pyproject.toml` in the working directory, then defaults. A wrong value
never stops a loop: one line names the field, the value and what would do, and the next source is asked.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ralph_otel import configfile, journal, settings
from ralph_otel.defaults import DEFAULT_PREFIX, DURATION_BUCKETS
from ralph_otel.notices import notice, shown
from ralph_otel.settings import MetricsExportFormat as MetricsExportFormat
from ralph_otel.settings import seconds as seconds

_READ: dict[str, Callable[[Any], Any]] = {
    "enabled": settings.flag,
    "prefix": settings.prefix,
    "collection_interval": settings.interval,
    "enable_histograms": settings.flag,
    "duration_buckets": settings.buckets,
    "export_format": settings.formats,
    "export_target": settings.text,
    "journal": settings.flag,
    "home": settings.path,
    "service_name": settings.text,
    "resources": settings.flag,
    "queue_size": settings.count,
    "waiting_size": settings.size,
    "waiting_age": settings.seconds,
    "journal_size": settings.size,
    "journal_age": settings.seconds,
    "trace_iterations": settings.most,
    "capture_logging": settings.flag,
    "redact": settings.patterns,
    "web_config": settings.path,
    "web_insecure": settings.flag,
    "web_hosts": settings.hosts,
}
"""How each field's value is read and checked; what it raises says what would do."""

_FORMATS = frozenset(MetricsExportFormat)
_DEFAULTS: dict[str, Any] = {
    "enabled": True,
    "prefix": DEFAULT_PREFIX,
    "collection_interval": 10.0,
    "enable_histograms": True,
    "duration_buckets": DURATION_BUCKETS,
    "export_format": (MetricsExportFormat.PROMETHEUS,),
    "export_target": None,
    "journal": True,
    "home": None,
    "service_name": "ralph-loop",
    "resources": True,
    "queue_size": 10_000,
    "waiting_size": 64 << 20,
    "waiting_age": 72 * 3600.0,
    "journal_size": 1 << 30,
    "journal_age": 0.0,
    "trace_iterations": 500,
    "capture_logging": False,
    "redact": None,
    "web_config": None,
    "web_insecure": False,
    "web_hosts": None,
}


@dataclass(frozen=True, slots=True, init=False)
class MetricsConfig:
    """How a collector works. Every argument may be left out; see the module for where its value comes from then.

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
        arguments = {name: value for name, value in locals().items() if name in _READ and value is not None}
        values, sources = dict(_DEFAULTS), dict.fromkeys(_DEFAULTS, "default")
        said: set[str] = set()
        for name, value, source in _layers(arguments):
            if name in said:
                continue
            try:
                values[name] = _READ[name](value)
            except (TypeError, ValueError) as error:
                where = {"argument": name}.get(source, f"{source}: {name}" if source.endswith(".toml") else source)
                notice(f"{where}: {shown(value)} will not do; it must be {error}")
                continue
            said.add(name)
            sources[name] = source
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
        named = {name: target for name, _, target in parts if name in _FORMATS}
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
    known = {name: value for name, value in fields.items() if name in _READ}
    for name in fields.keys() - known.keys():
        notice(f"configuration: unknown field {shown(name)}; known ones: {', '.join(_READ)}")
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


def _layers(arguments: Mapping[str, Any]) -> Iterator[tuple[str, Any, str]]:
    """Every value that was given: field, value, source; what counts most comes first."""
    for name, value in arguments.items():
        yield name, value, "argument"
    for name in _READ:
        if value := os.environ.get(f"RALPH_OTEL_{name.upper()}"):
            yield name, value, f"RALPH_OTEL_{name.upper()}"
    yield from _standard_variables(os.environ)
    yield from _file_values(os.curdir)


def _standard_variables(environment: Mapping[str, str]) -> Iterator[tuple[str, Any, str]]:
    def said(name: str) -> str:
        return environment.get(name, "").strip()

    if said("OTEL_SDK_DISABLED").lower() == "true":
        yield "enabled", False, "OTEL_SDK_DISABLED"
    if name := said("OTEL_SERVICE_NAME"):
        yield "service_name", name, "OTEL_SERVICE_NAME"
    if interval := said("OTEL_METRIC_EXPORT_INTERVAL"):
        yield "collection_interval", f"{interval}ms", "OTEL_METRIC_EXPORT_INTERVAL"
    endpoint = next((name for name in OTLP_ENDPOINTS if said(name)), None)
    formats = [word for word in said("OTEL_METRICS_EXPORTER").lower().split(",") if word in list(MetricsExportFormat)]
    if endpoint is not None:
        yield "export_format", list(dict.fromkeys([*(formats or ["prometheus"]), "otlp"])), endpoint
    elif formats:
        yield "export_format", formats, "OTEL_METRICS_EXPORTER"
    host, port = said("OTEL_EXPORTER_PROMETHEUS_HOST"), said("OTEL_EXPORTER_PROMETHEUS_PORT")
    if host or port:
        source = "OTEL_EXPORTER_PROMETHEUS_" + ("PORT" if port else "HOST")
        yield "export_target", f"prometheus={host or '127.0.0.1'}:{port or 9464}", source


OTLP_ENDPOINTS = (
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT",
)
"""Any of these turns the otlp exporter on."""


def _file_values(folder: str) -> Iterator[tuple[str, Any, str]]:
    found = configfile.find(folder)
    if found is None:
        return
    name, table, text = found
    try:
        values = configfile.values(text, table)
    except (ValueError, RecursionError) as error:
        notice(f"{name}: {str(error)[:120]}; mend it or remove it; the file is left out")
        return
    for key, value in values.items():
        if key.replace("-", "_") in _READ:
            yield key.replace("-", "_"), value, name
        else:
            notice(f"{name}: unknown field {shown(key)}; known ones: {', '.join(_READ)}")
