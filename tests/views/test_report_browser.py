"""The report's HTML in a real browser: readable by everybody, on whatever screen, and on paper."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ralph_otel.views.report import WRITERS, gather
from support.browsers import DESK, MARKS, PHONE, against_rules, chromium, too_wide
from support.shown import MARKUP, hostile, put, rich
from support.tape import Tape

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is missing")

pytestmark = MARKS


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A browser for all tests here."""
    with chromium(playwright) as browser:
        yield browser


def reported(home: Path, folder: Path, *tapes: Tape) -> Path:
    """The report of the last of these runs, as a file."""
    put(home, *tapes)
    file = folder / "report.html"
    file.write_text(WRITERS["html"](gather(home / "runs" / f"{tapes[-1].run}.jsonl", home)), encoding="utf-8")
    return file


def opened(browser: Any, file: Path, trouble: list[str], **context: Any) -> Any:
    """The report in a window of its own; what its browser complains of, and what it asks for, goes into `trouble`."""
    page = browser.new_context(**context).new_page()
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("console", lambda said: trouble.append(said.text))
    page.on("request", lambda request: trouble.append(request.url) if request.url != file.as_uri() else None)
    page.goto(file.as_uri())
    return page


@pytest.mark.parametrize(
    ("scheme", "size"), [("light", DESK), ("dark", DESK), ("light", PHONE), ("dark", PHONE)],
    ids=["light-desk", "dark-desk", "light-phone", "dark-phone"],
)  # fmt: skip
def test_it_keeps_the_rules_of_accessibility_and_the_width_of_the_screen_and_asks_for_nothing(
    scheme: str, size: dict[str, int], browser: Any, home: Path, tmp_path: Path
) -> None:
    runs = {"rich": (rich("20261125T010000Z-rich01", age=90_000, turns=5), rich()), "hostile": (hostile(),),
            "empty": (Tape(run="empty"),)}  # fmt: skip
    for name, tapes in runs.items():
        trouble: list[str] = []
        page = opened(browser, reported(home, tmp_path, *tapes), trouble, color_scheme=scheme, viewport=size)
        for summary in page.locator("summary").all():
            summary.click()
        assert not too_wide(page), name
        assert [each for each in trouble if not each.startswith("data:")] == [], name
        if name == "hostile":
            assert MARKUP in page.locator("h1").inner_text()
            assert page.evaluate("window.hurt") is None
        page.context.close()
        # a page whose policy forbids scripts takes none from axe; it is looked at without
        page = opened(browser, tmp_path / "report.html", [], color_scheme=scheme, viewport=size, bypass_csp=True)
        for summary in page.locator("summary").all():
            summary.click()
        assert against_rules(page) == {}, name
        page.context.close()


def test_on_paper_everything_is_there_and_dark_on_light(browser: Any, home: Path, tmp_path: Path) -> None:
    page = opened(browser, reported(home, tmp_path, rich()), [], color_scheme="dark", viewport=DESK)
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 720, "height": 1000})
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not too_wide(page)
    cut = "[...document.querySelectorAll('.wide')].filter(each => each.scrollWidth > each.clientWidth + 1).length"
    assert page.evaluate(cut) == 0
    folded = page.locator("details table")
    assert folded.count()
    assert all(each.is_visible() for each in folded.all())
    assert page.pdf().startswith(b"%PDF")
    page.context.close()
