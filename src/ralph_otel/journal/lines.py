"""A line of the journal as bytes and as an event's dict, both ways."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from operator import index
from typing import Any

from ralph_otel.escapes import all_spelled_out
from ralph_otel.events import Line, problem_with
from ralph_otel.notices import shown
from ralph_otel.redaction import redacted


class BadLine(ValueError):
    """A journal line that cannot be used; the text says why."""


def encode(line: Line) -> bytes:
    """A line as the journal holds it, without its end. What JSON does not know becomes a number, or null."""
    line = redacted(line)
    try:
        return "".join(_ENCODE(line, 0)).encode("ascii")
    except (TypeError, ValueError, RecursionError):
        return "".join(_ENCODE(_plain(line), 0)).encode("ascii")


def _plain(value: Any, depth: int = 0) -> Any:
    """The same with everything that JSON does not know turned into numbers or left out (as null)."""
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, dict) and depth < 4:
        return {str(key): _plain(item, depth + 1) for key, item in value.items()}
    for convert in (index, float):
        try:
            number = convert(value)
        except Exception:  # noqa: BLE001 — a foreign object, a tensor say, raises what it likes
            continue
        if isinstance(number, int) or number - number == 0:  # NaN and the infinities fail this
            return number
    return None


def _encoder() -> Callable[[Line, int], Iterable[str]]:
    """JSON without spaces. The C encoder behind `JSONEncoder` is made once; `encode` would make one for every line."""
    plain = json.JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False)
    make: Any = getattr(json.encoder, "c_make_encoder", None)
    try:
        fast: Callable[[Line, int], Iterable[str]] = make(
            None, plain.default, json.encoder.encode_basestring_ascii, None, ":", ",", False, False, False
        )
    except TypeError:  # another Python: there is none, or it wants other arguments
        return lambda line, level: (plain.encode(line),)
    return fast


_ENCODE = _encoder()


def _no_constant(name: str) -> float:
    raise BadLine(f"{name} is not a JSON number")


_DECODE = json.JSONDecoder(parse_constant=_no_constant).raw_decode


def decode(raw: bytes) -> Line:
    """One line as an event's dict, checked; what a terminal would obey is spelled out in its texts.

    Raises:
        BadLine: it is not JSON, not an object, or a field is not what the protocol says.
    """
    try:
        text = raw.decode().strip()
        line, end = _DECODE(text)
    except BadLine:
        raise
    except (ValueError, RecursionError) as error:
        raise BadLine(f"not a line of JSON: {shown(raw[:40])}") from error
    if end != len(text):
        raise BadLine(f"more than one value in a line: {shown(raw[:40])}")
    if type(line) is not dict:
        raise BadLine(f"a line must be an object, got {shown(line)}")
    if problem := problem_with(line):
        raise BadLine(problem)
    if "\\" in text or "\x7f" in text or not text.isascii():  # else there is nothing that could be obeyed
        line = all_spelled_out(line)
    checked: Line = redacted(line)  # it may be another program's, or older than what the user wants
    return checked
