"""What a user wants in no signal: regular expressions, whose matches are replaced before anything is written.

They are looked for in every text that somebody else chose: names of loops, agents, models, tools, tests and errors,
labels, attributes, captured messages. Other processes get them by the variable; without it, hooks and runners that have
registered themselves ask the configuration file.

Standard library only, Python 3.9 and later.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from ralph_otel import configfile

VARIABLE = "RALPH_OTEL_REDACT"
"""Holds the expressions, one a line."""
INSTEAD = "[redacted]"
_KEPT = frozenset(
    ("v", "type", "ts", "loop", "trace_id", "span_id", "parent_span_id", "previous_trace_id", "previous_span_id",
     "outcome", "reason", "cost_source", "role"),
)  # fmt: skip
"""Fields of a line that are no free text: ids, and words from a list."""


def expressions(text: str) -> tuple[str, ...]:
    """The expressions in a text, one a line.

    Raises:
        ValueError: one of them is none; the text says why.
    """
    found = tuple(filter(None, map(str.strip, text.splitlines())))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what a future Python may read otherwise, `[[`
            for each in found:
                re.compile(each)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(str(error)) from error
    return found


def in_file(folder: str) -> tuple[str, ...]:
    """The expressions in a folder's configuration file; none where it has none, or this Python cannot read it."""
    found = configfile.find(folder)
    if found is None or "redact" not in found[2]:
        return ()
    try:
        wanted = configfile.values(found[2], found[1]).get("redact", ())
        return expressions(wanted if isinstance(wanted, str) else "\n".join(map(str, wanted)))
    except (ImportError, ValueError, TypeError, RecursionError):  # whoever reads the rest of it says so
        return ()


class _Redaction:
    def __init__(self) -> None:
        self.patterns: tuple[re.Pattern[str], ...] = ()
        with suppress(ValueError):  # the configuration says so
            self.use(expressions(os.environ.get(VARIABLE, "")))

    def use(self, wanted: Iterable[str]) -> None:
        self.patterns = tuple(map(re.compile, wanted))

    def value(self, value: Any) -> Any:
        if isinstance(value, str):
            for pattern in self.patterns:
                value = pattern.sub(INSTEAD, value)
        elif isinstance(value, dict):
            return {self.value(key): self.value(item) for key, item in value.items()}
        return value


_redaction = _Redaction()


def use(wanted: Iterable[str] | None) -> None:
    """Look for these expressions from now on, in this process; None changes nothing."""
    if wanted is not None:
        _redaction.use(wanted)


def use_configured(folder: str) -> None:
    """Look for what the variable or else the configuration file of a folder says, where nobody else has read that."""
    if not _redaction.patterns:
        _redaction.use(in_file(folder))


def environment() -> dict[str, str]:
    """What a process must find in its environment to look for the same."""
    wanted = "\n".join(pattern.pattern for pattern in _redaction.patterns)
    return {VARIABLE: wanted} if wanted else {}


def redacted(line: dict[str, Any]) -> dict[str, Any]:
    """A line without what is to be in no signal; the line itself where nothing is."""
    if not _redaction.patterns:
        return line
    return {name: value if name in _KEPT else _redaction.value(value) for name, value in line.items()}


def redacted_text(text: str) -> str:
    """A text without what is to be in no signal."""
    found: str = _redaction.value(text)
    return found
