"""What Prometheus, Jaeger and the Collector's files have received."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stack.errors import Refused, StackError
from stack.web import Parameters, get_json


@dataclass(frozen=True, slots=True)
class Sample:
    """A series and its value at one moment; the name of the metric is the label `__name__`."""

    labels: Mapping[str, str]
    value: float

    @property
    def name(self) -> str:
        """The metric's name; "" where an expression has taken it off."""
        return self.labels.get("__name__", "")


@dataclass(frozen=True, slots=True)
class Series:
    """A series over a time: pairs of Unix seconds and value."""

    labels: Mapping[str, str]
    values: tuple[tuple[float, float], ...]


class PrometheusClient:
    """Prometheus's HTTP API.

    Every method raises StackError where Prometheus refuses: a PromQL expression that is none, say.

    Args:
        url: `http://host:port`.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def query(self, expression: str, at: float | None = None) -> list[Sample]:
        """The value of an expression, now or at a moment in Unix seconds; a scalar is a sample without labels."""
        data = self._ask("query", {"query": expression, **({} if at is None else {"time": at})})
        if data["resultType"] in ("scalar", "string"):
            return [Sample({}, float(data["result"][1]))]
        return [Sample(each["metric"], float(each["value"][1])) for each in data["result"] if "value" in each]

    def query_range(self, expression: str, start: float, end: float, step: float) -> list[Series]:
        """The values of an expression between two moments, in Unix seconds."""
        data = self._ask("query_range", {"query": expression, "start": start, "end": end, "step": step})
        return [
            Series(each["metric"], tuple((float(when), float(value)) for when, value in each["values"]))
            for each in data["result"]
        ]

    def target_metadata(self, matcher: str) -> dict[str, tuple[str, str, str]]:
        """Type, unit and help of each metric that targets with these labels show, as they say it: `{job="x"}`."""
        found = self._ask("targets/metadata", {"match_target": matcher})
        return {each["metric"]: (each["type"], each["unit"], each["help"]) for each in found}

    def targets(self) -> list[dict[str, Any]]:
        """What is scraped: `labels`, `health`, `lastError` and more of each."""
        active: list[dict[str, Any]] = self._ask("targets", {"state": "active"})["activeTargets"]
        return active

    def alerts(self) -> list[dict[str, Any]]:
        """The alerts that are pending or firing: `labels`, `annotations`, `state`, `value`."""
        alerts: list[dict[str, Any]] = self._ask("alerts")["alerts"]
        return alerts

    def rules(self) -> list[dict[str, Any]]:
        """Every rule with its `name`, `type`, `health` and `lastError`."""
        return [rule for group in self._ask("rules")["groups"] for rule in group["rules"]]

    def exemplars(self, expression: str, start: float, end: float) -> list[dict[str, Any]]:
        """The exemplars of an expression's series: `labels` (trace_id, span_id), `value`, `timestamp`."""
        found = self._ask("query_exemplars", {"query": expression, "start": start, "end": end})
        return [exemplar for series in found for exemplar in series["exemplars"]]

    def _ask(self, path: str, parameters: Parameters | None = None) -> Any:
        answer = get_json(f"{self._url}/api/v1/{path}", parameters)
        if answer["status"] != "success":
            raise StackError(f"Prometheus: {path}: {answer}")
        return answer["data"]


class JaegerClient:
    """The HTTP API of Jaeger's pages.

    Args:
        url: `http://host:port`.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def services(self) -> list[str]:
        """The services that have sent spans."""
        return list(get_json(f"{self._url}/api/services")["data"] or ())

    def traces(self, service: str, tags: Mapping[str, str] | None = None, limit: int = 100) -> list[list[Span]]:
        """The traces with spans of a service that have these tags, each as a list of its spans."""
        parameters: dict[str, str | float] = {"service": service, "limit": limit, "lookback": "48h"}
        if tags:
            parameters["tags"] = json.dumps(dict(tags))
        return [_spans(trace) for trace in get_json(f"{self._url}/api/traces", parameters)["data"]]

    def trace(self, trace_id: str) -> list[Span]:
        """The spans of one trace; none, where none has come yet."""
        try:
            [trace] = get_json(f"{self._url}/api/traces/{trace_id}")["data"]
        except Refused as error:
            if error.status == 404:
                return []
            raise
        return _spans(trace)


@dataclass(frozen=True, slots=True)
class Span:
    """A span as Jaeger shows it."""

    trace_id: str
    span_id: str
    parent_id: str
    """"" for a root."""
    name: str
    start: float
    """Unix seconds."""
    duration: float
    """Seconds."""
    tags: Mapping[str, Any]
    resource: Mapping[str, Any]
    links: tuple[str, ...]
    """The ids of spans that it follows from."""


def _spans(trace: Mapping[str, Any]) -> list[Span]:
    resources = {key: _pairs(process["tags"]) for key, process in trace["processes"].items()}
    return [_span(span, resources[span["processID"]]) for span in trace["spans"]]


def _span(span: Mapping[str, Any], resource: Mapping[str, Any]) -> Span:
    of = {kind: [each["spanID"] for each in span["references"] if each["refType"] == kind] for kind in _REFERENCES}
    parents, links = of["CHILD_OF"], of["FOLLOWS_FROM"]
    return Span(
        span["traceID"],
        span["spanID"],
        parents[0] if parents else "",
        span["operationName"],
        span["startTime"] / 1e6,
        span["duration"] / 1e6,
        _pairs(span["tags"]),
        resource,
        tuple(links),
    )


_REFERENCES = ("CHILD_OF", "FOLLOWS_FROM")


def _pairs(tags: list[dict[str, Any]]) -> dict[str, Any]:
    return {tag["key"]: tag["value"] for tag in tags}


@dataclass(frozen=True, slots=True)
class LogRecord:
    """A log record as the Collector has it."""

    event: str
    body: str
    trace_id: str
    span_id: str
    attributes: Mapping[str, Any]
    resource: Mapping[str, Any]


def log_records(path: Path) -> Iterator[LogRecord]:
    """The log records that the Collector's file exporter has written: OTLP in JSON, a line a batch."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    for batch in (json.loads(line) for line in lines if line.endswith("\n")):  # the last may be under way
        for resource in batch.get("resourceLogs", ()):
            about = _values(resource.get("resource", {}))
            for record in (record for scope in resource["scopeLogs"] for record in scope["logRecords"]):
                yield LogRecord(
                    record.get("eventName", ""),
                    str(_value(record.get("body", {}))),
                    record.get("traceId", ""),
                    record.get("spanId", ""),
                    _values(record),
                    about,
                )


def _values(holder: Mapping[str, Any]) -> dict[str, Any]:
    return {each["key"]: _value(each["value"]) for each in holder.get("attributes", ())}


def _value(value: Mapping[str, Any]) -> Any:
    """A value of OTLP's JSON, in which 64-bit integers are texts."""
    for kind, content in value.items():
        return int(content) if kind == "intValue" else content
    return None
