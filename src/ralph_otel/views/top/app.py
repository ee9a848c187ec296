"""The live view: the list of loops, one of them in detail, and the keys."""

from __future__ import annotations

import contextlib
import time
from typing import ClassVar

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.css.query import NoMatches
from textual.screen import ModalScreen
from textual.widgets import Footer, Input, Static

from ralph_otel.views.live import Live
from ralph_otel.views.rows import SORTS, Row, matches, ordered, row_of
from ralph_otel.views.top.detail import budget_style, detail
from ralph_otel.views.top.keys import OneByOne
from ralph_otel.views.top.lines import Lazily, Lines, RunList
from ralph_otel.views.top.marks import dollars, joined, plain
from ralph_otel.views.top.table import columns_for, heading, line
from ralph_otel.views.usage import Meters

_BUDGET = 0.1
"""Seconds that one look at the journals may take before the view is drawn again."""
_SOON = 0.02
"""Seconds until the next look, while there is more to read."""
_BOTH = 36
"""Lines of a terminal from which on the list and the detail are shown together."""

HELP = """\
↑ ↓         choose a loop; in the detail: scroll
enter       the chosen loop in detail
n p         in the detail: the next loop, the one before
esc         back; take the filter away
s           sort by state, cost, iterations, age, context, stuck, name
r           the other way round
/           show only loops with a text in name, run id, runner or state
q           quit

last        outcomes: ✓ success  ✗ failure  t timeout  c cancelled
age         of the running iteration; ! longer than nine in ten take
ctx         context window in use; ! beyond the redline of 85 %
np          iterations in a row without progress
rb          reboots
$/h         spent in the last hour
quiet       since the last event
dead        the loop's process is gone, its journal has no end
no end      no event for a day, and no process to ask for
"""


