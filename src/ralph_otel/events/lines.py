"""A line of a journal: what it carries, and the check that a recorder applies to every line it reads."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ralph_otel.events.classes import EVENTS, VERSION, Event
from ralph_otel.events.kinds import COUNT, MAX_INTEGER, MAX_TEXT, TEXT, Kind
from ralph_otel.notices import shown

Line = dict[str, Any]
"""One line of a journal, decoded: the envelope (`v`, `type`, `ts`, `loop`, ids) and the event's own fields."""


@dataclass(frozen=True)
class Field:
    """One declared field of an event."""

    name: str
    kind: Kind
    required: bool
    doc: str


ENVELOPE: tuple[Field, ...] = (
    Field("v", COUNT, True, "The format's version: 1."),
    Field("type", TEXT, True, "The event's type."),
    Field("ts", COUNT, True, "When, in Unix nanoseconds."),
    Field("loop", TEXT, True, "The run id."),
    Field("trace_id", TEXT, False, "The trace, 32 lower-case hexadecimal digits."),
    Field("span_id", TEXT, False, "The span this line starts, ends or belongs to, 16 hexadecimal digits."),
    Field("parent_span_id", TEXT, False, "The span around it, 16 hexadecimal digits."),
)
"""What every line carries besides its event's fields."""


def fields_of(event: type[Event]) -> list[Field]:
    """The declared fields of an event class, in order."""
    return [
        Field(f.name, f.metadata["kind"], f.default is dataclasses.MISSING, f.metadata["doc"])
        for f in dataclasses.fields(event)
    ]


_CHECKS: dict[str, tuple[tuple[str, bool, Callable[[Any], bool], Kind], ...]] = {
    event.type: tuple((f.name, f.required, f.kind.fits, f.kind) for f in fields_of(event)) for event in EVENTS
}
_IDS = (("trace_id", 32), ("span_id", 16), ("parent_span_id", 16))
_HEXADECIMAL = re.compile("[0-9a-f]+").fullmatch


def problem_with(line: Line) -> str | None:
    """Say what is wrong with a decoded line, or None if a recorder can use it.

    Unknown types and fields are no problem; a field that is present as `null` counts as absent.

    Returns:
        One sentence that names the field, the value and what would do.
    """
    get = line.get
    kind_of = get("type")
    if type(kind_of) is not str or not kind_of:
        return "type must be a text, got " + shown(kind_of)
    v, ts, loop = get("v"), get("ts"), get("loop")
    if v != VERSION or type(v) is not int:
        return "v must be 1, got " + shown(v)
    if type(ts) is not int or not 0 <= ts <= MAX_INTEGER:
        return "ts must be Unix nanoseconds, got " + shown(ts)
    if type(loop) is not str or not 0 < len(loop) <= MAX_TEXT:
        return "loop must be the run id, got " + shown(loop)
    for name, digits in _IDS:
        value = get(name)
        if value is not None and not (type(value) is str and len(value) == digits and _HEXADECIMAL(value)):
            return f"{name} must be {digits} lower-case hexadecimal digits, got {shown(value)}"
    for name, required, fits, kind in _CHECKS.get(kind_of, ()):
        value = get(name)
        if value is None:
            if required:
                return f"{kind_of}: {name} is missing; it must be {kind.name}"
        elif not fits(value):
            return f"{kind_of}: {name} must be {kind.name}, got {shown(value)}"
    return None
