"""The live view's keys, by Textual's own pilot."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from textual import events
from textual.pilot import Pilot
from textual.widgets import Input, Static

from ralph_otel.views.live import Live
from ralph_otel.views.top.app import Help, TopApp
from ralph_otel.views.top.lines import Lines, RunList
from support.tape import Tape
from support.watched import ago

Body = Callable[["Screen"], Awaitable[None]]


class Screen:
    """The app under test, as a person sees it."""

    def __init__(self, pilot: Pilot[Any], app: TopApp) -> None:
        self.pilot = pilot
        self.app = app

    async def press(self, *keys: str) -> None:
        """Press keys, and wait until they have had their effect."""
        await self.pilot.press(*keys)
        await self.pilot.pause()

    def text(self, where: str) -> str:
        """What a text says."""
        return str(self.app.screen_stack[0].query_one(where, Static).content)

    @property
    def title(self) -> str:
        """The first line."""
        return self.text("#title")

    @property
    def detail(self) -> str:
        """The detail's text; "" where it is not to be seen."""
        lines = self.app.screen_stack[0].query_one("#detail", Lines)
        return "\n".join(text.plain for text in lines.lines) if lines.display else ""

    @property
    def helped(self) -> bool:
        """Whether the help is open."""
        return isinstance(self.app.screen, Help)

    @property
    def names(self) -> list[str]:
        """The loops in the list, in order."""
        runs = self.app.screen_stack[0].query_one(RunList)
        return [text.plain.split()[0] for text in runs.lines]

    @property
    def chosen(self) -> str:
        """The loop that the cursor is on."""
        return self.names[self.app.screen_stack[0].query_one(RunList).place]


def watch(home: Path, body: Body, size: tuple[int, int] = (80, 24), budget: float | None = None) -> None:
    """Run the app without a terminal."""

    async def run() -> None:
        app = TopApp(Live(home), interval=0.05, budget=budget)
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            screen = Screen(pilot, app)
            await until(screen, lambda: not app._reading)  # a busy machine may read them in more than one go
            await body(screen)

    asyncio.run(run())


def loop(home: Path, name: str, begun: float, cost: float = 0.0) -> Tape:
    """A running loop's journal, begun so many seconds ago."""
    tape = Tape(name, f"run-{name}").iteration(1, 1).add(3, "usage.measured", cost_usd=cost)
    ago(tape.add(4, "iteration.started", iteration=2), begun).write(home / "runs" / f"run-{name}.jsonl")
    return tape


@pytest.fixture
def three(home: Path) -> Path:
    """Three loops: c began last; b was the dearest."""
    loop(home, "a", 300, 1.0)
    loop(home, "b", 200, 5.0)
    loop(home, "c", 100, 3.0)
    return home


def test_arrows_choose_and_enter_shows_the_detail_until_escape(three: Path) -> None:
    async def body(screen: Screen) -> None:
        assert screen.names == ["c", "b", "a"]
        assert (screen.chosen, screen.detail) == ("c", "")
        await screen.press("down", "enter")
        assert screen.detail.startswith("b · ")
        assert not screen.app.query_one(RunList).display
        await screen.press("n")
        assert screen.detail.startswith("a · ")
        await screen.press("n", "right", "left", "p")
        assert screen.detail.startswith("a · ")
        await screen.press("escape")
        assert (screen.chosen, screen.detail) == ("a", "")
        await screen.press("down", "down", "home", "end", "pageup", "k", "j")
        assert screen.chosen == "b"

    watch(three, body)


def test_until_somebody_chooses_it_is_the_first_that_is_chosen(three: Path) -> None:
    async def body(screen: Screen) -> None:
        await screen.press("s")
        assert screen.chosen == "b"
        loop(three, "d", 50, 9.0)
        await until(screen, lambda: screen.names[0] == "d")
        assert screen.chosen == "d"
        await screen.press("down", "up", "s", "s")
        assert screen.chosen == "d"
        loop(three, "e", 10)
        await until(screen, lambda: "e" in screen.names)
        assert screen.chosen == "d"

    watch(three, body)


