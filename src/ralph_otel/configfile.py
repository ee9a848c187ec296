"""The configuration file: which it is, and what is in it.

Standard library only; Python 3.9 and 3.10 cannot read it, for they know no TOML. Hooks come by here, so it is quick.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Found = tuple[str, tuple[str, ...], str]

_FILES: tuple[tuple[str, tuple[str, ...]], ...] = (("ralph-otel.toml", ()), ("pyproject.toml", ("tool", "ralph-otel")))
"""The files, and where our table is in them. The first one there is counts, the second if it speaks of us."""
_LIMIT = 1 << 20
"""Bytes of a file; a longer one is no configuration."""


def find(folder: str) -> Found | None:
    """The configuration file of a folder: its name, where our table is in it, and its text; None if there is none."""
    for name, table in _FILES:
        try:
            with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as file:  # noqa: PTH118, PTH123
                text = file.read(_LIMIT)
        except OSError:
            continue
        if not table or "ralph-otel" in text:
            return name, table, text
    return None


def values(text: str, table: tuple[str, ...]) -> dict[str, Any]:
    """What our table in a file's text says.

    Raises:
        ImportError: this Python knows no TOML.
        ValueError: it is not TOML; the text says why. RecursionError: it is too deep.
    """
    import tomllib

    found: Any = tomllib.loads(text)
    for key in table:
        found = found.get(key, {}) if isinstance(found, dict) else {}
    return found if isinstance(found, dict) else {}
