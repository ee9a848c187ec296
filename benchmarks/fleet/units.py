"""What one of each thing costs, by a measured run; and from that, what a larger fleet would take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.fleet.fleet import Result


@dataclass(frozen=True)
class Units:
    """Costs by the piece. Processor time in seconds, memory in bytes.

    Args:
        series: that a loop makes.
        points: data points of a loop's export, when all its series are there.
        bucket_share: the part of the series that are buckets of histograms.
        export_bytes: what an export takes by OTLP, not compressed.
        events: of a loop in an hour.
        recorder_event: processor time to record an event.
        recorder_point: processor time to export a data point, and whatever else a recorder does.
        agent_point: likewise in the agent.
        gateway_point: likewise in the gateway.
        store_sample: processor time of Prometheus for a sample.
        recorder_base: memory of a recording process without a loop.
        recorder_loop: memory of a loop in it.
        gateway_series: memory of the gateway for a series, by the growth between two sizes.
        store_series: memory of Prometheus for a series, likewise.
    """

    series: float
    points: float
    bucket_share: float
    export_bytes: float
    events: float
    recorder_event: float
    recorder_point: float
    agent_point: float
    gateway_point: float
    store_sample: float
    recorder_base: float
    recorder_loop: float
    gateway_series: float
    store_series: float


def units_of(small: Result, large: Result) -> Units:
    """The costs in the larger of two runs; memory by series from the growth between the two."""
    arrival, loops, recorders = large.arrival, large.plan.loops, large.tiers["recorders"]
    more_series = large.head_series - small.head_series

    def growth(tier: str) -> float:
        return (large.tiers[tier].memory - small.tiers[tier].memory) / more_series

    event = arrival.fold_cpu / large.events
    return Units(
        series=arrival.series / loops,
        points=arrival.points / loops,
        bucket_share=arrival.buckets / arrival.series,
        export_bytes=arrival.export_bytes / loops,
        events=large.events / loops * 3600 / large.plan.told / _LIFE,
        recorder_event=event,
        recorder_point=(recorders.cpu - arrival.fold_cpu) / large.accepted,
        agent_point=large.tiers["agents"].cpu / large.accepted,
        gateway_point=large.tiers["gateway"].cpu / large.accepted,
        store_sample=large.tiers["Prometheus"].cpu / large.samples,
        recorder_base=large.recorder_base,
        recorder_loop=(recorders.memory - recorders.processes * large.recorder_base) / loops,
        gateway_series=growth("gateway"),
        store_series=growth("Prometheus"),
    )


_LIFE = 0.8
"""How long a loop of the fleet lives, as a part of the time that is told: the mean of `fleet.py`'s choice."""


@dataclass(frozen=True)
class Fleet:
    """A fleet to be reckoned.

    Args:
        loops: that run at the same time.
        interval: seconds between two exports of a loop.
        hours: that a run lasts, until another begins in its place, as an instance of its own.
        machines: that the loops run on.
    """

    loops: int = 100_000
    interval: float = 60.0
    hours: float = 3.0
    machines: int = 5_000


@dataclass(frozen=True)
class Row:
    """One reckoned figure, with its arithmetic."""

    what: str
    how: str
    value: str


def reckon(fleet: Fleet, one: Units) -> Sequence[Row]:
    """What a fleet would take, if everything grew as it did where it was measured."""
    loops, every = f"{fleet.loops:,}", f"{fleet.interval:g} s"
    points = fleet.loops * one.points / fleet.interval
    samples = fleet.loops * one.series / fleet.interval
    active = fleet.loops * one.series
    head = active * (1 + _HEAD_HOURS / fleet.hours)
    export_rate = fleet.loops / fleet.machines * one.export_bytes / fleet.interval
    return (
        Row("data points", f"{loops} × {one.points:.0f} ÷ {every}", f"{points:,.0f} /s"),
        Row("samples", f"{loops} × {one.series:.0f} series ÷ {every}", f"{samples:,.0f} /s"),
        Row(
            "log records, for every event is one",
            f"{loops} × {one.events:.0f} ÷ 3,600 s",
            f"{fleet.loops * one.events / 3600:,.0f} /s",
        ),
        Row(
            "recorder of one loop",
            f"{one.events:.0f} events × {one.recorder_event * 1e6:.0f} µs + "
            f"{3600 / fleet.interval:.0f} exports × {one.points:.0f} × {one.recorder_point * 1e6:.0f} µs",
            f"{one.events * one.recorder_event + 3600 / fleet.interval * one.points * one.recorder_point:.1f} "
            "s of a processor in an hour",
        ),
        Row(
            "all agents",
            f"{points:,.0f} /s × {one.agent_point * 1e6:.0f} µs",
            f"{points * one.agent_point:,.1f} cores, on {fleet.machines:,} machines "
            f"{points * one.agent_point / fleet.machines * 100:.2f} % of a core each",
        ),
        Row(
            "until an agent's queue of 1 GiB is full",
            f"1 GiB ÷ ({fleet.loops / fleet.machines:.0f} loops × {one.export_bytes / 1024:.1f} KiB ÷ {every})",
            f"{2**30 / export_rate / 3600:,.0f} h without a gateway",
        ),
        Row(
            "all gateways",
            f"{points:,.0f} /s × {one.gateway_point * 1e6:.0f} µs",
            f"{points * one.gateway_point:,.1f} cores; at half load, with {_GATEWAY_CORES} cores each: "
            f"{_ceil(points * one.gateway_point / (_GATEWAY_CORES / 2))}",
        ),
        Row(
            "memory of all gateways, which hold a series for Prometheus to scrape",
            f"{active / 1e6:,.1f} million series × {one.gateway_series / 1024:.2f} KiB",
            f"{active * one.gateway_series / 2**30:,.1f} GiB",
        ),
        Row(
            "series of runs that go on",
            f"{loops} × {one.series:.0f}",
            f"{active / 1e6:,.1f} million",
        ),
        Row(
            "new series in a day",
            f"{active / 1e6:,.1f} million × 24 ÷ {fleet.hours:g} h",
            f"{active * 24 / fleet.hours / 1e6:,.0f} million",
        ),
        Row(
            f"series in memory: a store keeps ended ones for about {_HEAD_HOURS:g} h",
            f"{active / 1e6:,.1f} million × (1 + {_HEAD_HOURS:g} ÷ {fleet.hours:g})",
            f"{head / 1e6:,.1f} million",
        ),
        Row(
            "the store's memory, one copy of each series",
            f"{head / 1e6:,.1f} million × {one.store_series / 1024:.1f} KiB",
            f"{head * one.store_series / 2**30:,.0f} GiB",
        ),
        Row(
            "the store's processors, one copy, without queries",
            f"{samples:,.0f} /s × {one.store_sample * 1e6:.1f} µs",
            f"{samples * one.store_sample:,.1f} cores",
        ),
        Row(
            "disk in a day, one copy",
            f"{samples:,.0f} /s × 86,400 s × {_SAMPLE_BYTES} B",
            f"{samples * 86_400 * _SAMPLE_BYTES / 1e9:,.0f} GB",
        ),
    )


_HEAD_HOURS = 3.0
"""Prometheus writes its head to the disk every two hours and keeps half a block more."""
_SAMPLE_BYTES = 2
"""Prometheus's documentation says 1 to 2 bytes: https://prometheus.io/docs/prometheus/latest/storage/"""
_GATEWAY_CORES = 4


def _ceil(value: float) -> int:
    return int(-(-value // 1))
