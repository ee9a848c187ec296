"""HTML and Markdown of a report: one file that asks for nothing, readable by everybody, and nothing in it is obeyed."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib import resources
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from ralph_otel.views.report import gather
from ralph_otel.views.report.html import html
from ralph_otel.views.report.markdown import MAX_NAME, blocks, code, markdown
from support.tape import Tape

HOSTILE = (
    "<script>alert(1)</script>",
    "</title><img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)',
    "]]></svg><style>*{display:none}</style>",
    "</style><script src=https://example.com/x.js></script>",
    "a|b \\| c`d``e",
    "`|</code><b>@octocat</b> #1",
    "[link](javascript:alert(1)) ![i](https://example.com/i.png)",
    "\x1b[31mred\x00\u202e\u2028evil",
    "https://example.com/ www.example.com",
    "&lt;b&gt; &#64;octocat",
    "\\",
    "`",
    " ",
)
VOID = {"meta", "link"}


class Page(HTMLParser):
    """An HTML file as a browser would see it: its elements, their attributes, and the text in them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)
            self.texts.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        for tag in set(self._open):
            self.texts[tag][-1] += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of every element of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]


def written(tape: Tape, folder: Path) -> tuple[str, str]:
    """A run's report as HTML and as Markdown."""
    report = gather(tape.write(folder / "runs" / f"{tape.run}.jsonl"), folder, now=0)
    return html(report), markdown(report)


def named(name: str) -> Tape:
    """A run in which everything has this name."""
    tape = Tape(name, runner=name, runner_version=name).add(1, "iteration.started", iteration=1)
    tape.add(1, "agent.started", agent=name).add(1, "agent.finished", agent=name, exit_code=1)
    tape.add(1, "tool.called", tool=name, outcome="failure").add(1, "error.raised", error_type=name)
    tape.add(1, "usage.measured", model=name, cost_usd=1).add(1, "context.measured", percent=50)
    for turn in range(6):
        tape.add(1, "tests.finished", passed=1, failed=1, results={name: bool(turn % 2)} if turn < 5 else {name: False})
    tape.add(1, "stop_condition.triggered", condition=name).add(1, "progress.measured", score=0.5)
    tape.add(2, "iteration.finished", iteration=1, outcome="failure", duration=1, error_type=name)
    tape.lines.append({"v": 1, "type": "loop.stopped", "ts": 1, "loop": "r", "reason": name or "x"})
    return tape


def iterations(number: int) -> Tape:
    """A run with so many iterations and something for every chart."""
    tape = Tape("n")
    for each in range(1, number + 1):
        tape.iteration(each * 3, each, "success" if each % 5 else "failure", duration=1 + each % 4)
        tape.add(each * 3, "context.measured", percent=each % 100).add(each * 3, "usage.measured", cost_usd=0.5)
        tape.add(each * 3, "tests.finished", passed=each, failed=3).add(each * 3, "progress.measured", score=0.5)
        if each % 10 == 0:
            tape.add(each * 3 + 2, "reboot.started", reason="redline")
    return tape


# -- HTML --------------------------------------------------------------------------------------------------------------


def test_the_page_asks_for_nothing_and_runs_nothing(tmp_path: Path) -> None:
    page = Page(written(iterations(30), tmp_path)[0])
    assert not page.all("script")
    for _, attributes in page.elements:
        for name, value in attributes.items():
            assert not name.startswith("on")
            assert name not in ("src", "srcset", "action", "style", "xlink:href")
            assert name != "href" or value == "data:,"
    assert "url(" not in page.texts["style"][0]
    assert "@import" not in page.texts["style"][0]


