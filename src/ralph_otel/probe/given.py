"""What a caller gives, as an event may carry it: labels, errors. Nothing here raises, whatever it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ralph_otel.events import MAX_INTEGER, MAX_TEXT, OUTCOMES
from ralph_otel.notices import notice, shown


def labels_of(given: Any, what: str) -> dict[str, Any] | None:
    """Labels or attributes as an event may carry them; what else there is is left out, with a notice."""
    if given is not None and not isinstance(given, Mapping):
        notice(f"{what}: a {type(given).__name__} will not do; it must be a mapping; it is left out")
        given = None
    kept: dict[str, Any] = {}
    for name, value in (given or {}).items():
        if isinstance(value, str) or (isinstance(value, (int, float)) and abs(value) <= MAX_INTEGER):
            kept[str(name)[:MAX_TEXT]] = value
        else:
            what_would_do = "a text, a finite number, true or false"
            notice(f"{what}: {shown(name)}, a {type(value).__name__}, is left out; it must be {what_would_do}")
    return kept or None


def went_well(error: BaseException) -> bool:
    """Whether it only ends the program, as `sys.exit()` does."""
    return isinstance(error, SystemExit) and error.code in (None, 0)


def judge(error: str | BaseException) -> tuple[str, str]:
    """An error as outcome and class. A message is never taken: it may hold anything."""
    if isinstance(error, str):
        word = error[:MAX_TEXT] or "error"
        return (word if word in OUTCOMES and word != "success" else "failure"), word
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    if isinstance(error, TimeoutError) or kind.__name__ in ("TimeoutExpired", "TimeoutError"):
        return "timeout", name[:MAX_TEXT]
    if isinstance(error, (KeyboardInterrupt, GeneratorExit)) or kind.__name__ == "CancelledError":
        return "cancelled", name[:MAX_TEXT]
    return "failure", name[:MAX_TEXT]
