"""The page in a real browser: what it shows, live, to everybody, and whatever is in a journal."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from served import Served, served

from support.browsers import DESK, MARKS, PHONE, against_rules, chromium, too_wide
from support.ports import free_port
from support.shown import MARKUP, hostile, put, rich
from support.tape import Tape
from support.waiting import until
from support.watched import ago, loop_process

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is missing")
expect = playwright.expect
expect.set_options(timeout=60_000)

pytestmark = MARKS
RICH = "20261126T010000Z-rich00"
EARLIER = "20261125T010000Z-rich01"

Visit = Callable[..., Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A browser for all tests here."""
    with chromium(playwright) as browser:
        yield browser


@pytest.fixture
def server(home: Path) -> Iterator[Served]:
    """A server with two runs of one loop that have ended."""
    put(home, rich(EARLIER, age=90_000, turns=5), rich())
    with served(home) as server:
        yield server


@pytest.fixture
def visit(browser: Any, server: Served) -> Iterator[Visit]:
    """Open a page of the server. A complaint of its browser fails the test, and so does a request to elsewhere."""
    contexts: list[Any] = []
    trouble: list[str] = []

    def open_page(path: str, scheme: str = "light", size: dict[str, int] = DESK) -> Any:
        contexts.append(browser.new_context(color_scheme=scheme, viewport=size))
        contexts[-1].set_default_timeout(60_000)
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("console", lambda said: trouble.append(said.text) if said.type in ("error", "warning") else None)
        page.on("request", lambda request: trouble.append(request.url) if elsewhere(request.url) else None)
        page.trouble = trouble
        page.goto(f"{server.url}{path.lstrip('/')}")
        expect(page.locator("main:not([aria-busy])")).to_be_visible()
        return page

    def elsewhere(url: str) -> bool:
        return urlsplit(url).netloc != urlsplit(server.url).netloc

    yield open_page
    for context in contexts:
        context.close()
    assert trouble == []


def card(page: Any, name: str) -> Any:
    """The card of a loop that runs."""
    return page.locator(".card", has=page.get_by_role("link", name=name))


# -- live --------------------------------------------------------------------------------------------------------------


def test_the_list_shows_a_loop_as_it_begins_works_and_is_killed(visit: Visit, home: Path) -> None:
    page = visit("/")
    expect(page.locator("#link")).to_have_text("live")
    expect(page.get_by_role("row", name="fix-bugs")).to_have_count(2)
    with loop_process(home / "runs" / "r.jsonl", "night-shift", max_iterations=9) as loop:
        expect(card(page, "night-shift")).to_contain_text("running")
        loop.add("iteration.started", iteration=4).add("agent.started", agent="claude", model="claude-x")
        expect(card(page, "night-shift")).to_contain_text("Iteration 4 of 9")
        loop.add("tool.called", tool="Bash", outcome="success")
        expect(card(page, "night-shift")).to_contain_text("claude claude-x → Bash")
        loop.add("tests.finished", passed=7, failed=2).add("context.measured", percent=91.0)
        expect(card(page, "night-shift")).to_contain_text("7 of 9")
        expect(card(page, "night-shift").get_by_role("img", name="Context 91 %, beyond the redline")).to_be_visible()
        expect(page).to_have_title("1 running · ralph-otel")
    row = page.get_by_role("row", name="night-shift")
    expect(row).to_contain_text("vanished")
    expect(page.get_by_role("status")).to_have_text("night-shift: vanished")
    expect(page).to_have_title("Loops · ralph-otel")


def test_a_run_is_drawn_as_it_goes_and_says_why_it_stopped(visit: Visit, home: Path) -> None:
    with loop_process(home / "runs" / "r.jsonl", "night-shift") as loop:
        page = visit("/runs/r")
        expect(page.get_by_role("heading", level=1)).to_have_text("night-shift")
        expect(page.locator(".empty")).to_have_text("No iteration yet.")
        loop.add("iteration.started", iteration=1).add("tool.called", tool="Bash", outcome="failure", duration=0.1)
        expect(page.get_by_role("button", name="Iteration 1, running")).to_be_visible()
        loop.add("iteration.finished", iteration=1, outcome="failure", duration=1.0, error_type="AgentFailed")
        expect(page.get_by_role("button", name="Iteration 1, failure")).to_be_visible()
        expect(page.get_by_role("img", name="Time of each iteration")).to_be_visible()
        loop.add("loop.stopped", reason="no_progress")
        expect(page.locator(".headline .badge")).to_have_text("no progress")
        expect(page.locator(".verdict")).to_contain_text("the iterations bring no progress")


