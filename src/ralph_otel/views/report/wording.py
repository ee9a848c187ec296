"""Numbers and times as a report says them. Every text here is our own: letters, figures and a few signs."""

from __future__ import annotations

import math

from ralph_otel.wording import duration, utc

__all__ = ["count", "difference", "duration", "moment", "money", "number_of", "percent"]


def count(value: float) -> str:
    """`1,204,331`; a median may be `2.5`."""
    return f"{value:,.0f}" if value == int(value) else f"{value:,.1f}"


def number_of(value: int, thing: str) -> str:
    """`1 reboot`, `3 reboots`."""
    return f"{value:,} {thing}{'' if value == 1 else 's'}"


def money(value: float) -> str:
    """`$1,204.33`, `$0.25`, `$0.0123`: US dollars."""
    exact = value >= 1 or round(value, 2) == round(value, 4)
    return f"${value:,.2f}" if exact and (value >= 0.005 or not value) else f"${value:.4f}"


def percent(ratio: float) -> str:
    """0.987 as `98.7%`; not rounded to 100 or 0 unless it is."""
    rounded = round(ratio * 100, 1)
    if rounded in (0, 100) and ratio not in (0, 1):
        return "> 99.9%" if rounded else "< 0.1%"
    return f"{rounded:g}%"


def moment(ns: int | None) -> str:
    """Unix nanoseconds as `2026-11-23 02:12:05 UTC`; "" for none, and for times beyond the calendar."""
    when = utc(ns)
    return f"{when:%Y-%m-%d %H:%M:%S} UTC" if when is not None else ""


def difference(value: float, usual: float, ratio: bool) -> str:
    """How much a value is above (+) or below (−) the usual: in percent of that, or for ratios in percentage points."""
    change = 100 * (value - usual) if ratio else 100 * (value / usual - 1) if usual else math.nan
    if math.isnan(change):
        return "same" if value == usual else "new"
    if abs(change) < 0.5:
        return "same"
    sign = "+" if change > 0 else "−"
    return f"{sign}{abs(change):,.0f}{' points' if ratio else '%'}"