class Help(ModalScreen[None]):
    """What the keys do and what the columns say; any key closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,question_mark,enter,space", "dismiss", "close")]

    def compose(self) -> ComposeResult:
        """The text."""
        yield VerticalScroll(Static(Text(HELP)))


class TopApp(OneByOne):
    """`ralph-otel top`.

    Args:
        live: the runs.
        interval: seconds between two looks.
        budget: US dollars that a loop may cost.
        sort: an order of `SORTS`.
        wanted: show only loops with this in them; see `matches`.
    """

    CSS = """
    Screen, Help { background: ansi_default; color: ansi_default; }
    #title, #heading { height: 1; text-wrap: nowrap; }
    #title { text-style: bold; }
    #heading { text-style: underline; }
    #runs { height: 1fr; background: ansi_default; scrollbar-size: 1 1; overflow-x: hidden; }
    #detail { height: 1fr; display: none; background: ansi_default; scrollbar-size: 1 1; overflow-x: hidden; }
    #filter { height: 1; border: none; padding: 0; display: none; background: ansi_default; }
    .both #detail { display: block; height: 2fr; border-top: solid ansi_default; }
    .detail #detail { display: block; height: 1fr; border-top: none; }
    .detail #runs, .detail #heading { display: none; }
    Help { align: center middle; }
    Help > VerticalScroll { width: 76; height: auto; max-height: 100%; border: round ansi_default; padding: 0 1; }
    Footer { background: ansi_default; }
    """
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "quit"),
        Binding("enter", "open", "detail"),
        Binding("escape", "leave", "back"),
        Binding("s", "sort", "sort"),
        Binding("r", "reverse", "reverse", show=False),
        Binding("slash", "filter", "filter", priority=True),
        Binding("n,right", "step(1)", "next", show=False),
        Binding("p,left", "step(-1)", "previous", show=False),
        Binding("question_mark", "help", "help"),
    ]

    def __init__(
        self, live: Live, interval: float = 1.0, budget: float | None = None, sort: str = "state", wanted: str = ""
    ) -> None:
        super().__init__(ansi_color=True)
        if "ansi-dark" in self.available_themes:
            self.theme = "ansi-dark"
        self._live = live
        self._interval = interval
        self._budget = budget
        self._meters = Meters()
        self._rows: list[Row] = []
        self._shown: list[Row] = []
        self._sort = sort
        self._backwards = False
        self._wanted = wanted
        self._chosen: str | None = None
        self._touched = False
        """Whether somebody has chosen; until then it is the first that is."""
        self._reading = True

    # -- what is on the screen --------------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        """Title, list, detail, filter, keys."""
        yield Static(id="title", markup=False)
        yield Static(id="heading", markup=False)
        yield RunList(id="runs")
        yield Lines(id="detail")
        yield Input(id="filter", placeholder="show only loops with …", compact=True)
        yield Footer(compact=True)

    def on_mount(self) -> None:
        """Begin to look."""
        self._list.focus()
        self._look()

    def on_resize(self, event: events.Resize) -> None:
        """Draw for the new size."""
        self.screen_stack[0].set_class(event.size.height >= _BOTH, "both")  # the help may be on top of it
        self._draw()

    @property
    def _list(self) -> RunList:
        return self.screen_stack[0].query_one("#runs", RunList)

    @property
    def _detail(self) -> Lines:
        return self.screen_stack[0].query_one("#detail", Lines)

    @property
    def _in_detail(self) -> bool:
        return self.screen_stack[0].has_class("detail")

    def _look(self) -> None:
        """Read what has come, and draw it; then again after the interval, at once while there is more to read."""
        self._reading = not self._live.poll(_BUDGET)
        now = time.time_ns()
        runs = self._live.runs
        used = self._meters.look((run for run in runs if run.going(now)), self._chosen)
        self._rows = [row_of(run, now, used.get(run.key)) for run in runs]
        self._draw()
        self.set_timer(_SOON if self._reading else self._interval, self._look)

    def _draw(self) -> None:
        with contextlib.suppress(NoMatches):  # the screen is being taken down
            if self.screen_stack and self.screen_stack[0].is_running:
                self._draw_screen()

    def _draw_screen(self) -> None:
        width = self.size.width
        self._shown = ordered((row for row in self._rows if matches(row, self._wanted)), self._sort, self._backwards)
        scrolls = len(self._shown) > self._list.outer_size.height > 0
        columns = columns_for(width - scrolls)
        self._put("#title", self._title())
        self._put("#heading", heading(columns) if self._shown else self._nothing())
        place = self._place
        self._chosen = self._shown[place].run.key if self._shown else None
        shown = self._shown
        self._list.show(Lazily(len(shown), lambda number: line(shown[number], columns)))
        self._list.choose(place)
        chosen = self._row
        if chosen is None:
            self._detail.show([])
        elif self._in_detail or self.screen_stack[0].has_class("both"):
            self._detail.show(detail(chosen, width - 1, self._budget))

    def _put(self, where: str, text: Text) -> None:
        """Change a text, unless it is the same."""
        widget = self.screen_stack[0].query_one(where, Static)
        if widget.content != text:
            widget.update(text, layout=False)

    @property
    def _place(self) -> int:
        """Where the chosen run is in the list; if it is no longer there, the one that has come to its place."""
        for place, row in enumerate(self._shown) if self._touched else ():
            if row.run.key == self._chosen:
                return place
        return max(0, min(self._list.place, len(self._shown) - 1)) if self._touched else 0

    @property
    def _row(self) -> Row | None:
        return next((row for row in self._shown if row.run.key == self._chosen), None)

    def _title(self) -> Text:
        going = [row for row in self._rows if row.going]
        dead = sum(row.status == "dead" for row in self._rows)
        cost, rate = sum(row.cost for row in self._rows), sum(row.cost_per_hour for row in going)
        spent = Text(dollars(cost) if cost else "")
        if self._budget is not None and self._rows:
            dearest = max(row.cost for row in self._rows)
            spent = Text(f"{dollars(cost)} (budget {dollars(self._budget)} each)", budget_style(dearest, self._budget))
        problem = next((f"cannot read {path.name}: {why}" for path, why in self._live.errors.items()), "")
        return joined(
            (
                "ralph-otel top",
                f"{len(going)} running",
                Text(f"{dead} dead", "bold red") if dead else "",
                f"{len(self._rows) - len(going) - dead} ended",
                plain(f"with {self._wanted!r}" if self._wanted else ""),
                spent,
                f"{dollars(rate)}/h" if rate else "",
                f"by {self._sort}{', backwards' * self._backwards}" if self._sort != "state" or self._backwards else "",
                "reading …" if self._reading else "",
                plain(problem, style="red"),
            )
        )

    def _nothing(self) -> Text:
        if self._reading:
            return Text("reading the journals …")
        if self._rows:
            return plain(f"no loop with {self._wanted!r}; esc takes the filter away")
        return plain(f"No runs yet. A first one: ralph-otel run -- COMMAND…   (looking in {self._live.folder})")

    # -- keys --------------------------------------------------------------------------------------------------------

    def on_run_list_moved(self, event: RunList.Moved) -> None:
        """Another run is meant from now on."""
        if event.place < len(self._shown):
            self._chosen, self._touched = self._shown[event.place].run.key, True
            self._draw()

    def on_run_list_opened(self) -> None:
        """A click on the chosen run."""
        self.action_open()

    def action_open(self) -> None:
        """The chosen run alone."""
        if self._row is not None:
            self._touched = True
            self.screen.add_class("detail")
            self._detail.scroll_home(animate=False)
            self._detail.focus()
            self._draw()

    def action_leave(self) -> None:
        """Out of the detail; else the filter goes."""
        if self._in_detail:
            self.screen.remove_class("detail")
            self._list.focus()
        else:
            self._end_filter("")
        self._draw()

    def action_step(self, by: int) -> None:
        """Another run."""
        if self._shown and self._in_detail:
            places = [row.run.key for row in self._shown]
            place = places.index(self._chosen) if self._chosen in places else 0
            self._chosen = places[(place + by) % len(places)]
            self._draw()

    def action_sort(self) -> None:
        """The next order."""
        names = list(SORTS)
        self._sort = names[(names.index(self._sort) + 1) % len(names)]
        self._draw()

    def action_reverse(self) -> None:
        """The other way round."""
        self._backwards = not self._backwards
        self._draw()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A slash in the filter, or in the help, is no key of ours."""
        return action != "filter" or (len(self.screen_stack) == 1 and not isinstance(self.focused, Input))

    def action_filter(self) -> None:
        """Ask for a text."""
        field = self.query_one("#filter", Input)
        field.display = True
        self.screen.set_focus(field)  # at once: the next key is for it

    def on_input_changed(self, event: Input.Changed) -> None:
        """The text so far counts at once."""
        self._wanted = event.value
        self._draw()

    def on_input_submitted(self) -> None:
        """Keep the filter, and give the keys back."""
        self._end_filter(self._wanted)

    def _end_filter(self, wanted: str) -> None:
        field = self.query_one("#filter", Input)
        field.value = self._wanted = wanted
        field.display = False
        (self._detail if self._in_detail else self._list).focus()

    def action_help(self) -> None:
        """The help."""
        self.push_screen(Help())
