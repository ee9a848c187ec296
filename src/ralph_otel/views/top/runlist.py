"""The list of runs on the screen: lines of text, one of them chosen.

Textual's own table draws every cell anew when one has changed; with twenty loops, whose ages change each second, that
costs most of the time. This one draws the lines that have changed.
"""

from __future__ import annotations

from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

_CHOSEN = Style(reverse=True)


class RunList(ScrollView, can_focus=True):
    """Lines to choose from by arrows, page keys, home, end and the mouse."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "up", show=False),
        Binding("down,j", "move(1)", "down", show=False),
        Binding("pageup", "page(-1)", "page up", show=False),
        Binding("pagedown", "page(1)", "page down", show=False),
        Binding("home", "move(-1000000)", "first", show=False),
        Binding("end", "move(1000000)", "last", show=False),
    ]

    class Moved(Message):
        """Another line is chosen.

        Attributes:
            place: its number, from 0.
        """

        def __init__(self, place: int) -> None:
            super().__init__()
            self.place = place

    class Opened(Message):
        """The chosen line has been clicked on."""

    def __init__(self, *, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self._lines: list[Text] = []
        self._strips: dict[int, Strip] = {}
        self.place = 0
        """The number of the chosen line, from 0."""

    def show(self, lines: list[Text], place: int) -> None:
        """Put other lines there, and choose one; only what has changed is drawn."""
        changed = {
            number
            for number in range(max(len(lines), len(self._lines)))
            if number >= len(lines) or number >= len(self._lines) or lines[number] != self._lines[number]
        }
        self._lines = lines
        if place != self.place:
            changed |= {place, self.place}
        if (width := self.size.width, len(lines)) != self.virtual_size:
            self.virtual_size = Size(width, len(lines))
        self._redraw(changed)
        if place != self.place:
            self.place = place
            self._reveal()

    def _redraw(self, numbers: set[int]) -> None:
        for number in numbers:
            self._strips.pop(number, None)
            self.refresh(Region(0, number - self.scroll_offset.y, self.size.width, 1))

    def _reveal(self) -> None:
        self.scroll_to_region(Region(0, self.place, self.size.width, 1), animate=False, force=True)

    def render_line(self, y: int) -> Strip:
        """A line of the screen, counted from the widget's first."""
        number, width = y + self.scroll_offset.y, self.size.width
        if number >= len(self._lines):
            return Strip.blank(width, self.rich_style)
        strip = self._strips.get(number)
        if strip is None or strip.cell_length != width:
            text = self._lines[number]
            if number == self.place:
                text = Text(text.plain, _CHOSEN)
            base = self.rich_style + _CHOSEN if number == self.place else self.rich_style
            strip = Strip(text.render(self.app.console)).adjust_cell_length(width, base).apply_style(self.rich_style)
            self._strips[number] = strip
        return strip

    def on_resize(self) -> None:
        """Everything is drawn anew."""
        self._strips.clear()
        self._reveal()

    def action_move(self, by: int) -> None:
        """Choose another line, so many below."""
        place = min(max(self.place + by, 0), len(self._lines) - 1)
        if place >= 0 and place != self.place:
            self._redraw({place, self.place})
            self.place = place
            self._reveal()
            self.post_message(self.Moved(place))

    def action_page(self, by: int) -> None:
        """Choose another line, so many screens below."""
        self.action_move(by * max(1, self.size.height - 1))

    def on_click(self, event: events.Click) -> None:
        """Choose the line that was clicked on; if it is chosen already, open it."""
        number = event.y + self.scroll_offset.y
        if number == self.place:
            self.post_message(self.Opened())
        elif number < len(self._lines):
            self.action_move(number - self.place)
