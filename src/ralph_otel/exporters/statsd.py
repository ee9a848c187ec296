"""StatsD: one line a value, with DogStatsD's tags, in UDP datagrams.

What becomes of each kind, and why:

- counter: `name:3|c`, what was added since the last export; the server adds up.
- up-down counter and gauge: `name:3|g`, the value as it stands. Below 0 it is preceded by a 0 in the same datagram, for
  etsy's server and the Collector read `-5|g` as "5 less".
- histogram of durations: `name:1500|ms`, in milliseconds, the only timer that every server knows.
- other histogram: `name:61|h`. Datadog's agent, the Collector and Telegraf know it; etsy's server, which has no such
  type, takes it for a counter.

A histogram has no single values any more, only buckets. What is sent are values that make the same histogram again
(`histograms.observations`): the server's count, sum, mean, minimum and maximum are right, and its percentiles to within
a bucket; all of them, where there are one or two values between exports, as is the rule in a loop. A value that occurs
n times is sent once with the sample rate 1/n. Datadog's agent and the Collector read that as n values, etsy's server
in its count only.

A datagram that nobody receives is lost, and with it what was added: that is StatsD. Prometheus and OTLP lose nothing.
"""

from __future__ import annotations

import math
import os
import re
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

from opentelemetry.sdk.metrics import Counter, Histogram, ObservableCounter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    HistogramDataPoint,
    Metric,
    MetricExporter,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
    Sum,
)
from opentelemetry.util.types import AnyValue

from ralph_otel.exporters.histograms import observations
from ralph_otel.exporters.snapshot import metrics_of
from ralph_otel.exporters.values import text_of
from ralph_otel.notices import notice, shown

DEFAULT_PORT = 8125
_DATAGRAM = 1432
"""Bytes that fit into one Ethernet frame through most tunnels, as Datadog's and etsy's documentation advise."""
_LONGEST_TAG = 200
"""Characters, Datadog's own limit."""
_MILLISECONDS = {"s": 1000.0, "ms": 1.0, "us": 0.001, "ns": 0.000001}
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.]+")
_NOT_IN_TAGS = re.compile(r"[\x00-\x20\x7f:|@#,;]+")


def lines(data: MetricsData) -> list[str]:
    """The lines for all metrics; for a gauge below 0, two in one text that must stay together.

    What is counted is what the data count: from a delta collection what was added, from a cumulative one the totals
    (which a server must get only once). Exponential histograms are left out, with one notice.
    """
    return [line for metric in metrics_of(data) for line in _lines_of(metric)]


def datagrams(lines: Iterable[str]) -> Iterator[bytes]:
    """The lines in as few datagrams as will hold them, in order; one that is too long on its own gets its own."""
    packed = b""
    for line in lines:
        encoded = line.encode("utf-8", "replace")
        if packed and len(packed) + 1 + len(encoded) > _DATAGRAM:
            yield packed
            packed = b""
        packed += b"\n" * bool(packed) + encoded
    if packed:
        yield packed


def parse_target(target: str) -> tuple[str, int]:
    """Host and port of `host:port`, `host` or `[::1]:port`; without a port it is 8125.

    Raises:
        ValueError: it is nothing of the kind; the text says what would do.
    """
    try:
        parts = urlsplit(f"//{target}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or parts.netloc != target or " " in target or parts.username is not None or port == 0:
        raise ValueError(
            f"a StatsD target must be host:port, such as 127.0.0.1:8125 or [::1]:8125, got {shown(target)}"
        )
    return host, DEFAULT_PORT if port is None else port


class StatsdExporter(MetricExporter):
    """Sends the metrics to a StatsD server; for a `PeriodicExportingMetricReader`.

    A server that is not there is no error: the next export tries again, and looks up the name again.

    Args:
        target: `host:port`, as in `parse_target`.

    Raises:
        ValueError: the target is none.
    """

    def __init__(self, target: str) -> None:
        delta = AggregationTemporality.DELTA
        super().__init__(preferred_temporality={Counter: delta, ObservableCounter: delta, Histogram: delta})
        self._host, self._port = parse_target(target)

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> MetricExportResult:
        """Send all lines; FAILURE, and one notice for each reason, if they cannot be sent."""
        try:
            self._send(list(datagrams(lines(metrics_data))))
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or error
            notice(f"StatsD: nothing reaches {self._host} port {self._port}, {reason}; it is tried again")
            return MetricExportResult.FAILURE
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Nothing waits here to be sent."""
        return True

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Nothing is held between exports; harmless any number of times."""

    def _send(self, packed: list[bytes]) -> None:
        """Send to the first of the name's addresses that does not refuse; `localhost` may have one too many."""
        *others, last = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_DGRAM)
        for each in others:
            with suppress(OSError):
                return _send_to(each, packed)
        return _send_to(last, packed)


def _send_to(found: tuple[Any, ...], packed: Iterable[bytes]) -> None:
    family, type_, protocol, _, address = found
    with socket.socket(family, type_, protocol) as sender:
        sender.settimeout(1.0)
        sender.connect(address)
        for datagram in packed:
            sender.send(datagram)
        refused = sender.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if refused:  # the last datagram; only this machine answers so fast
        raise OSError(refused, os.strerror(refused))


def _lines_of(metric: Metric) -> Iterator[str]:
    name = _NOT_IN_NAMES.sub("_", metric.name)
    for point in metric.data.data_points:
        tags = _tags(point.attributes)
        if isinstance(point, NumberDataPoint):
            counts = isinstance(metric.data, Sum) and metric.data.is_monotonic
            yield from _number(name, point.value, "c" if counts else "g", tags)
        elif isinstance(point, HistogramDataPoint):
            yield from _histogram(name, point, metric.unit or "", tags)
        else:
            notice(f"StatsD has no place for {shown(metric.name)}, an exponential histogram; it is left out")


def _number(name: str, value: float, type_: str, tags: str) -> Iterator[str]:
    if not math.isfinite(value):
        return
    line = f"{name}:{_text(value)}|{type_}{tags}"
    yield f"{name}:0|g{tags}\n{line}" if type_ == "g" and value < 0 else line


def _histogram(name: str, point: HistogramDataPoint, unit: str, tags: str) -> Iterator[str]:
    scale = _MILLISECONDS.get(unit)
    for value, times in observations(point):
        if math.isfinite(value):
            rate = f"|@{_rate(times)}" if times > 1 else ""
            yield f"{name}:{_text(value * (scale or 1.0))}|{'ms' if scale else 'h'}{rate}{tags}"


def _rate(times: int) -> str:
    """A sample rate that stands for so many values.

    The Collector cuts 1/rate to an integer, so it must not come out as 48.999…; etsy's server knows no exponents.
    """
    rate = 1.0 / times
    if int(1.0 / rate) < times:
        rate = math.nextafter(rate, 0.0)
    return f"{Decimal(repr(rate)):f}"


def _text(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.15g}"


def _tags(attributes: Mapping[str, AnyValue] | None) -> str:
    """Attributes as `|#key:value,…`; what would end a tag becomes `_`. A tag without a value is left out, because the
    Collector drops the whole line for it."""
    pairs = ((_tag(str(key)), _tag(text_of(value))) for key, value in (attributes or {}).items())
    tags = ",".join(sorted(f"{key}:{value}" for key, value in pairs if key and value))
    return f"|#{tags}" if tags else ""


def _tag(text: str) -> str:
    return _NOT_IN_TAGS.sub("_", text)[:_LONGEST_TAG]