def test_the_policy_allows_the_pages_own_style_sheet_and_nothing_else(tmp_path: Path) -> None:
    page = Page(written(iterations(3), tmp_path)[0])
    (policy,) = (meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    (style,) = page.texts["style"]
    fingerprint = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy is not None
    assert policy.split("; ") == [
        "default-src 'none'", f"style-src 'sha256-{fingerprint}'", "img-src data:", "base-uri 'none'",
        "form-action 'none'",
    ]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_becomes_an_element_or_an_attribute_of_the_page(tmp_path: Path, name: str) -> None:
    harmless, hostile = Page(written(named("x"), tmp_path)[0]), Page(written(named(name), tmp_path)[0])
    assert [tag for tag, _ in hostile.elements] == [tag for tag, _ in harmless.elements]
    assert [sorted(attributes) for _, attributes in hostile.elements] == [
        sorted(attributes) for _, attributes in harmless.elements
    ]


def test_names_are_shown_as_they_are_and_what_cannot_be_seen_is_spelt_out(tmp_path: Path) -> None:
    text = Page(written(named("<b>&amp;\x1b\u202e</b>"), tmp_path)[0]).texts
    assert text["h1"] == ["<b>&amp;\\x1b\\u202e</b>"]
    assert "\x1b" not in text["body"][0]
    assert "\u202e" not in text["body"][0]


def test_every_table_has_a_caption_and_headings_that_say_what_they_head(tmp_path: Path) -> None:
    page = Page(written(named("x"), tmp_path)[0])
    assert len(page.all("table")) > 5
    assert len(page.all("caption")) == len(page.all("table"))
    assert all(page.texts["caption"])
    assert {heading["scope"] for heading in page.all("th")} == {"col", "row"}


def test_every_chart_is_an_image_with_a_title_and_a_description(tmp_path: Path) -> None:
    page = Page(written(iterations(30), tmp_path)[0])
    ids = [attributes.get("id") for _, attributes in page.elements if attributes.get("id")]
    assert len(ids) == len(set(ids))
    pictures = page.all("svg")
    assert len(pictures) == 5
    for picture in pictures:
        assert picture["role"] == "img"
        assert set((picture["aria-labelledby"] or "").split()) <= set(ids)
    assert "Shortest 1s, median 2.5s, longest 4s. Iterations 1 to 30." in page.texts["desc"]


def test_headings_descend_one_level_at_a_time(tmp_path: Path) -> None:
    levels = [
        int(tag[1]) for tag, _ in Page(written(iterations(30), tmp_path)[0]).elements if re.fullmatch("h[1-6]", tag)
    ]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_what_is_wider_than_a_phone_can_be_scrolled_with_the_keyboard(tmp_path: Path) -> None:
    page = Page(written(iterations(30), tmp_path)[0])
    frames = [div for div in page.all("div") if div.get("class") == "wide"]
    assert len(frames) == len(page.all("table"))
    assert all(frame["tabindex"] == "0" and frame["role"] == "region" and frame["aria-label"] for frame in frames)
    (viewport,) = (meta["content"] for meta in page.all("meta") if meta.get("name") == "viewport")
    assert viewport == "width=device-width, initial-scale=1"


def palettes() -> Iterator[dict[str, str]]:
    """The colours of the light and of the dark page."""
    css = resources.files("ralph_otel.views.report").joinpath("style.css").read_text(encoding="utf-8")
    for block in re.findall(r":root \{([^}]*)\}", css):
        yield dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", block))


def luminance(colour: str) -> float:
    """https://www.w3.org/TR/WCAG21/#dfn-relative-luminance"""
    parts = (int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5))
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("palette", [*palettes()], ids=["light", "dark"])
def test_every_colour_has_the_contrast_that_text_needs(palette: dict[str, str]) -> None:
    texts = set(palette) - {"page", "card", "line"}
    assert len(texts) == 7
    for text in texts:
        for ground in ("page", "card") if text in ("text", "quiet") else ("page",):
            lighter, darker = sorted((luminance(palette[text]), luminance(palette[ground])), reverse=True)
            assert (lighter + 0.05) / (darker + 0.05) >= 4.5, (text, ground)


@pytest.mark.parametrize(("number", "bars", "first"), [(1, 1, "1"), (30, 30, "1"), (1000, 143, "1–7")])
def test_a_chart_has_a_column_for_each_iteration_or_for_several(
    tmp_path: Path, number: int, bars: int, first: str
) -> None:
    page = Page(written(iterations(number), tmp_path)[0])
    columns = [rect for rect in page.all("rect") if rect.get("class") == "column"]
    assert len(columns) == 5 * bars
    assert page.texts["title"][2].startswith(f"Iteration {first}: ")


def test_bars_stand_upon_each_other_by_outcome_and_never_leave_the_picture(tmp_path: Path) -> None:
    tape = Tape("n")
    for number in range(1, 400):
        tape.iteration(number, number, ("success", "failure", "timeout", "cancelled")[number % 4], duration=number % 9)
    page = Page(written(tape, tmp_path)[0])
    bars = [rect for rect in page.all("rect") if (rect.get("class") or "").startswith("bar")]
    by_column: dict[int, list[tuple[float, float]]] = {}
    for bar in bars:
        x, y, height = (float(bar[name] or 0) for name in ("x", "y", "height"))
        by_column.setdefault(int(x), []).append((y, y + height))
    for pieces in by_column.values():
        assert min(top for top, _ in pieces) >= 0
        assert max(foot for _, foot in pieces) == 100
        assert sum(foot - top for top, foot in pieces) == pytest.approx(100 - min(top for top, _ in pieces), abs=0.1)