def test_a_real_loop_is_seen_from_its_first_iteration_to_its_end(visit: Visit, home: Path, tmp_path: Path) -> None:
    (tmp_path / "PROMPT.md").write_text("Fix it.")
    go = tmp_path / "go"
    agent = f"until [ -e {go} ]; do sleep 0.05; done"
    words = [sys.executable, "-m", "ralph_otel", "loop", "-n", "2", "--name", "real", "--", "sh", "-c", agent]
    environment = {**os.environ, "RALPH_OTEL_HOME": str(home), "RALPH_OTEL_EXPORT_FORMAT": "none"}
    page = visit("/")
    with subprocess.Popen(words, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL) as loop:
        try:
            expect(card(page, "real")).to_contain_text("Iteration 1 of 2")
            card(page, "real").get_by_role("link").click()
            expect(page.get_by_role("button", name="Iteration 1, running")).to_be_visible()
            go.touch()
            expect(page.locator(".headline .badge")).to_have_text("max iterations")
            expect(page.get_by_role("button", name="Iteration 2, success")).to_be_visible()
        finally:
            loop.kill()


def test_a_page_comes_back_when_the_server_does(browser: Any, home: Path) -> None:
    put(home, rich())
    context = browser.new_context()
    with served(home, port=free_port()) as server:
        page = context.new_page()
        page.goto(server.url)
        expect(page.locator("#link")).to_have_text("live")
    expect(page.locator("#link")).to_have_text("connection lost, trying again")
    put(home, ago(Tape("meanwhile", "meanwhile"), 5))
    (home / "runs" / f"{RICH}.jsonl").unlink()
    with served(home, port=server.port):
        expect(page.locator("#link")).to_have_text("live")
        expect(card(page, "meanwhile")).to_be_visible()
        expect(page.get_by_text("fix-bugs")).to_have_count(0)
    context.close()


def test_a_page_that_nobody_looks_at_rests_and_then_catches_up(visit: Visit, home: Path) -> None:
    page = visit("/")
    expect(page.locator("#link")).to_have_text("live")
    with loop_process(home / "runs" / "r.jsonl", "night-shift") as loop:
        expect(card(page, "night-shift")).to_be_visible()
        look(page, hidden=True)
        expect(page.locator("#link")).to_have_text("paused")
        loop.add("iteration.started", iteration=3)
        with page.expect_request("**/api/events?last=*"):
            look(page, hidden=False)
        expect(card(page, "night-shift")).to_contain_text("Iteration 3")


def look(page: Any, hidden: bool) -> None:
    """As if the tab were hidden, or shown again."""
    page.evaluate(
        "hidden => { Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });"
        " document.dispatchEvent(new Event('visibilitychange')); }",
        hidden,
    )


def test_twenty_loops_at_once_are_all_there_and_a_filter_finds_one(visit: Visit, home: Path) -> None:
    put(home, *(ago(Tape(f"loop-{number:02}", f"r{number:02}").iteration(1, 1), 60) for number in range(20)))
    page = visit("/")
    expect(page.locator(".card")).to_have_count(20)
    page.get_by_label("Only loops with").fill("LOOP-07")
    expect(page.locator(".card")).to_have_count(1)
    expect(page.get_by_label("Only loops with")).to_be_focused()


def loops_of(page: Any) -> list[str]:
    """The loops of the table, in order."""
    links: list[str] = page.locator(".runs tbody th a").all_inner_texts()
    return links


def test_the_list_stands_by_every_column_by_keys_and_the_address_remembers_which(visit: Visit, home: Path) -> None:
    put(
        home,
        rich("20261124T010000Z-few000", "a few", 50_000, 2),
        Tape("Bare", "bare").add(1, "loop.stopped", reason="error"),
    )
    page = visit("/")
    expect(page.locator(".runs tbody tr")).to_have_count(4)
    usual = loops_of(page)
    orders = {"Loop": "ascending", "End": "ascending", "Last iterations": "ascending", "Iterations": "descending",
              "Tests": "ascending", "Cost": "descending", "Time": "descending", "Ended": "descending"}  # fmt: skip
    for title, first in orders.items():
        column = page.get_by_role("columnheader", name=title, exact=True)
        column.get_by_role("button").focus()
        page.keyboard.press("Enter")
        expect(column).to_have_attribute("aria-sort", first)
        expect(page.locator("[aria-sort]")).to_have_count(1)
        there = loops_of(page)
        page.keyboard.press("Space")
        expect(column).to_have_attribute("aria-sort", "ascending" if first == "descending" else "descending")
        expect(column.get_by_role("button")).to_be_focused()
        assert sorted(loops_of(page)) == sorted(there)
        page.keyboard.press("Space")
        expect(column).to_have_attribute("aria-sort", first)
    assert loops_of(page) == usual
    page.get_by_role("button", name="Loop").click()
    assert loops_of(page) == ["a few", "Bare", "fix-bugs", "fix-bugs"]
    expect(page.get_by_role("status")).to_have_text("Sorted by loop, ascending")
    page.get_by_label("Sorted by").select_option("Cost")
    expect(page.get_by_role("columnheader", name="Cost")).to_have_attribute("aria-sort", "descending")
    assert page.url.endswith("/?sort=cost&order=descending")
    assert loops_of(page) == ["fix-bugs", "fix-bugs", "a few", "Bare"]
    page.get_by_role("button", name="Descending, turn round").click()
    page.reload()
    expect(page.get_by_role("columnheader", name="Cost")).to_have_attribute("aria-sort", "ascending")
    expect(page.get_by_label("Sorted by")).to_have_value("cost")
    assert loops_of(page) == ["Bare", "a few", "fix-bugs", "fix-bugs"]


