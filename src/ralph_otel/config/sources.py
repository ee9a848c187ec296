"""Where the values of settings come from: arguments, variables, files; what counts most comes first."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from ralph_otel import configfile
from ralph_otel.config.fields import FIELDS
from ralph_otel.config.values import MetricsExportFormat
from ralph_otel.notices import notice, shown

OTLP_ENDPOINTS = (
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT",
)
"""Any of these turns the otlp exporter on."""


def resolved(arguments: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The value of every field, and where it came from. What will not do is said, and the next source is asked.

    Args:
        arguments: what the program itself says.

    Returns:
        By field its value, and `argument`, a variable's name, a file's name, or `default`.
    """
    values = {name: field.default for name, field in FIELDS.items()}
    sources = dict.fromkeys(FIELDS, "default")
    for name, value, source in _given(arguments):
        if sources[name] != "default":
            continue
        try:
            values[name] = FIELDS[name].read(value)
        except (TypeError, ValueError) as error:
            notice(f"{_place(name, source)}: {shown(value)} will not do; it must be {error}")
        else:
            sources[name] = source
    return values, sources


def _place(name: str, source: str) -> str:
    """Where a person has to look for a wrong value."""
    if source == "argument":
        return name
    return f"{source}: {name}" if source.endswith(".toml") else source


def _given(arguments: Mapping[str, Any]) -> Iterator[tuple[str, Any, str]]:
    """Every value that was given, for a field perhaps several: field, value, source; what counts most comes first."""
    for name, value in arguments.items():
        yield name, value, "argument"
    for name in FIELDS:
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
        if key.replace("-", "_") in FIELDS:
            yield key.replace("-", "_"), value, name
        else:
            notice(f"{name}: unknown field {shown(key)}; known ones: {', '.join(FIELDS)}")