def test_a_gap_in_what_was_measured_is_a_gap_in_the_line(tmp_path: Path) -> None:
    tape = Tape("n")
    for number in range(1, 10):
        tape.add(number, "iteration.started", iteration=number)
        if number not in (4, 5):
            tape.add(number, "context.measured", percent=10 * number)
        tape.add(number + 0.5, "iteration.finished", iteration=number, outcome="success", duration=0.5)
    page = Page(written(tape, tmp_path)[0])
    (line,) = (path["d"] for path in page.all("path") if path.get("class") == "line context")
    assert line is not None
    assert line.count("M") == 2
    assert line.startswith("M0.5 90.0h0L1.5 80.0L2.5 70.0M5.5 40.0h0L")


# -- Markdown ----------------------------------------------------------------------------------------------------------


def rendered(text: str) -> Page:
    """Markdown as a page, by CommonMark with tables and HTML, as GitHub takes it."""
    return Page(MarkdownIt("commonmark", {"html": True}).enable("table").render(text))


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_becomes_markup_or_ends_a_cell(tmp_path: Path, name: str) -> None:
    harmless, hostile = rendered(written(named("x"), tmp_path)[1]), rendered(written(named(name), tmp_path)[1])
    ours = {"code"} if not name.strip() else set[str]()  # a blank is said to be one
    assert [tag for tag, _ in hostile.elements if tag not in ours] == [
        tag for tag, _ in harmless.elements if tag not in ours
    ]
    assert {name for _, attributes in hostile.elements for name in attributes} <= {"style"}  # of aligned columns


@given(st.text(st.characters(codec="utf-8"), max_size=60))
def test_any_name_is_one_piece_of_code_that_shows_it(name: str) -> None:
    page = rendered(f"| a |\n| --- |\n| {code(name)} |\n")
    assert len(page.all("td")) == 1
    if name.strip() and name.isprintable():
        assert [" ".join(text.split()) for text in page.texts["code"]] == [" ".join(name.split())]


def test_a_long_name_is_cut(tmp_path: Path) -> None:
    text = written(named("x" * 256), tmp_path)[1]
    assert "x" * (MAX_NAME - 1) + "…" in text
    assert "x" * MAX_NAME not in text


def test_the_worst_names_still_fit_into_a_comment(tmp_path: Path) -> None:
    tape = Tape("`" * 256, runner="|" * 256)
    for number in range(1, 100):
        tape.iteration(number, number, "failure")
        tape.lines[-1]["error_type"] = "\\" * 250 + str(number)
        for type_, field in (("tool.called", "tool"), ("error.raised", "error_type"), ("usage.measured", "model")):
            more = {"outcome": "failure"} if type_ == "tool.called" else {}
            tape.add(number, type_, **{field: "|" * 250 + str(number)}, **more)
    tape.add(100, "tests.finished", passed=0, failed=99, results={f"{n}{'`' * 250}": False for n in range(99)})
    text = written(tape, tmp_path)[1]
    assert len(text) < 65_536


def test_tables_are_folded_away_and_say_how_many_rows_they_have(tmp_path: Path) -> None:
    text = written(iterations(30), tmp_path)[1]
    assert text.count("<details>") == text.count("</details>") > 2
    assert "<summary>All iterations (30)</summary>\n\n| Iteration |" in text
    assert "The last 10 of 30 rows." in text


def test_charts_are_lines_of_blocks(tmp_path: Path) -> None:
    tape = Tape("n")
    for number, seconds in enumerate((1, 2, 4, 8, 10), 1):
        tape.iteration(number * 20, number, duration=float(seconds))
    assert "| Time of each iteration | ▂▂▄▇█ | Shortest 1s, median 4s, longest 10s. |" in written(tape, tmp_path)[1]


@given(st.lists(st.none() | st.floats(0, 1e9), min_size=1, max_size=300), st.floats(1, 1e9))
def test_a_line_of_blocks_is_short_and_has_gaps_where_nothing_is_known(values: list[float | None], top: float) -> None:
    line = blocks(values, top)
    assert 1 <= len(line) <= 60
    assert set(line) <= set(" ▁▂▃▄▅▆▇█")
    if len(values) <= 60:
        assert [each == " " for each in line] == [value is None for value in values]
