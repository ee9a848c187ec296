"""Values that an agent printed, checked.

An agent's output is outside data: any field may be missing, of another type, too long, or hold what a terminal would
obey. Every function here takes anything and gives a value that an event can carry, or None.
"""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Mapping
from typing import Any, TypeVar

from ralph_otel.events import MAX_INTEGER, MAX_TEXT

MAX_REMEMBERED = 4096
"""The most ids that a parser keeps of one kind; the oldest are forgotten."""

_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,79}")
_K = TypeVar("_K", bound=Hashable)
_V = TypeVar("_V")


def text(value: Any) -> str | None:
    """A name: printable characters only, at most MAX_TEXT of them."""
    if not isinstance(value, str):
        return None
    return "".join(filter(str.isprintable, value[: 4 * MAX_TEXT])).strip()[:MAX_TEXT] or None


def identifier(value: Any) -> str | None:
    """An id to match records by, as the agent wrote it."""
    return value if isinstance(value, str) and 0 < len(value) <= MAX_TEXT else None


def code(value: Any) -> str | None:
    """The class of an error, like `error_max_turns` or `APIError`; nothing that could be a message."""
    return value if isinstance(value, str) and _CODE.fullmatch(value) else None


def count(value: Any) -> int | None:
    """A whole number of 0 or more."""
    return value if type(value) is int and 0 <= value <= MAX_INTEGER else None


def amount(value: Any) -> float | None:
    """A finite number of 0 or more."""
    if type(value) is int:
        return float(value) if 0 <= value <= MAX_INTEGER else None
    return value if type(value) is float and math.isfinite(value) and 0 <= value <= 1e300 else None


def mapping(value: Any) -> dict[str, Any]:
    """A JSON object; an empty one in place of anything else."""
    return value if isinstance(value, dict) else {}


def records(value: Any) -> list[dict[str, Any]]:
    """The objects of a JSON array."""
    return [member for member in value if isinstance(member, dict)] if isinstance(value, list) else []


def remember(memory: dict[_K, _V], key: _K, value: _V, limit: int = MAX_REMEMBERED) -> tuple[_K, _V] | None:
    """Put a key last into a dict that keeps only the latest.

    Returns:
        The entry that had to go for it, if any.
    """
    memory.pop(key, None)
    memory[key] = value
    if len(memory) <= limit:
        return None
    oldest = next(iter(memory))
    return oldest, memory.pop(oldest)


class Totals:
    """Turns running totals into what was added since the last one.

    One object may outlive a parser: agents that resume a conversation go on with its totals in their next process.
    Used by one thread at a time.
    """

    def __init__(self) -> None:
        self._seen: dict[tuple[str, ...], dict[str, Any]] = {}

    def added(self, whose: tuple[str, ...], now: Mapping[str, Any]) -> dict[str, Any]:
        """What each of the numbers has grown by since they were last given for the same key.

        A number that has fallen by more than rounding means that the agent counts anew: all of them are new then.
        Nothing but zeros means nothing: agents print them where they have no numbers.
        """
        if not any(now.values()):
            return dict(now)
        before = self._seen.get(whose, {})
        if any(before[name] - now[name] > 1e-9 for name in now if name in before):
            before = {}
        remember(self._seen, whose, {**before, **now})
        return {name: max(type(value)(0), value - before.get(name, 0)) for name, value in now.items()}
