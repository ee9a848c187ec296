"""The requests of each signal: how they are made, counted and cut in two."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError

from ralph_otel.exporters.otlp import Signal


class _Shape(NamedTuple):
    """Where in a request its items are.

    Args:
        service: module and service below `opentelemetry.proto.collector`.
        fields: the repeated fields from the request down to the items; of metrics, to the metrics.
        rejected: the field of a partial success that counts what was left out.
    """

    service: str
    fields: tuple[str, str, str]
    rejected: str


_SHAPES: dict[Signal, _Shape] = {
    "metrics": _Shape("metrics", ("resource_metrics", "scope_metrics", "metrics"), "rejected_data_points"),
    "traces": _Shape("trace", ("resource_spans", "scope_spans", "spans"), "rejected_spans"),
    "logs": _Shape("logs", ("resource_logs", "scope_logs", "log_records"), "rejected_log_records"),
}


def request_class(signal: Signal) -> Any:
    """The class of the signal's requests."""
    return _of(signal, "Request")


def response_class(signal: Signal) -> Any:
    """The class of the answers to them."""
    return _of(signal, "Response")


def parsed(signal: Signal, body: bytes) -> Any | None:
    """A serialized request; None where it is none."""
    try:
        return request_class(signal).FromString(body)
    except DecodeError:
        return None


def _of(signal: Signal, what: str) -> Any:
    name = _SHAPES[signal].service
    module = import_module(f"opentelemetry.proto.collector.{name}.v1.{name}_service_pb2")
    return getattr(module, f"Export{name.capitalize()}Service{what}")


def rejected(signal: Signal, response: Any) -> int:
    """How many items an answer says were left out. https://opentelemetry.io/docs/specs/otlp/#partial-success"""
    return int(getattr(response.partial_success, _SHAPES[signal].rejected))


def items(signal: Signal, request: Any) -> list[Any]:
    """All spans, metrics or log records of a request, in order."""
    outer, inner, own = _SHAPES[signal].fields
    return [item for each in getattr(request, outer) for scope in getattr(each, inner) for item in getattr(scope, own)]


def count(signal: Signal, request: Any) -> int:
    """The spans, data points or log records of a request."""
    found = items(signal, request)
    return sum(len(_points(item)) for item in found) if signal == "metrics" else len(found)


def _points(metric: Any) -> Sequence[Any]:
    kind = metric.WhichOneof("data")
    return getattr(metric, kind).data_points if kind else ()


def halves(signal: Signal, request: Any) -> list[Any]:
    """The request as two with half of the items each, in order; [] where it has one item only. Metrics stay whole."""
    total = len(items(signal, request))
    if total < 2:
        return []
    return [_part(signal, request, 0, total // 2), _part(signal, request, total // 2, total)]


def _part(signal: Signal, request: Any, begin: int, end: int) -> Any:
    """A copy with the items from `begin` on and before `end`; what would be empty around them is left out."""
    outer, inner, own = _SHAPES[signal].fields
    part = type(request)()
    position = 0
    for resource in getattr(request, outer):
        kept = None
        for scope in getattr(resource, inner):
            found = getattr(scope, own)
            wanted = found[max(0, begin - position) : max(0, end - position)]
            position += len(found)
            if not wanted:
                continue
            if kept is None:
                kept = getattr(part, outer).add(schema_url=resource.schema_url)
                if resource.HasField("resource"):
                    kept.resource.CopyFrom(resource.resource)
            made = getattr(kept, inner).add(schema_url=scope.schema_url, **{own: wanted})
            if scope.HasField("scope"):
                made.scope.CopyFrom(scope.scope)
    return part
