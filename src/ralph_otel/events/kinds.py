"""What a field of an event may hold, and how a field is declared."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
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
    """What a field may hold: the Python types, its JSON Schema, and how an error names it."""

    name: str
    types: tuple[type, ...]
    schema: Mapping[str, Any]
    choices: tuple[str, ...] = ()


TEXT = Kind("a text of 1 to 256 characters", (str,), {"type": "string", "minLength": 1, "maxLength": MAX_TEXT})
COUNT = Kind("a whole number of 0 or more", (int,), {"type": "integer", "minimum": 0, "maximum": MAX_INTEGER})
NUMBER = Kind("a finite number", (int, float), {"type": "number"})
AMOUNT = Kind("a finite number of 0 or more", (int, float), {"type": "number", "minimum": 0})
RATIO = Kind("a number from 0 to 1", (int, float), {"type": "number", "minimum": 0, "maximum": 1})
INTEGER = Kind("a whole number", (int,), {"type": "integer", "minimum": -MAX_INTEGER, "maximum": MAX_INTEGER})
FLAG = Kind("true or false", (bool,), {"type": "boolean"})
RESULTS = Kind(
    "an object of test ids with true or false",
    (dict,),
    {"type": "object", "maxProperties": MAX_ENTRIES, "additionalProperties": {"type": "boolean"}},
)
LABELS = Kind(
    "an object of names with texts, numbers, true or false",
    (dict,),
    {
        "type": "object",
        "maxProperties": MAX_ENTRIES,
        "additionalProperties": {"type": ["string", "number", "boolean"]},
    },
)


def one_of(*choices: str) -> Kind:
    return Kind("one of " + ", ".join(choices), (str,), {"type": "string", "enum": list(choices)}, choices)


def need(kind: Kind, doc: str) -> Any:
    """A field that every event of its class carries."""
    return dataclasses.field(metadata={"kind": kind, "doc": doc})


def may(kind: Kind, doc: str) -> Any:
    """A field that may be absent."""
    return dataclasses.field(default=None, metadata={"kind": kind, "doc": doc})
