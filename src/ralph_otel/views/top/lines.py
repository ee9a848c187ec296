"""Lines of text on the screen: those of a run's detail, and the list of runs, one of which is chosen.

Textual's own table and texts are drawn anew as a whole when anything in them has changed; with twenty loops, whose ages
change each second, that costs most of the time. Here only the lines that have changed are drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, overload

from rich.style import Style
from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

_CHOSEN = Style(reverse=True)


class Lazily(Sequence[Text]):
    """Lines that are made when they are looked at.

    Args:
        count: how many there are.
        make: makes one, by its number from 0.
    """

    def __init__(self, count: int, make: Callable[[int], Text]) -> None:
        self._count = count
        self._make = make
        self._made: dict[int, Text] = {}

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, number: int) -> Text: ...
    @overload
    def __getitem__(self, number: slice) -> list[Text]: ...
    def __getitem__(self, number: int | slice) -> Text | list[Text]:
        if isinstance(number, slice):
            return [self[each] for each in range(*number.indices(self._count))]
        if number >= self._count:
            raise IndexError(number)
        if number not in self._made:
            self._made[number] = self._make(number)
        return self._made[number]


class Lines(ScrollView, can_focus=True):
    """Lines that can be scrolled."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "scroll_up", "up", show=False),
        Binding("down,j", "scroll_down", "down", show=False),
        Binding("pageup", "page_up", "page up", show=False),
        Binding("pagedown", "page_down", "page down", show=False),
        Binding("home", "scroll_home", "first", show=False),
        Binding("end", "scroll_end", "last", show=False),
    ]

    def __init__(self, *, id: str) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id)
        self.lines: Sequence[Text] = ()
        self._strips: dict[int, Strip] = {}

    def show(self, lines: Sequence[Text]) -> None:
        """Put other lines there; of those in sight what has changed is drawn, the others are not looked at."""
        before, self.lines = self.lines, lines
        if (self.size.width, len(lines)) != self.virtual_size:
            self.virtual_size = Size(self.size.width, len(lines))
        both, first = min(len(before), len(lines)), self.scroll_offset.y
        sight = range(first, min(first + self.size.height, both))
        changed = {number for number in sight if before[number] != lines[number]}
        self._strips = {number: strip for number, strip in self._strips.items() if number in sight}
        self.redraw(changed | set(range(both, max(len(before), len(lines)))))

    def redraw(self, numbers: set[int]) -> None:
        """Draw some lines anew."""
        for number in numbers:
            self._strips.pop(number, None)
            self.refresh(Region(0, number - self.scroll_offset.y, self.size.width, 1))

    def render_line(self, y: int) -> Strip:
        """A line of the screen, counted from the widget's first."""
        number, width = y + self.scroll_offset.y, self.size.width
        if number >= len(self.lines):
            return Strip.blank(width, self.rich_style)
        strip = self._strips.get(number)
        if strip is None or strip.cell_length != width:
            strip = self._strips[number] = self.draw(number, width)
        return strip

    def draw(self, number: int, width: int) -> Strip:
        """A line as it is shown."""
        strip = Strip(self.lines[number].render(self.app.console))
        return strip.adjust_cell_length(width, self.rich_style).apply_style(self.rich_style)

    def on_resize(self) -> None:
        """Everything is drawn anew."""
        self._strips.clear()


class RunList(Lines):
    """Lines to choose from by arrows, page keys, home, end and the mouse."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "up", show=False),
        Binding("down,j", "move(1)", "down", show=False),
        Binding("pageup", "move_page(-1)", "page up", show=False),
        Binding("pagedown", "move_page(1)", "page down", show=False),
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
        self.place = 0
        """The number of the chosen line, from 0."""

    def choose(self, place: int) -> None:
        """Choose a line."""
        if place != self.place:
            self.redraw({place, self.place})
            self.place = place
            self._reveal()

    def _reveal(self) -> None:
        self.scroll_to_region(Region(0, self.place, self.size.width, 1), animate=False, force=True)

    def draw(self, number: int, width: int) -> Strip:
        """A line as it is shown; without its colours where it is chosen."""
        if number != self.place:
            return super().draw(number, width)
        style = self.rich_style + _CHOSEN
        return (
            Strip(Text(self.lines[number].plain).render(self.app.console)).adjust_cell_length(width).apply_style(style)
        )

    def on_resize(self) -> None:
        """The chosen line stays in sight."""
        self._reveal()

    def action_move(self, by: int) -> None:
        """Choose another line, so many below."""
        place = min(max(self.place + by, 0), len(self.lines) - 1)
        if place >= 0 and place != self.place:
            self.choose(place)
            self.post_message(self.Moved(place))

    def action_move_page(self, by: int) -> None:
        """Choose another line, so many screens below."""
        self.action_move(by * max(1, self.size.height - 1))

    def on_click(self, event: events.Click) -> None:
        """Choose the line that was clicked on; if it is chosen already, open it."""
        number = event.y + self.scroll_offset.y
        if number == self.place:
            self.post_message(self.Opened())
        elif number < len(self.lines):
            self.action_move(number - self.place)