def test_s_sorts_and_the_cursor_stays_on_its_loop(three: Path) -> None:
    async def body(screen: Screen) -> None:
        await screen.press("down", "down", "s")
        assert (screen.names, screen.chosen) == (["b", "c", "a"], "a")
        assert "by cost" in screen.title
        await screen.press("r")
        assert (screen.names, screen.chosen) == (["a", "c", "b"], "a")
        assert "by cost, backwards" in screen.title
        await screen.press("r", "s", "s", "s", "s", "s")
        assert (screen.names, screen.chosen) == (["a", "b", "c"], "a")
        assert "by name" in screen.title
        await screen.press("s")
        assert screen.names == ["c", "b", "a"]
        assert "by " not in screen.title

    watch(three, body)


def test_a_slash_filters_while_one_types_and_escape_takes_it_away(three: Path) -> None:
    async def body(screen: Screen) -> None:
        await screen.press("slash", "r", "u", "n", "minus", "b")
        assert screen.names == ["b"]
        await screen.press("enter")
        assert "with 'run-b'" in screen.title
        assert not screen.app.query_one(Input).display
        await screen.press("enter")
        assert screen.detail.startswith("b · ")
        await screen.press("escape", "slash", "slash", "s")
        assert screen.app.query_one(Input).value == "/s"  # what was there is typed over
        assert screen.text("#heading") == "no loop with '/s'; esc takes the filter away"
        await screen.press("escape")
        assert screen.names == ["c", "b", "a"]

    watch(three, body)


@pytest.mark.parametrize(
    ("typed", "detail"),
    [
        (("/", *"run-a", "enter", "enter"), "a"),
        (("down", "enter"), "b"),
        (("down", "enter", "escape", "down", "enter"), "a"),
        (("/", *"run-b", "enter", "enter", "escape", "escape", "end", "enter"), "a"),
        (("?", "escape", "down", "enter"), "b"),
        (("s", "enter"), "b"),
    ],
)
def test_keys_that_arrive_together_do_what_they_do_one_by_one(typed: tuple[str, ...], detail: str, three: Path) -> None:
    async def body(screen: Screen) -> None:
        for key in typed:
            screen.app.post_message(events.Key(_name_of(key), key if len(key) == 1 else None))
        await until(screen, lambda: screen.detail.startswith(f"{detail} · "))

    watch(three, body)


def test_what_is_pasted_goes_where_the_keys_before_it_lead(three: Path) -> None:
    async def body(screen: Screen) -> None:
        screen.app.post_message(events.Paste("lost"))
        screen.app.post_message(events.Key("slash", "/"))
        screen.app.post_message(events.Paste("run-a\nmore"))
        screen.app.post_message(events.Key("enter", None))
        await until(screen, lambda: screen.names == ["a"] and not screen.app.query_one(Input).display)
        assert "with 'run-a'" in screen.title

    watch(three, body)


def test_help_opens_and_closes_and_q_quits(three: Path) -> None:
    async def body(screen: Screen) -> None:
        opened = [screen.helped]
        for key in ("question_mark", "slash", "escape"):
            await screen.press(key)
            opened.append(screen.helped)
        assert opened == [False, True, True, False]
        await screen.press("q")
        assert screen.app._exit

    watch(three, body)


def test_a_click_chooses_and_a_second_one_opens(three: Path) -> None:
    async def body(screen: Screen) -> None:
        await screen.pilot.click("#runs", offset=(5, 2))
        await screen.pilot.pause()
        assert (screen.chosen, screen.detail) == ("a", "")
        await screen.pilot.click("#runs", offset=(5, 2))
        await screen.pilot.pause()
        assert screen.detail.startswith("a · ")

    watch(three, body)


