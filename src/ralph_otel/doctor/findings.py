"""What a check has to say."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from ralph_otel.config import MetricsConfig
from ralph_otel.notices import public
from ralph_otel.wording import printable


class Level(StrEnum):
    """How a finding is to be taken."""

    OK = "ok"
    WARNING = "warning"
    """Something is not as it should be, and most works."""
    PROBLEM = "problem"
    """Something that is asked for does not work."""


@dataclass(frozen=True)
class Finding:
    """One line.

    Args:
        level: how it is to be taken.
        text: what was found; what may be secret in it is taken out, and what a terminal would obey is spelt.
        remedy: what to do about it; "" where nothing is to be done.
    """

    level: Level
    text: str
    remedy: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", printable(public(self.text)))
        object.__setattr__(self, "remedy", printable(self.remedy))


@dataclass(frozen=True)
class Subject:
    """What is examined.

    Args:
        config: the configuration, as a loop that starts here and now would have it.
        notices: what was wrong with it, a line each.
    """

    config: MetricsConfig
    notices: tuple[str, ...] = ()


Check = Callable[[Subject], Iterable[Finding]]
"""Looks at one thing. Whatever it raises becomes a finding; what it yielded before stays."""


def ok(text: str) -> Finding:
    """All is well."""
    return Finding(Level.OK, text)


def warning(text: str, remedy: str) -> Finding:
    """Something is not as it should be."""
    return Finding(Level.WARNING, text, remedy)


def problem(text: str, remedy: str) -> Finding:
    """Something does not work."""
    return Finding(Level.PROBLEM, text, remedy)