def test_loops_that_run_stand_in_that_order_too(visit: Visit, home: Path) -> None:
    for number, cost in enumerate((3.0, 1.0, 2.0)):
        tape = Tape(f"loop-{number}", f"r{number}").iteration(1, 1).add(5, "usage.measured", cost_usd=cost)
        put(home, ago(tape, 60))
    page = visit("/?sort=cost&order=descending")
    expect(page.locator(".card h3")).to_have_text(["loop-0", "loop-2", "loop-1"])
    with (home / "runs" / "r1.jsonl").open("ab") as file:
        more = ago(Tape("", "r1").add(6, "usage.measured", cost_usd=9.0), 5)
        file.write(more.write(home / "lines").read_bytes().splitlines(keepends=True)[-1])
    page.get_by_role("link", name="loop-2").focus()
    expect(page.locator(".card h3")).to_have_text(["loop-1", "loop-0", "loop-2"])
    expect(page.get_by_role("link", name="loop-2")).to_be_focused()


def test_two_runs_are_compared_as_they_go(visit: Visit, home: Path) -> None:
    with loop_process(home / "runs" / "r.jsonl", "night-shift") as loop:
        loop.add("iteration.started", iteration=1)
        page = visit(f"/compare?a=r&b={RICH[-6:]}")
        expect(page.locator("#link")).to_have_text("live")
        expect(page.get_by_label("Run B")).to_have_value(RICH)
        for number in (1, 2):
            loop.add("iteration.finished", iteration=number, outcome="success", duration=1.0)
            expect(page.get_by_role("row", name=f"Iterations {number} 12")).to_be_visible()
        expect(
            page.locator("figure", has=page.get_by_role("heading", name="A: Time of each iteration"))
        ).to_be_visible()
        loop.add("loop.stopped", reason="no_progress")
        expect(page.locator(".pair .badge").first).to_have_text("no progress")
        expect(page.get_by_role("status")).to_have_text("night-shift: no progress")
        put(home, ago(Tape("newcomer", "newcomer"), 5))
        expect(page.locator("#a option", has_text="newcomer")).to_have_count(1)
        expect(page.get_by_label("Run A")).to_have_value("r")


# -- what a run's page shows -------------------------------------------------------------------------------------------


def test_a_runs_page_has_its_charts_iterations_and_reboots(visit: Visit) -> None:
    page = visit(f"/runs/{RICH}")
    for title in ("Time of each iteration", "Context window", "Tests that pass", "Cost, added up", "Progress score"):
        expect(page.get_by_role("img", name=title)).to_be_visible()
    chart = page.locator("figure", has=page.get_by_role("heading", name="Context window"))
    expect(chart.locator("svg .level")).to_have_count(1)
    expect(chart.locator("svg .reboot")).to_have_count(3)
    expect(page.locator(".waterfall tbody tr")).to_have_count(12)
    bar = page.get_by_role("img", name="Iteration 4: failure")
    for kind, number in (("agent", 1), ("tool", 3), ("tests", 1), ("reboot", 1)):
        expect(bar.locator(f".part-{kind}")).to_have_count(number)
    expect(page.get_by_role("heading", name="Compared with earlier runs")).to_be_visible()
    expect(page.get_by_role("row", name="Iterations 12 5 +140%")).to_be_visible()


def test_long_runs_come_in_pages(visit: Visit, home: Path) -> None:
    tape = Tape("long", "long")
    for number in range(1, 101):
        tape.iteration(number * 2, number)
    put(home, ago(tape, 600))
    page = visit("/runs/long")
    rows = page.locator(".waterfall tbody tr")
    expect(rows).to_have_count(40)
    page.get_by_role("button", name="Earlier iterations (60 more)").click()
    expect(rows).to_have_count(80)
    page.get_by_role("button", name="Earlier iterations (20 more)").click()
    expect(rows).to_have_count(100)
    expect(page.get_by_role("button", name="Earlier iterations")).to_have_count(0)