def test_a_tall_terminal_shows_the_list_and_the_detail_and_sizes_may_change(three: Path) -> None:
    async def body(screen: Screen) -> None:
        assert screen.names == ["c", "b", "a"]
        assert screen.detail.startswith("c · ")
        await screen.press("down")
        assert screen.detail.startswith("b · ")
        await screen.pilot.resize_terminal(50, 12)
        await until(screen, lambda: screen.detail == "")
        runs = screen.app.query_one(RunList)
        await until(screen, lambda: [runs.render_line(y).cell_length for y in range(3)] == [50, 50, 50])
        assert screen.chosen == "b"

    watch(three, body, (120, 40))


def test_without_a_run_it_says_how_to_begin_and_the_first_one_appears(home: Path) -> None:
    async def body(screen: Screen) -> None:
        assert screen.text("#heading").startswith("No runs yet. A first one: ralph-otel run -- COMMAND…")
        assert str(home / "runs") in screen.text("#heading")
        await screen.press("enter", "down", "s", "n", "escape")
        loop(home, "first", 10)
        await until(screen, lambda: screen.names == ["first"])
        assert screen.chosen == "first"

    watch(home, body)


def test_what_happens_is_shown_as_it_happens(three: Path) -> None:
    async def body(screen: Screen) -> None:
        await screen.press("end", "enter")
        assert "success    100%  1 of 1" in screen.detail
        tape = Tape("", "run-a").add(5, "iteration.finished", iteration=2, outcome="failure", duration=9)
        with (three / "runs" / "run-a.jsonl").open("ab") as file:
            file.write(ago(tape, 5).write(three / "lines").read_bytes())
        await until(screen, lambda: "success    50%  1 of 2 · ✗ 1 failure" in screen.detail)

    watch(three, body)


def test_the_size_may_change_below_the_help(three: Path) -> None:
    async def body(screen: Screen) -> None:
        await screen.press("question_mark")
        await screen.pilot.resize_terminal(40, 10)
        await screen.press("escape")
        await until(screen, lambda: not screen.detail and screen.names == ["c", "b", "a"])

    watch(three, body, size=(120, 50))


def test_when_the_chosen_run_goes_another_is_chosen(three: Path) -> None:
    async def body(screen: Screen) -> None:
        await screen.press("down", "enter")
        (three / "runs" / "run-b.jsonl").unlink()
        await until(screen, lambda: screen.names == ["c", "a"])
        assert screen.detail.startswith("a · ")
        for path in (three / "runs").iterdir():
            path.unlink()
        await until(screen, lambda: screen.names == [])
        assert screen.detail.strip() == ""
        await screen.press("n", "escape", "down", "enter", "up")

    watch(three, body)


def test_a_budget_colours_what_is_spent(three: Path) -> None:
    async def body(screen: Screen) -> None:
        assert "$9.00 (budget $5.00 each)" in screen.title
        await screen.press("down", "enter")
        assert "$5.00 of $5.00" in screen.detail
        assert "over budget" in screen.detail

    watch(three, body, budget=5.0)


def test_more_loops_than_lines_scroll(home: Path) -> None:
    for number in range(40):
        loop(home, f"n{number:02}", 1000 - number)

    async def body(screen: Screen) -> None:
        await screen.press("end")
        runs = screen.app.query_one(RunList)
        assert screen.chosen == "n00"
        assert "n00" in runs.render_line(runs.size.height - 1).text
        await until(screen, lambda: runs.show_vertical_scrollbar and runs.lines[0].cell_len == 79)
        await screen.press("pageup", "pageup", "pageup")
        assert runs.scroll_offset.y == 0

    watch(home, body)


def _name_of(key: str) -> str:
    return {"/": "slash", "?": "question_mark", "-": "minus"}.get(key, key)


async def until(screen: Screen, condition: Callable[[], bool], seconds: float = 60) -> None:
    """Return once the condition holds."""
    async with asyncio.timeout(seconds):
        while not condition():
            await screen.pilot.pause(0.02)
