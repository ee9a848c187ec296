"""From events to OpenTelemetry instruments, as the catalog says.

An instrument call costs more than all the rest of an event. So what adds up (counters) is gathered while a batch of
events is worked off, and of what has a last value (gauges, and what follows a run's state) only a batch's last event
is looked at; both go to the instruments in `flush`. Values of histograms go there at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from ralph_otel.catalog import BY_NAME, LOOP_NAME, METRICS, RUNNER, Feed, Kind, Metric
from ralph_otel.events import Line
from ralph_otel.notices import notice, shown
from ralph_otel.signals.context import context_of
from ralph_otel.state import GENERIC_COUNTERS, GENERIC_GAUGES, RunState

MAX_GENERIC = 500
"""Names that the generic operations may make; measurements of further ones are refused, counted and said."""
MAX_NAME = 255
"""Characters of an instrument's name, prefix included: OpenTelemetry's own limit."""
MAX_EXACT = 2**53
"""From here on a counter is added to in floats, which hold all smaller integers exactly."""
MAX_SERIES = 2000
"""Sets of attributes of one instrument; what comes beyond goes into one overflow series.

That is the SDK's own limit; here it holds in every version and in a host's pipeline, and is said once.
"""
_OVERFLOW = (("otel.metric.overflow",), (True,))
MAX_RUNS = 1000
"""Runs whose running numbers are remembered; beyond, the first ones are forgotten."""
MAX_LABELS = 20
"""Labels of one generic measurement; further ones are left out."""
UNKNOWN = "unknown"

_Key = tuple[Callable[..., None], tuple[str, ...], tuple[str | bool | None, ...]]
"""A series: the instrument's call, the names of the attributes, their values."""
_COMMON = (LOOP_NAME.name, RUNNER.name)
_UNITS = re.compile(r"_(total|seconds|percent|ratio|usd)$", re.IGNORECASE)


@dataclass(slots=True)
class _Stream:
    """A feed with the instrument it goes into."""

    feed: Feed
    record: Callable[..., None]
    kind: Kind
    follows: bool
    names: tuple[str, ...]
    values: tuple[Callable[[Line], str | None], ...]


class Gauge:
    """The last values of a gauge, by their attributes.

    The SDK has a gauge that is set, too; before 1.45 it forgets its values with the first collection.
    """

    def __init__(self) -> None:
        self._values: dict[tuple[tuple[str, str | bool], ...], float] = {}

    def set(self, value: float, attributes: dict[str, str | bool]) -> None:
        """Set the value for these attributes."""
        self._values[tuple(attributes.items())] = value

    def observe(self, options: CallbackOptions) -> list[Observation]:
        """All values, for a collection."""
        return [Observation(value, dict(series)) for series, value in list(self._values.items())]


