"""How the value of a setting is read: from an argument, a variable's text or a file.

Every reader raises ValueError with a text that says what would do: `a duration such as 10s, 1m30s or 500ms`.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

from ralph_otel.redaction import expressions


class MetricsExportFormat(StrEnum):
    """Where metrics go."""

    PROMETHEUS = "prometheus"
    OTLP = "otlp"
    CONSOLE = "console"
    JSON = "json"
    STATSD = "statsd"
    NONE = "none"


def seconds(value: Any) -> float:
    """A duration as seconds: a number, or a text such as `10s`, `1m30s`, `500ms`, `1.5h`.

    Raises:
        ValueError: it is neither, or negative.
    """
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            try:
                import durationpy

                value = durationpy.from_str(value.strip()).total_seconds()
            except Exception as error:
                raise ValueError("a duration such as 10s, 1m30s or 500ms") from error
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not (0 <= value <= sys.float_info.max):
        raise ValueError("a duration such as 10s, 1m30s or 500ms")
    return float(value)


def size(value: Any) -> int:
    """A size as bytes: a number, or a text such as `64MiB`, `500kB`, `1GB`.

    Raises:
        ValueError: it is neither, or negative.
    """
    found = _SIZE.fullmatch(str(value).strip())
    if found is None or isinstance(value, bool):
        raise ValueError("a size such as 64MiB, 500kB or 0")
    number, unit, binary = found.groups()
    return int(float(number) * (1024 if binary else 1000) ** " KMGT".index((unit or " ").upper()))


_SIZE = re.compile(r"(\d{1,18}(?:\.\d{1,6})?)\s*(?:([KMGT])(i?))?B?", re.ASCII | re.IGNORECASE)


def interval(value: Any) -> float:
    """A duration as `seconds`, of a length at which something can be done again and again."""
    duration = seconds(value)
    if not 0.05 <= duration <= 1_000_000:
        raise ValueError("a duration from 50ms to 1000000s, such as 10s")
    return duration


def flag(value: Any) -> bool:
    """A truth value, or a word for one."""
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in ("true", "1", "yes", "on"):
        return True
    if word in ("false", "0", "no", "off"):
        return False
    raise ValueError("true or false")


def prefix(value: Any) -> str:
    """How names of metrics may begin."""
    name = str(value)
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9_.]{0,63}", name) is None:
        raise ValueError("a letter followed by letters, digits, '_' or '.', such as ralph_loop")
    return name


def buckets(value: Any) -> tuple[float, ...]:
    """Bounds of a histogram, growing, in seconds: numbers, or a text with commas."""
    try:
        bounds = tuple(float(item) for item in (value.split(",") if isinstance(value, str) else value))
    except (TypeError, ValueError, OverflowError):
        bounds = ()
    if not bounds or len(bounds) > 200 or not all(map(math.isfinite, bounds)) or sorted(set(bounds)) != list(bounds):
        raise ValueError("growing upper bounds in seconds, such as 0.1,1,10,60")
    return bounds


def formats(value: Any) -> tuple[MetricsExportFormat, ...]:
    """One format or several, each once; `none` beside others says nothing."""
    items: Sequence[Any] = value.split(",") if isinstance(value, str) else value if _is_list(value) else [value]
    known = ", ".join(MetricsExportFormat)
    try:
        chosen = tuple(dict.fromkeys(MetricsExportFormat(str(item).strip().lower()) for item in items))
    except ValueError as error:
        raise ValueError(f"one or several of {known}") from error
    if not chosen:
        raise ValueError(f"one or several of {known}")
    return tuple(f for f in chosen if f is not MetricsExportFormat.NONE) if len(chosen) > 1 else chosen


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _whole(value: Any, least: int) -> int:
    try:
        number = int(str(value))
    except ValueError:
        number = -1
    if not least <= number <= 10_000_000:
        raise ValueError(f"a whole number from {least} to 10000000")
    return number


def count(value: Any) -> int:
    """A whole number from 1."""
    return _whole(value, 1)


def most(value: Any) -> int:
    """A whole number from 0."""
    return _whole(value, 0)


def text(value: Any) -> str:
    """A text of one line."""
    line = str(value).strip()
    if not line or len(line) > 1024 or not line.isprintable():
        raise ValueError("a text of 1 to 1024 printable characters")
    return line


def path(value: Any) -> Path:
    """A file's or folder's path; `~` is the user's home."""
    try:
        return Path(text(value)).expanduser()
    except RuntimeError as error:
        raise ValueError("a folder; there is no user of that name") from error


def patterns(value: Any) -> tuple[str, ...]:
    """Regular expressions: a list, or a text with one a line."""
    try:
        found = expressions("\n".join(map(str, value)) if _is_list(value) else str(value))
    except ValueError as error:
        raise ValueError(f"regular expressions, one a line ({error})") from error
    if not found:
        raise ValueError("regular expressions, one a line, such as sk-[A-Za-z0-9]+")
    return found


def hosts(value: Any) -> tuple[str, ...]:
    """Names of hosts, in lower case: a list, or a text with commas."""
    items = value.split(",") if isinstance(value, str) else value if _is_list(value) else ()
    names = tuple(dict.fromkeys(str(item).strip().lower().rstrip(".") for item in items))
    if not names or not all(re.fullmatch(r"[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_])?", name) for name in names):
        raise ValueError("names of hosts with commas between them, such as loops.example.com,build-7")
    return names
