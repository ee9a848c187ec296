"""A line of a journal: what it carries, and the check that a recorder applies to every line it reads."""

from __future__ import annotations

import dataclasses
import math
import re
from dataclasses import dataclass
from typing import Any

from ralph_otel.events.classes import EVENTS, VERSION, Event
from ralph_otel.events.kinds import (
    COUNT,
    INTEGER,
    MAX_ENTRIES,
    MAX_INTEGER,
    MAX_TEXT,
    NUMBER,
    RATIO,
    RESULTS,
    TEXT,
    Kind,
)
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


_CHECKS: dict[str, tuple[tuple[str, bool, Kind], ...]] = {
    event.type: tuple((f.name, f.required, f.kind) for f in fields_of(event)) for event in EVENTS
}
_IDS = (("trace_id", 32), ("span_id", 16), ("parent_span_id", 16))
_HEXADECIMAL = re.compile("[0-9a-f]+").fullmatch


def problem_with(line: Line) -> str | None:
    """Say what is wrong with a decoded line, or None if a recorder can use it.

    Unknown types and fields are no problem; a field that is present as `null` counts as absent.

    Returns:
        One sentence that names the field, the value and what would do.
    """
    kind_of = line.get("type")
    if type(kind_of) is not str or not kind_of:
        return "type must be a text, got " + shown(kind_of)
    if line.get("v") != VERSION or type(line["v"]) is not int:
        return "v must be 1, got " + shown(line.get("v"))
    ts, loop = line.get("ts"), line.get("loop")
    if type(ts) is not int or not 0 <= ts <= MAX_INTEGER:
        return "ts must be Unix nanoseconds, got " + shown(ts)
    if type(loop) is not str or not 0 < len(loop) <= MAX_TEXT:
        return "loop must be the run id, got " + shown(loop)
    for name, digits in _IDS:
        value = line.get(name)
        if value is not None and not (type(value) is str and len(value) == digits and _HEXADECIMAL(value)):
            return f"{name} must be {digits} lower-case hexadecimal digits, got {shown(value)}"
    return _problem_with_fields(kind_of, line)


def _problem_with_fields(type_: str, line: Line) -> str | None:
    for name, required, kind in _CHECKS.get(type_, ()):
        value = line.get(name)
        if value is None:
            if required:
                return f"{type_}: {name} is missing; it must be {kind.name}"
        elif not _fits(value, kind):
            return f"{type_}: {name} must be {kind.name}, got {shown(value)}"
    return None


def _fits(value: Any, kind: Kind) -> Any:
    """Whether a value is of a kind. Written for speed: it runs for every field of every line."""
    cls: type = type(value)
    if cls not in kind.types:
        return False
    if cls is str:
        return value in kind.choices if kind.choices else 0 < len(value) <= MAX_TEXT
    if cls is int:
        if kind is NUMBER or kind is INTEGER:
            return -MAX_INTEGER <= value <= MAX_INTEGER
        return 0 <= value <= (1 if kind is RATIO else MAX_INTEGER)
    if cls is float:
        if kind is NUMBER:
            return math.isfinite(value)
        return 0.0 <= value <= (1.0 if kind is RATIO else 1e300)
    if cls is dict:
        return _mapping_fits(value, bool_only=kind is RESULTS)
    return True


def _mapping_fits(mapping: dict[Any, Any], bool_only: bool) -> bool:
    if len(mapping) > MAX_ENTRIES:
        return False
    if bool_only:
        return all(type(value) is bool for value in mapping.values())
    return all(
        type(value) in (str, bool)
        or (type(value) is int and -MAX_INTEGER <= value <= MAX_INTEGER)
        or (type(value) is float and math.isfinite(value))
        for value in mapping.values()
    )