class MetricSignals:
    """The instruments of the catalog on one meter.

    Args:
        meter: where the instruments are made.
        prefix: how the loop's metrics begin.
        buckets: upper bounds for durations and for `observe`, in seconds.
        histograms: whether distributions are recorded.
    """

    def __init__(self, meter: Meter, prefix: str, buckets: Sequence[float], histograms: bool = True) -> None:
        self._meter = meter
        self._prefix = prefix
        self._buckets = list(buckets)
        self._histograms = histograms
        self._every: dict[str, list[_Stream]] = {}
        """By event type, the streams that take every event."""
        self._lasting: dict[str, list[_Stream]] = {}
        """By event type, the streams that take the last event of a batch."""
        self._last: dict[tuple[str, str, str | None], tuple[Line, RunState]] = {}
        """By event type, run, and name of a generic measurement: the last event."""
        self._added: dict[_Key, tuple[float, Line, RunState]] = {}
        self._reported: dict[str, dict[_Key, float]] = {}
        """By run, what was last recorded of the state's running numbers."""
        self._generic: dict[str, tuple[Kind, Callable[..., None]] | None] = {}
        self._series: dict[Callable[..., None], set[_Key]] = {}
        """By instrument's call, the series that it has."""
        self._full = False
        """Whether it has been said that there are too many."""
        self.refused = 0
        """Generic measurements that were not recorded."""
        for metric in METRICS:
            if metric.feeds and (histograms or metric.kind is not Kind.HISTOGRAM):
                self._add(metric)

    def _add(self, metric: Metric) -> None:
        record = self._instrument(metric.kind, metric.full_name(self._prefix), metric)
        for feed in metric.feeds:
            names, values = tuple(feed.attributes), tuple(feed.attributes.values())
            stream = _Stream(feed, record, metric.kind, metric.follows, (*_COMMON, *names), values)
            streams = self._lasting if metric.follows or metric.kind is Kind.GAUGE else self._every
            streams.setdefault(feed.event, []).append(stream)

    def _instrument(self, kind: Kind, name: str, metric: Metric) -> Callable[..., None]:
        meter, unit, description = self._meter, metric.unit, metric.description
        if kind is Kind.COUNTER:
            return meter.create_counter(name, unit, description).add
        if kind is Kind.UPDOWN:
            return meter.create_up_down_counter(name, unit, description).add
        if kind is Kind.GAUGE:
            gauge = Gauge()
            meter.create_observable_gauge(name, [gauge.observe], unit, description)
            return gauge.set
        bounds = list(metric.buckets or self._buckets)
        return meter.create_histogram(name, unit, description, explicit_bucket_boundaries_advisory=bounds).record

    def record(self, line: Line, state: RunState) -> None:
        """Take in a completed line, and its run's state after it."""
        type_, name = line["type"], None
        if type_ in _GENERIC:
            kind, known = _GENERIC[type_]
            name = line["name"]
            if name not in known or line.get("labels"):  # not one of the catalog's own
                self._record_generic(kind, line, state)
                return
        for stream in self._every.get(type_, ()):
            self._feed(stream, line, state)
        if type_ in self._lasting:
            self._last.pop((type_, state.run_id, name), None)  # so that they stand in the order of the last ones
            self._last[type_, state.run_id, name] = (line, state)

    def flush(self) -> None:
        """A batch has ended: hand what was gathered to the instruments."""
        last, self._last = self._last, {}
        for (type_, _, _), (line, state) in last.items():
            for stream in self._lasting[type_]:
                self._feed(stream, line, state)
        added, self._added = self._added, {}
        for key, (value, line, state) in added.items():
            # An integer that outgrows what OTLP can carry would stop the export of all metrics; a float cannot.
            key[0](value if value < MAX_EXACT else float(value), _attributes(key), context_of(line, state))

    def go_on(self, states: Iterable[RunState]) -> None:
        """Show what is going on in runs that began before these instruments."""
        for state in states:
            for stream in self._lasting["loop.stopped"]:
                self._feed(stream, {}, state)
        self.flush()

    def _feed(self, stream: _Stream, line: Line, state: RunState) -> None:
        value = stream.feed.value(line, state)
        if value is None:
            return
        values = (state.name or UNKNOWN, state.runner or UNKNOWN, *[value_of(line) for value_of in stream.values])
        key = (stream.record, stream.names, values)
        if stream.follows:  # what counts is how much it has changed since the last time
            reported = self._reported_of(state.run_id)
            before = reported.get(key)
            reported[key] = value
            if before == value:
                return
            if before is not None and (value > before or stream.kind is not Kind.COUNTER):
                value -= before  # a counter whose number is less than before was reset, and counts from nothing again
        self._measure(stream.kind, key, value, line, state)

    def _reported_of(self, run_id: str) -> dict[_Key, float]:
        reported = self._reported.get(run_id)
        if reported is None:
            if len(self._reported) >= MAX_RUNS:
                del self._reported[next(iter(self._reported))]
            reported = self._reported[run_id] = {}
        return reported

    def _measure(self, kind: Kind, key: _Key, value: float, line: Line, state: RunState) -> None:
        key = self._admitted(key)
        if kind is Kind.HISTOGRAM:
            key[0](value, _attributes(key), context_of(line, state))
        elif kind is Kind.GAUGE:
            key[0](value, _attributes(key))
        else:
            gathered = self._added.get(key)
            self._added[key] = (value + gathered[0] if gathered else value, line, state)

    def _admitted(self, key: _Key) -> _Key:
        """The series that a value goes into: its own, or the overflow series where the instrument has too many."""
        series = self._series.get(key[0])
        if series is None:
            series = self._series[key[0]] = set()
        if key in series:
            return key
        if len(series) < MAX_SERIES:
            series.add(key)
            return key
        if not self._full:
            self._full = True
            notice(
                f"a metric has {MAX_SERIES} sets of attributes; what comes beyond is one series, otel_metric_overflow: "
                "use fewer different names of loops, agents, models and tools, and fewer labels"
            )
        return (key[0], *_OVERFLOW)

    # -- the generic operations ----------------------------------------------------------------------------------------

    def _record_generic(self, kind: Kind, line: Line, state: RunState) -> None:
        if kind is Kind.HISTOGRAM and not self._histograms:
            return
        record = self._generic_instrument(kind, line["name"])
        if record is None:
            self.refused += 1
            return
        labels = list((line.get("labels") or {}).items())[:MAX_LABELS]
        names = tuple(str(name)[:256] for name, _ in labels)
        values = tuple(_label(value) for _, value in labels)
        key = (record, (*_COMMON, *names), (state.name or UNKNOWN, state.runner or UNKNOWN, *values))
        self._measure(kind, key, line["value"], line, state)

    def _generic_instrument(self, kind: Kind, name: str) -> Callable[..., None] | None:
        plain = re.sub(r"[^A-Za-z0-9_]+", "_", name)
        if kind is Kind.COUNTER:
            plain = plain.removesuffix("_total")
        made = self._generic.get(plain)
        if made is not None and made[0] is kind:
            return made[1]
        if len(self._generic) >= MAX_GENERIC:
            notice(f"counters, gauges and histograms have {MAX_GENERIC} names; put what varies into labels")
            return None
        if problem := self._problem_with(plain, kind):
            notice(f"{kind} {shown(name)}: {problem}")
            return None
        described = Metric(plain, kind, "", f"{kind.capitalize()} {plain}, recorded by the loop.")
        record = self._instrument(kind, f"{self._prefix}.{plain}", described)
        self._generic[plain] = (kind, record)
        return record

    def _problem_with(self, plain: str, kind: Kind) -> str | None:
        room = MAX_NAME - len(self._prefix) - 1
        if not 0 < len(plain) <= room:
            return f"a name must be 1 to {room} letters, digits and '_'"
        if _UNITS.sub("", plain) in _CATALOG_NAMES or plain in _CATALOG_NAMES:
            return "that metric is made from the loop's events; choose another name"
        if made := self._generic.get(plain):
            return f"that name is a {made[0]} already; choose another name"
        return None


_GENERIC: dict[str, tuple[Kind, Iterable[str]]] = {
    "counter.added": (Kind.COUNTER, GENERIC_COUNTERS),
    "gauge.set": (Kind.GAUGE, GENERIC_GAUGES),
    "histogram.observed": (Kind.HISTOGRAM, ()),
}
_CATALOG_NAMES = frozenset(BY_NAME)


def common_attributes(state: RunState) -> dict[str, str]:
    """The attributes that are on every metric of a run's loop."""
    return {LOOP_NAME.name: state.name or UNKNOWN, RUNNER.name: state.runner or UNKNOWN}


def _attributes(key: _Key) -> dict[str, str | bool]:
    return {name: value for name, value in zip(key[1], key[2], strict=True) if value is not None}


def _label(value: Any) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)[:256]
