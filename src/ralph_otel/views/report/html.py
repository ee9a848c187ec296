"""A report as one HTML file that needs nothing else: no script, no request, light and dark, wide and narrow."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib import resources
from xml.etree.ElementTree import Element

from ralph_otel.version import __version__
from ralph_otel.views.report import wording
from ralph_otel.views.report.content import Report
from ralph_otel.views.report.document import Document, document
from ralph_otel.views.report.elements import element, written
from ralph_otel.views.report.svg import figure
from ralph_otel.views.report.tables import Name, Table


def html(report: Report) -> str:
    """The report as an HTML file's text."""
    page = document(report)
    return "<!doctype html>\n" + written(element("html", _head(page), _body(page, report.now), lang="en")) + "\n"


def _head(page: Document) -> Element:
    style = element("style")
    style.text = resources.files(__package__).joinpath("style.css").read_text(encoding="utf-8")
    fingerprint = base64.b64encode(hashlib.sha256(style.text.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{fingerprint}'; img-src data:; base-uri 'none'; form-action 'none'"
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="referrer", content="no-referrer"),
        element("meta", name="robots", content="noindex"),
        element("link", rel="icon", href="data:,"),
        element("title", f"{page.title} · Ralph loop"),
        style,
    )


def _body(page: Document, now: int) -> Element:
    state = "open" if page.good is None else "good" if page.good else "bad"
    body = element(
        "body",
        element(
            "header",
            element("h1", page.title),
            element("p", page.status, class_=f"status {state}"),
            *([element("p", " ".join(page.summary))] if page.summary else []),
            _pairs(page.about, "about"),
        ),
    )
    main = element("main", *_warnings(page))
    if page.facts:
        main.append(_section("At a glance", _pairs(page.facts, "facts")))
    if page.charts:
        pictures = element("div", *map(figure, page.charts), class_="charts")
        main.append(_section("Over the iterations", pictures))
    main.extend(_table(table) for table in page.tables)
    body.append(main)
    body.append(element("footer", element("p", f"ralph-otel {__version__}, {wording.moment(now)}")))
    return body


def _section(title: str, *content: Element) -> Element:
    return element("section", element("h2", title), *content)


def _pairs(pairs: list[tuple[str, str]], style: str) -> Element:
    return element(
        "dl", *(element("div", element("dt", title), element("dd", _cell(text))) for title, text in pairs), class_=style
    )


def _cell(text: str) -> Element | str:
    return element("span", text, class_="name") if isinstance(text, Name) else text


def _warnings(page: Document) -> list[Element]:
    if not page.warnings:
        return []
    items = [element("li", text) for text in page.warnings]
    items += [element("li", element("span", text, class_="name")) for text in page.problems]
    return [element("section", element("h2", "Not complete"), element("ul", *items), class_="warnings")]


def _table(table: Table) -> Element:
    head = [
        element("th", column.title, scope="col", class_="number" if column.number else None) for column in table.columns
    ]
    rows = [element("tr", *_cells(table, row)) for row in table.rows]
    caption = element("caption", table.note or table.title, class_=None if table.note else "hidden")
    frame = element(
        "div",
        element("table", caption, element("thead", element("tr", *head)), element("tbody", *rows)),
        class_="wide",
        role="region",
        aria_label=table.title,
        tabindex="0",
    )
    if not table.folded:
        return _section(table.title, frame)
    summary = element("summary", element("h2", table.title))
    return element("section", element("details", summary, frame))


def _cells(table: Table, row: Sequence[str]) -> list[Element]:
    return [
        element(
            "td" if index else "th",
            _cell(text),
            scope=None if index else "row",
            class_=_style(column.number, text),
        )
        for index, (column, text) in enumerate(zip(table.columns, row, strict=True))
    ]


def _style(number: bool, text: str) -> str | None:
    outcome = text if text in ("failure", "timeout", "cancelled") and not isinstance(text, Name) else ""
    return " ".join(filter(None, ("number" if number else "", outcome))) or None
