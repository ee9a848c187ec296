"""Small things that a terminal can show: spans of time, amounts, gauges, strips. All of them say it without colour."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from rich.text import Text

from ralph_otel.wording import printable

OUTCOME_MARKS: dict[str | None, tuple[str, str]] = {
    "success": ("✓", "green"),
    "failure": ("✗", "red"),
    "timeout": ("t", "yellow"),
    "cancelled": ("c", "yellow"),
    None: ("?", "dim"),
}
"""How an iteration ended: the mark and its style."""
_BARS = "▁▂▃▄▅▆▇█"
_EIGHTHS = " ▏▎▍▌▋▊▉"


def span(seconds: float) -> str:
    """A span of time in at most 7 characters: `0.3s`, `12s`, `3m12s`, `2h03m`, `4d05h`."""
    if not math.isfinite(seconds):
        return "?"
    if seconds < 9.95:
        return f"{max(0.0, seconds):.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    if whole < 86_400:
        return f"{whole // 3600}h{whole % 3600 // 60:02}m"
    return f"{whole // 86_400}d{whole % 86_400 // 3600:02}h"


def amount(value: float) -> str:
    """A number in at most 5 characters: `999`, `1.20k`, `12.3k`, `1.20M`, `123G`."""
    if value < 1000:
        return f"{value:.3g}"
    for unit in "kMGTP":
        value /= 1000
        if value < 999.5:
            return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f}{unit}"
    return ">999P"


def dollars(value: float) -> str:
    """US dollars: `$0.0012`, `$0.12`, `$12.34`, `$1,234`."""
    if 0 < value < 0.01:
        return f"${value:.4f}"
    return f"${value:,.2f}" if value < 1000 else f"${value:,.0f}"


def plain(text: str, width: int = 0, style: str = "") -> Text:
    """A text from outside, with nothing in it that a terminal obeys; cut to `width` cells where that is given."""
    shown = Text(printable(text), style, no_wrap=True)
    if width:
        shown.truncate(width, overflow="ellipsis")
    return shown


def strip(outcomes: Sequence[str | None]) -> Text:
    """Outcomes as one character each, the newest last."""
    return Text.assemble(*(OUTCOME_MARKS.get(outcome, OUTCOME_MARKS[None]) for outcome in outcomes))


def gauge(ratio: float, width: int, mark: float | None = None, style: str = "green") -> Text:
    """A bar of `width` cells, filled to `ratio` (0 to 1), with a line where `mark` is."""
    filled = min(max(ratio, 0.0), 1.0) * width
    whole = int(filled)
    cells = ["█"] * whole
    if whole < width:
        cells += [_EIGHTHS[int((filled - whole) * 8)], *[" "] * (width - whole - 1)]
    bar = Text("".join(cells), style)
    if mark is not None:
        place = min(int(mark * width), width - 1)
        bar = Text.assemble(bar[:place], ("│", "bold red" if ratio >= mark else "bold"), bar[place + 1 :])
    return Text.assemble(("▕", "dim"), bar, ("▏", "dim"))


def trend(values: Iterable[float], width: int, least: float = 0.0, most: float = 1.0) -> Text:
    """The last values, at most `width`, as bars of different height between `least` and `most`."""
    spread = (most - least) or 1.0
    shown = [min(max((value - least) / spread, 0.0), 1.0) for value in list(values)[-width:]]
    return Text("".join(_BARS[min(int(value * len(_BARS)), len(_BARS) - 1)] for value in shown), "cyan")


def joined(parts: Iterable[Text | str], by: str = " · ") -> Text:
    """Parts with something between them; empty ones are left out."""
    texts = [part if isinstance(part, Text) else Text(part) for part in parts]
    return Text().join(part for text in texts if text.plain for part in (Text(by, "dim"), text))[len(by) :]
