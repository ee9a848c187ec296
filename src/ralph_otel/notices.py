"""What ralph-otel has to say to a person: one line each, through the `ralph_otel` logger.

A host that configures `logging` decides where they go; one that does not sees warnings on stderr, as Python does by
default. The same text is said once.
"""

from __future__ import annotations

import logging

logger = logging.getLogger("ralph_otel")
_MOST = 200
_said: set[str] = set()


def notice(text: str) -> None:
    """Say one line, unless it has been said or too much has been said already."""
    if text not in _said and len(_said) < _MOST:
        _said.add(text)
        logger.warning("ralph-otel: %s", text)