def test_two_runs_stand_side_by_side_and_which_ones_is_in_the_address(visit: Visit) -> None:
    page = visit("/compare")
    expect(page.get_by_role("row", name="Iterations 12 5 +140%")).to_be_visible()
    expect(page.locator("figure")).to_have_count(10)
    page.get_by_label("Run A").select_option(EARLIER)
    expect(page.get_by_role("row", name="Iterations 5 5 same")).to_be_visible()
    assert f"a={EARLIER}&b={EARLIER}" in page.url


def test_a_run_that_is_not_there_is_said_to_be_in_one_line(visit: Visit) -> None:
    page = visit("/runs/nobody")
    expect(page.locator(".empty")).to_contain_text("no run 'nobody'")
    page.trouble[:] = [said for said in page.trouble if "404" not in said]  # the browser's own word on it


# -- to everybody ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("scheme", "size"), [("light", DESK), ("dark", PHONE)], ids=["light-desk", "dark-phone"])
def test_every_page_keeps_the_rules_of_accessibility_and_the_width_of_the_screen(
    scheme: str, size: dict[str, int], visit: Visit, home: Path
) -> None:
    put(home, ago(Tape("now", "now", max_iterations=9).iteration(1, 1).add(4, "iteration.started", iteration=2), 60))
    put(home, hostile())
    for path in ("/", f"/runs/{RICH}", "/runs/now", "/runs/evil00", f"/compare?a={RICH}&b={EARLIER}", "/runs/nobody"):
        page = visit(path, scheme, size)
        if path.startswith("/runs/20"):
            page.locator(".turner").first.click()
            page.locator("summary").first.click()
        assert against_rules(page) == {}, path
        assert not too_wide(page), path
        page.trouble[:] = [said for said in page.trouble if "404" not in said]
        page.close()


def tab_to(page: Any, wanted: Any) -> None:
    """Press Tab until that has the focus."""
    until(lambda: page.keyboard.press("Tab") or wanted.evaluate("node => node === document.activeElement"))


def test_it_can_be_used_by_keys_alone(visit: Visit, home: Path) -> None:
    page = visit("/")
    address = f"{page.url}runs/{RICH}"
    expect(page.locator("#link")).to_have_text("live")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    tab_to(page, page.get_by_role("link", name="fix-bugs").first)
    page.keyboard.press("Enter")
    expect(page).to_have_url(address)
    expect(page.locator(".waterfall")).to_be_visible()
    turner = page.get_by_role("button", name="Iteration 12, failure")
    tab_to(page, turner)
    assert turner.evaluate("node => getComputedStyle(node).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    expect(turner).to_have_attribute("aria-expanded", "true")
    expect(page.get_by_role("table", name="What was in iteration 12")).to_contain_text("Bash")
    expect(turner).to_be_focused()


def test_what_is_focused_or_open_stays_so_while_the_loop_goes_on(visit: Visit, home: Path) -> None:
    with loop_process(home / "runs" / "r.jsonl", "night-shift") as loop:
        loop.add("iteration.started", iteration=1)
        loop.add("iteration.finished", iteration=1, outcome="success", duration=1.0)
        page = visit("/runs/r")
        page.get_by_text("As a table").first.click()
        turner = page.get_by_role("button", name="Iteration 1, success")
        turner.press("Enter")
        for number in (2, 3):
            loop.add("iteration.started", iteration=number)
            loop.add("iteration.finished", iteration=number, outcome="success", duration=1.0)
            expect(page.get_by_role("button", name=f"Iteration {number}, success")).to_be_visible()
        expect(turner).to_be_focused()
        expect(turner).to_have_attribute("aria-expanded", "true")
        expect(page.locator("details[open]")).to_have_count(1)


# -- whatever is in a journal ------------------------------------------------------------------------------------------


def test_names_that_are_markup_are_text_everywhere(visit: Visit, home: Path) -> None:
    put(home, hostile(), hostile("20261126T020000Z-evil01"))
    for path in ("/", "/runs/20261126T020000Z-evil00", "/compare"):
        page = visit(path)
        expect(page.get_by_text(MARKUP).filter(visible=True).first).to_be_visible()
        for turner in page.locator(".turner").all():
            turner.click()
        assert page.evaluate("window.hurt") is None
        assert page.locator("img").count() == 1  # our own
        assert not set("\x1b\x00‮") & set(page.locator("html").inner_text() + page.title())


def test_without_javascript_the_page_says_what_to_do(browser: Any, server: Served) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(server.url)
    expect(page.get_by_text("Without it there are ralph-otel top")).to_be_visible()
    context.close()
