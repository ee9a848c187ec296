"""What ralph-otel has to say to a person: one line each, through the `ralph_otel` logger.

A host that configures `logging` decides where they go; one that does not sees warnings on stderr, as Python does by
default. The same text is said once.
"""

from __future__ import annotations

import logging
from typing import Any

logger = logging.getLogger("ralph_otel")
_MOST = 200
_said: set[str] = set()


def notice(text: str) -> None:
    """Say one line, unless it has been said or too much has been said already."""
    if text not in _said and len(_said) < _MOST:
        _said.add(text)
        logger.warning("ralph-otel: %s", text)


def shown(value: Any, limit: int = 60) -> str:
    """A value as an error message may show it: short, on one line, with nothing a terminal would obey."""
    if isinstance(value, (dict, list)):
        return f"{type(value).__name__} of {len(value)}"
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 128:
        return f"an integer of {value.bit_length()} bits"
    text = ascii(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
