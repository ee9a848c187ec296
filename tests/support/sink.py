"""A sink for handles that keeps the lines and checks each."""

from __future__ import annotations

from typing import Any

from ralph_otel import events
from ralph_otel.events import Line, problem_with


class Lines(list[Line]):
    """A sink that checks every line."""

    def __call__(self, line: Line) -> None:
        assert problem_with(line) is None, problem_with(line)
        self.append(line)

    def types(self) -> list[str]:
        return [line["type"] for line in self]

    def of(self, type_: str) -> list[Line]:
        return [line for line in self if line["type"] == type_]

    def only(self, type_: str) -> Line:
        [line] = self.of(type_)
        return line


def fields(line: Line) -> dict[str, Any]:
    """The event's own fields."""
    envelope = {field.name for field in events.ENVELOPE}
    return {name: value for name, value in line.items() if name not in envelope and name != "duration"}
