"""How a value is written: texts that a terminal cannot obey, durations, sizes, times.

It imports next to nothing, for what a person looks at must be there at once.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import durationpy


def printable(value: str) -> str:
    """The text with nothing in it that a terminal obeys or that turns the line around: `\\x1b`, `\\u202e`."""
    if value.isprintable():
        return value
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape", "surrogatepass").decode("ascii") for each in value
    )


def duration(seconds: float) -> str:
    """`12ms`, `1.25s`, `1m30s`, `2d3h4m5s`: three figures below a minute, whole seconds above."""
    try:
        span = timedelta(seconds=float(f"{seconds:.3g}") if abs(seconds) < 60 else round(seconds))
        return str(durationpy.to_str(span, extended=True))
    except OverflowError:
        return f"{seconds:g}s"


def utc(ns: int | None) -> datetime | None:
    """Unix nanoseconds as a time in UTC; None for none, and for times beyond the calendar."""
    if ns is None:
        return None
    try:
        return datetime.fromtimestamp(ns / 1e9, UTC)
    except (OverflowError, ValueError, OSError):
        return None


def iso(ns: int | None) -> str | None:
    """Unix nanoseconds as ISO 8601 in UTC, with milliseconds; None as for `utc`."""
    when = utc(ns)
    return when.isoformat(timespec="milliseconds") if when is not None else None


def size(amount: float) -> str:
    """Bytes as `512 B`, `12.3 MiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(amount) < 1024:
            return f"{amount:.4g} {unit}"
        amount /= 1024
    return f"{amount:,.1f} TiB"
