"""`docs/sizing.md`: what was measured, and what is reckoned from it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from benchmarks.fleet.arrival import TOTALS
from benchmarks.fleet.fleet import Result
from benchmarks.fleet.measured import Measured
from benchmarks.fleet.units import Fleet, Units, reckon, units_of

PAGE = Path(__file__).parents[2] / "docs" / "sizing.md"
_TEXTS = Path(__file__).parent / "texts"
_ROAD = "otlp"
"""The road that sizes are compared on."""
_FLEETS = (
    Fleet(10_000, interval=60.0, machines=500),
    Fleet(100_000, interval=60.0),
    Fleet(100_000, interval=10.0),
)
_MIB, _KIB = 2**20, 2**10


def page(measured: Sequence[Measured]) -> str:
    """The whole page.

    Raises:
        ValueError: fewer than two sizes have been measured on the road that sizes are compared on.
    """
    sizes = [each.result for each in measured if each.result.plan.road == _ROAD]
    if len(sizes) < 2:
        raise ValueError(
            f"two sizes must have been measured on the road {_ROAD}; run python -m benchmarks.fleet --write"
        )
    units = units_of(sizes[0], sizes[-1])
    parts = [
        _text("head"),
        "\n".join(_when(measured)),
        "\n".join(_arrived(measured)),
        _text("restarts"),
        "\n".join(f"- {what}" for what in sizes[-1].happened),
        _text("growth"),
        "\n".join(_growth(sizes)),
        _text("units"),
        "\n".join(_units(units, sizes)),
        _text("roads"),
        "\n".join(_by_road([each.result for each in measured])),
        _text("reckoned"),
        *("\n".join(_reckoned(fleet, units)) for fleet in _FLEETS),
        _text("advice"),
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _text(name: str) -> str:
    return (_TEXTS / f"{name}.md").read_text(encoding="utf-8")


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A table whose columns, but for the first, are figures."""
    yield f"| {' | '.join(head)} |"
    yield "|---|" + "---:|" * (len(head) - 1)
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _when(measured: Sequence[Measured]) -> Iterator[str]:
    plan = measured[-1].result.plan
    days = sorted({each.day for each in measured})
    machines = sorted({each.machine for each in measured})
    yield f"Measured on {' and '.join(days)}: {'; '.join(machines)}, which also ran everything else."
    yield f"{plan.told / 60:.0f} minutes of a loop take {plan.seconds:.0f} s; it exports every {plan.interval:g} s."


def _arrived(measured: Sequence[Measured]) -> Iterator[str]:
    yield from _table(
        ("loops", "road", "events", "series compared", "differ", "loops with a loss", "resets", *_SHOWN_TOTALS),
        ([f"{each.result.plan.loops:,}", each.result.plan.road, *_compared(each.result)] for each in measured),
    )


_SHOWN_TOTALS = ("iterations", "reboots", "tokens", "cost in US dollars")
assert set(_SHOWN_TOTALS) <= set(TOTALS)


def _compared(result: Result) -> Iterator[str]:
    arrival = result.arrival
    yield f"{result.events:,}"
    yield f"{arrival.series:,}"
    for number in (arrival.wrong, arrival.off, arrival.resets):
        yield f"**{number:,}**" if number else "0"
    for name in _SHOWN_TOTALS:
        said, arrived = arrival.totals[name]
        yield _exact(arrived) if said == arrived else f"**{_exact(arrived)} of {_exact(said)}**"


def _exact(value: float) -> str:
    """All digits: money is in multiples of 1/1024."""
    return f"{value:,.10f}".rstrip("0").rstrip(".")


def _growth(sizes: Sequence[Result]) -> Iterator[str]:
    columns = ["", *(f"{each.plan.loops:,} loops" for each in sizes)]
    rows: list[list[str]] = [
        ["data points that the agents took", *(f"{each.accepted:,.0f}" for each in sizes)],
        ["samples that Prometheus stored", *(f"{each.samples:,.0f}" for each in sizes)],
        ["series of the loops", *(f"{each.arrival.series:,}" for each in sizes)],
        ["series of Prometheus, its own included", *(f"{each.head_series:,.0f}" for each in sizes)],
    ]
    for tier in sizes[0].tiers:
        rows.append([f"{tier}: processor time", *(f"{each.tiers[tier].cpu:.1f} s" for each in sizes)])
    for tier in sizes[0].tiers:
        rows.append([f"{tier}: memory, all processes", *(_memory(each, tier) for each in sizes)])
    yield from _table(columns, rows)


def _memory(result: Result, tier: str) -> str:
    usage = result.tiers[tier]
    several = f" ({usage.processes} processes)" if usage.processes > 1 else ""
    return f"{_mib(usage.memory)}{several}"


def _mib(size: float) -> str:
    return f"{size / _MIB:,.0f} MiB"


def _by_road(results: Sequence[Result]) -> Iterator[str]:
    most = max(each.plan.loops for each in results)
    roads = {each.plan.road: each.tiers for each in results if each.plan.loops == most}
    yield from _table(
        (f"{most:,} loops by", *(f"{tier}, {what}" for tier in _BEHIND for what in ("processor time", "memory"))),
        (
            [road, *(text for tier in _BEHIND for text in (f"{tiers[tier].cpu:.1f} s", _mib(tiers[tier].memory)))]
            for road, tiers in roads.items()
        ),
    )


_BEHIND = ("gateway", "Prometheus")


def _units(one: Units, sizes: Sequence[Result]) -> Iterator[str]:
    large = f"{sizes[-1].plan.loops:,} loops"
    grown = f"growth from {sizes[0].plan.loops:,} to {large}"
    rows = (
        ("series of a loop at its end", f"{one.series:.0f}, of which {one.bucket_share:.0%} are buckets", large),
        ("data points of its last export", f"{one.points:.0f}, {one.export_bytes / _KIB:.1f} KiB by OTLP", large),
        ("events of a loop in an hour", f"{one.events:.0f}", large),
        ("recorder, an event", f"{one.recorder_event * 1e6:.0f} µs", "fold of the journals, by itself"),
        ("recorder, all else, by data points exported", f"{one.recorder_point * 1e6:.0f} µs", large),
        ("recorder, memory of a process without a loop", _mib(one.recorder_base), large),
        ("recorder, memory of a loop", f"{one.recorder_loop / _MIB:.2f} MiB", large),
        ("agent, a data point", f"{one.agent_point * 1e6:.0f} µs", large),
        ("gateway, a data point", f"{one.gateway_point * 1e6:.0f} µs", large),
        ("gateway, memory of a series", f"{one.gateway_series / _KIB:.2f} KiB", grown),
        ("Prometheus, a sample", f"{one.store_sample * 1e6:.1f} µs", large),
        ("Prometheus, memory of a series", f"{one.store_series / _KIB:.1f} KiB", grown),
    )
    yield from _table(("", "measured", "where"), rows)


def _reckoned(fleet: Fleet, one: Units) -> Iterator[str]:
    yield (
        f"**{fleet.loops:,} loops at a time on {fleet.machines:,} machines, an export every {fleet.interval:g} s, "
        f"a run of {fleet.hours:g} h**"
    )
    yield ""
    yield from _table(("reckoned", "how", ""), ((row.what, row.how, row.value) for row in reckon(fleet, one)))
