"""A JSON text that is changed where its value changes, and keeps its form everywhere else.

Standard library only, Python 3.9 and later.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

_BLANK = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


class _Part(NamedTuple):
    """A member of an object, or an item of an array: its key (its number), and where it, its value and its end are."""

    key: Any
    start: int
    value: int
    end: int


def rewritten(text: str, new: Any, step: str, line_end: str = "\n", level: int = 0) -> str:
    """The text of a JSON value, changed to say another one.

    Members are taken out and put at the end, as are an array's items; every other change writes the value anew.

    Args:
        text: the value's text, without blanks around it.
        new: what it is to say.
        step: what a level is indented by.
        line_end: what ends a line.
        level: how deep it is in its file.
    """
    old = json.loads(text)
    if old == new:
        return text
    if type(old) is not type(new) or not isinstance(old, (dict, list)):
        return _dumped(new, step, line_end, level)
    wanted = _matched(old, new) if isinstance(old, list) else new
    for part in reversed(_parts(text)):
        if part.key not in wanted:
            text = _without(text, part)
        else:
            value = rewritten(text[part.value : part.end], wanted[part.key], step, line_end, level + 1)
            text = text[: part.value] + value + text[part.end :]
    known = {part.key for part in _parts(text)} if isinstance(new, dict) else set(range(len(old)))
    for key, value in wanted.items():
        if key not in known:
            name = f"{json.dumps(key, ensure_ascii=False)}: " if isinstance(new, dict) else ""
            text = _with(text, name + _dumped(value, step, line_end, level + 1), step, line_end, level)
    return text


def _matched(old: list[Any], new: list[Any]) -> dict[int, Any]:
    """What is to become of an array's items, by number; new ones have numbers from its length on."""
    if len(old) == len(new):
        return dict(enumerate(new))
    wanted: dict[int, Any] = {}
    left = list(new)
    for number, item in enumerate(old):
        if left and item == left[0]:
            wanted[number] = left.pop(0)
    return {**wanted, **{len(old) + number: item for number, item in enumerate(left)}}


def _parts(text: str) -> list[_Part]:
    """The parts of an object or an array."""
    parts: list[_Part] = []
    at = _skip(text, 1)
    while text[at] not in "}]":
        start, key = at, len(parts)
        if text[0] == "{":
            key, at = _DECODER.raw_decode(text, at)
            at = _skip(text, _skip(text, at) + 1)  # the colon
        _, end = _DECODER.raw_decode(text, at)
        parts.append(_Part(key, start, at, end))
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)
    return parts


def _skip(text: str, at: int) -> int:
    found = _BLANK.match(text, at)
    assert found is not None, "it matches nothing as well"
    return found.end()


def _without(text: str, part: _Part) -> str:
    parts = _parts(text)
    at = [each.start for each in parts].index(part.start)
    if len(parts) == 1:
        return text[0] + text[-1]
    if at:
        return text[: parts[at - 1].end] + text[part.end :]
    return text[: part.start] + text[parts[1].start :]


def _with(text: str, said: str, step: str, line_end: str, level: int) -> str:
    """With a part more, at its end."""
    parts, line = _parts(text), line_end + step * (level + 1)
    if not parts:
        return f"{text[0]}{line}{said}{line_end}{step * level}{text[-1]}"
    end = parts[-1].end
    return f"{text[:end]},{line}{said}{text[end:]}"


def _dumped(value: Any, step: str, line_end: str, level: int) -> str:
    text = json.dumps(value, indent=step, ensure_ascii=False)
    return text.replace("\n", line_end + step * level)
