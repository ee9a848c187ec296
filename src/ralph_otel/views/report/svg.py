"""A chart as a picture: inline SVG, and around it, as HTML, what is to be read.

The picture stretches to the width there is, a column being one unit wide and its height 100; so the words stand outside
it, where they keep their size on a phone. Each column has a title, which a browser shows under the pointer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from xml.etree.ElementTree import Element

from ralph_otel.views.report.charts import Chart, Series
from ralph_otel.views.report.elements import element

_HEIGHT = 100.0
_BAR = 0.76
"""The width of a bar, of its column."""
_WIDEST = 1 / 16
"""The width of a bar at most, of the picture."""
_FEW = 8
"""So many columns are all named."""
_DOTS = 40
"""So many points are marked, each with a dot."""


def figure(chart: Chart) -> Element:
    """A chart with its title, summary, legend, scale and columns' names."""
    scale = (chart.written(chart.top), chart.written(chart.top / 2), chart.written(0))
    return element(
        "figure",
        element("figcaption", element("h3", chart.title), element("p", f"{chart.summary} {chart.reading}".rstrip())),
        *([_legend(chart.series)] if len(chart.series) > 1 or chart.stacked else []),
        element(
            "div",
            element("div", *(element("span", text) for text in scale), class_="scale", aria_hidden="true"),
            _picture(chart),
            _ends(chart.columns),
            class_="plot",
        ),
    )


def _ends(columns: Sequence[str]) -> Element:
    """The columns' names below the picture: all of them where they are few, else the ends and the middle."""
    if len(columns) <= _FEW:
        return element("div", *(element("span", column) for column in columns), class_="ends each", aria_hidden="true")
    first, middle = (columns[index].partition("–")[0] for index in (0, len(columns) // 2))
    last = columns[-1].rpartition("–")[2]
    return element("div", *(element("span", text) for text in (first, middle, last)), class_="ends", aria_hidden="true")


def _legend(series: Sequence[Series]) -> Element:
    return element(
        "ul",
        *(
            element("li", element("span", class_=f"key {each.style}"), f" {each.name} {each.total}".rstrip())
            for each in series
        ),
        class_="legend",
    )


def _picture(chart: Chart) -> Element:
    title, description = f"{chart.name}-title", f"{chart.name}-description"
    drawn = _bars(chart) if chart.stacked else _lines(chart)
    return element(
        "svg",
        element("title", chart.title, id=title),
        element("desc", f"{chart.summary} Iterations {chart.columns[0]} to {chart.columns[-1]}.", id=description),
        *(element("path", d=f"M0 {y}H{len(chart.columns)}", class_="grid") for y in (0, 50, 100)),
        *(
            [element("path", d=f"M0 {_y(chart.level, chart.top):g}H{len(chart.columns)}", class_="level")]
            if chart.level is not None
            else []
        ),
        *drawn,
        *(element("path", d=f"M{index + 0.5} 0V100", class_="reboot") for index in chart.marked),
        *_titles(chart),
        viewBox=f"0 0 {len(chart.columns)} {_HEIGHT:g}",
        preserveAspectRatio="none",
        role="img",
        aria_labelledby=f"{title} {description}",
    )


def _y(value: float, top: float) -> float:
    return _HEIGHT * (1 - min(value, top) / top)


def _bars(chart: Chart) -> Iterator[Element]:
    below = [0.0] * len(chart.columns)
    width = min(_BAR, _WIDEST * len(chart.columns))
    for series in chart.series:
        for index, value in enumerate(series.values):
            if value:
                foot, head = _y(below[index], chart.top), _y(below[index] + value, chart.top)
                below[index] += value
                x = index + (1 - width) / 2
                yield element("rect", x=x, y=head, width=width, height=foot - head, class_=f"bar {series.style}")
    yield from (element("path", d=f"M{index + 0.5} 97h0", class_="dot") for index in chart.dotted)


def _lines(chart: Chart) -> Iterator[Element]:
    for series in chart.series:
        path, points, drawn = "", "", False
        for index, value in enumerate(series.values):
            if value is not None:
                point = f"{index + 0.5:g} {_y(value, chart.top):.1f}"
                path += f"L{point}" if drawn else f"M{point}h0"  # h0: so that a point alone is seen
                points += f"M{point}h0"
            drawn = value is not None
        yield element("path", d=path, class_=f"line {series.style}")
        if points.count("M") <= _DOTS:
            yield element("path", d=points, class_=f"dot {series.style}")


def _titles(chart: Chart) -> Iterator[Element]:
    for index, (column, note) in enumerate(zip(chart.columns, chart.notes, strict=True)):
        title = element("title", f"Iteration {column}: {note}" if note else f"Iteration {column}")
        yield element("rect", title, x=index, y=0, width=1, height=_HEIGHT, class_="column")
