"""A report as Markdown, short enough for a comment on a pull request (GitHub takes 65,536 characters).

GitHub's Markdown: tables, `<details>`. Names from the journal stand in code, where nothing in them is obeyed, neither
HTML nor a link, a mention or the end of a table's cell.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ralph_otel.version import __version__
from ralph_otel.views.report import wording
from ralph_otel.views.report.charts import Chart
from ralph_otel.views.report.content import Report
from ralph_otel.views.report.document import Document, document
from ralph_otel.views.report.tables import Name, Table
from ralph_otel.wording import printable

MAX_ROWS = 10
"""Rows of a table."""
MAX_NAME = 80
"""Characters of a name."""
MAX_PROBLEM = 400
"""Characters of a text that says what is wrong with a line."""
_BLOCKS = "▁▂▃▄▅▆▇█"
_WIDTH = 60
"""Characters of a line of blocks."""


def markdown(report: Report) -> str:
    """The report as a Markdown file's text."""
    return "\n".join(_lines(document(report), report.now)).rstrip() + "\n"


def _lines(page: Document, now: int) -> Iterator[str]:
    yield from (f"## Ralph loop {_text(page.title)}", "", f"**{page.status}** {' '.join(page.summary)}".rstrip(), "")
    if page.warnings:
        yield from (
            *(f"> {text}" for text in page.warnings),
            *(f"> - {code(text, MAX_PROBLEM)}" for text in page.problems),
            "",
        )
    facts = [*page.about, *page.facts]
    yield from _rows(("Figure", "Value"), (False, False), facts)
    if page.charts:
        yield from ("### Over the iterations", "")
        yield from _rows(
            ("What", "From first to last", "In short"), (False, False, False), [_chart(chart) for chart in page.charts]
        )
    for table in page.tables:
        yield from _table(table)
    yield f"<sub>ralph-otel {__version__}, {wording.moment(now)}</sub>"


def _table(table: Table) -> Iterator[str]:
    rows = table.rows[-MAX_ROWS:] if table.folded else table.rows[:MAX_ROWS]
    which = "last" if table.folded else "first"
    note = f"The {which} {len(rows)} of {len(table.rows)} rows." if len(rows) < len(table.rows) else table.note
    yield from ("<details>", f"<summary>{table.title} ({len(table.rows)})</summary>", "")
    yield from _rows([column.title for column in table.columns], [column.number for column in table.columns], rows)
    if note:
        yield from (note, "")
    yield from ("</details>", "")


def _rows(titles: Sequence[str], numbers: Sequence[bool], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(titles)} |"
    yield f"|{'|'.join(' ---: ' if number else ' --- ' for number in numbers)}|"
    for row in rows:
        yield f"| {' | '.join(map(_text, row))} |"
    yield ""


def _chart(chart: Chart) -> tuple[str, str, str]:
    shown = chart.series[-1].values if not chart.stacked else _stacked(chart)
    return chart.title, blocks(shown, chart.top), chart.summary


def _stacked(chart: Chart) -> list[float | None]:
    together = zip(*(series.values for series in chart.series), strict=True)
    return [sum(value or 0.0 for value in values) for values in together]


def blocks(values: Sequence[float | None], top: float) -> str:
    """Values as a line of blocks, at most `_WIDTH` of them; a gap where nothing is known."""
    each = -(-len(values) // _WIDTH)
    line = ""
    for start in range(0, len(values), each):
        known = [value for value in values[start : start + each] if value is not None]
        level = max(known) / top * (len(_BLOCKS) - 1) if known else 0
        line += _BLOCKS[min(round(level), len(_BLOCKS) - 1)] if known else " "
    return line


def _text(text: str) -> str:
    """A text for a table's cell: names in code, our own as they are."""
    return code(text) if isinstance(text, Name) else text


def code(name: str, most: int = MAX_NAME) -> str:
    """A name in code, cut to so many characters.

    Where a fence of backticks would not hold, each sign becomes a character reference.
    """
    name = printable(name)
    name = name if len(name) <= most else name[: most - 1] + "…"
    if not name.strip():
        return "(blank)"
    if not set(name) & set("`|\\"):
        return f"`{name}`"
    spelt = "".join(each if each.isalnum() or each == " " else f"&#{ord(each)};" for each in name)
    return f"<code>{spelt}</code>"
