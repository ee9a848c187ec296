"""Characters that are no text: what a terminal would obey instead of showing it, and halves of characters.

Names come from anywhere: a file, an agent, another program. Spelled out (`\\x1b`), such a character may be in a label,
a line of a table, or a page. Standard library only, Python 3.9 and later.
"""

from __future__ import annotations

import re
from typing import Any

_OBEYED = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Controls, what separates lines, what turns the direction of writing, and surrogates."""


def spelled_out(text: str) -> str:
    """The text with such characters as Python writes them; half a one, which nothing can carry, is U+FFFD."""
    return _OBEYED.sub(_spelling, text) if _OBEYED.search(text) else text


def _spelling(found: re.Match[str]) -> str:
    character = found[0]
    return "\ufffd" if "\ud800" <= character <= "\udfff" else ascii(character)[1:-1]


def all_spelled_out(value: Any) -> Any:
    """The same value with every text in it, keys included, spelled out."""
    if isinstance(value, str):
        return spelled_out(value)
    if isinstance(value, dict):
        return {all_spelled_out(key): all_spelled_out(item) for key, item in value.items()}
    if isinstance(value, list):
        return [all_spelled_out(item) for item in value]
    return value
