"""What a field of an event may hold, and how a field is declared."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

MAX_INTEGER = 2**63 - 1
"""The largest integer a line may carry: what OTLP can transport."""
MAX_TEXT = 256
"""The longest name, id or label, in characters. Longer ones are cut when emitted and refused when read."""
MAX_ENTRIES = 50_000
"""The most entries of a mapping in a line (test results, labels, attributes)."""

Labels = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """What a field may hold: how an error names it, the Python types, whether a value will do, and its JSON Schema."""

    name: str
    types: tuple[type, ...]
    fits: Callable[[Any], bool]
    schema: Mapping[str, Any]
    choices: tuple[str, ...] = ()


# What tells whether a value will do runs for every field of every line, and is written for speed.


def _is_text(value: Any) -> bool:
    return type(value) is str and 0 < len(value) <= MAX_TEXT


def _is_flag(value: Any) -> bool:
    return type(value) is bool


def _whole(least: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and least <= value <= MAX_INTEGER


def _number(least: float, most: float, most_whole: int = MAX_INTEGER) -> Callable[[Any], bool]:
    """Tells numbers between two bounds; the infinities and what is no number are outside any."""
    least_whole = max(-MAX_INTEGER, int(least))

    def fits(value: Any) -> bool:
        cls = type(value)
        return (cls is float and least <= value <= most) or (cls is int and least_whole <= value <= most_whole)

    return fits


def _one_of(choices: tuple[str, ...]) -> Callable[[Any], bool]:
    return lambda value: type(value) is str and value in choices


def _mapping(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: type(value) is dict and len(value) <= MAX_ENTRIES and all(map(fits, value.values()))


def _is_label(value: Any) -> bool:
    return type(value) in (str, bool) or _is_number(value)


_MOST = sys.float_info.max
_is_number = _number(-_MOST, _MOST)

TEXT = Kind(
    "a text of 1 to 256 characters", (str,), _is_text, {"type": "string", "minLength": 1, "maxLength": MAX_TEXT}
)
COUNT = Kind(
    "a whole number of 0 or more", (int,), _whole(0), {"type": "integer", "minimum": 0, "maximum": MAX_INTEGER}
)
NUMBER = Kind("a finite number", (int, float), _is_number, {"type": "number"})
AMOUNT = Kind("a finite number of 0 or more", (int, float), _number(0, 1e300), {"type": "number", "minimum": 0})
RATIO = Kind("a number from 0 to 1", (int, float), _number(0, 1, 1), {"type": "number", "minimum": 0, "maximum": 1})
INTEGER = Kind(
    "a whole number", (int,), _whole(-MAX_INTEGER),
    {"type": "integer", "minimum": -MAX_INTEGER, "maximum": MAX_INTEGER},
)  # fmt: skip
FLAG = Kind("true or false", (bool,), _is_flag, {"type": "boolean"})
RESULTS = Kind(
    "an object of test ids with true or false",
    (dict,),
    _mapping(_is_flag),
    {"type": "object", "maxProperties": MAX_ENTRIES, "additionalProperties": {"type": "boolean"}},
)
LABELS = Kind(
    "an object of names with texts, numbers, true or false",
    (dict,),
    _mapping(_is_label),
    {
        "type": "object",
        "maxProperties": MAX_ENTRIES,
        "additionalProperties": {"type": ["string", "number", "boolean"]},
    },
)


def one_of(*choices: str) -> Kind:
    schema = {"type": "string", "enum": list(choices)}
    return Kind("one of " + ", ".join(choices), (str,), _one_of(choices), schema, choices)


def need(kind: Kind, doc: str) -> Any:
    """A field that every event of its class carries."""
    return dataclasses.field(metadata={"kind": kind, "doc": doc})


def may(kind: Kind, doc: str) -> Any:
    """A field that may be absent."""
    return dataclasses.field(default=None, metadata={"kind": kind, "doc": doc})
