"""What a user may ask of the embedded runner, and the check of it.

Values are checked where they are made, so that a loop never starts on a wish that cannot be met.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ralph_otel.notices import shown


class OptionError(ValueError):
    """A value that will not do.

    Args:
        option: the field of `LoopOptions` that holds it.
        problem: what is wrong and what would do, on one line.
    """

    def __init__(self, option: str, problem: str) -> None:
        super().__init__(f"{option}: {problem}")
        self.option = option
        self.problem = problem


@dataclass(frozen=True, kw_only=True)
class LoopOptions:
    """How to run a loop. Durations are seconds.

    Raises:
        OptionError: a value will not do.
    """

    command: Sequence[str]
    """The agent's command and its arguments."""
    prompt: Path = Path("PROMPT.md")
    """The file whose content the agent gets on its standard input; read anew for every iteration."""
    name: str | None = None
    """The loop's name; that of the working directory by default."""
    agent: str | None = None
    """The agent's name, where the command's does not tell: it says how the output is read."""

    max_iterations: int | None = None
    max_duration: float | None = None
    """An iteration that is under way then is ended."""
    max_cost: float | None = None
    """US dollars, as the agent reports them."""
    timeout: float | None = None
    """The longest that an agent may take in one iteration."""
    grace: float = 5.0
    """How long a process that is asked to end may take before it is killed."""
    delay: float = 0.0
    """How long to wait between two iterations."""

    test: str | None = None
    """A shell command that runs the tests, after each iteration."""
    junit: Path | None = None
    """The JUnit XML report, or the folder of them, that the test command writes."""
    test_timeout: float | None = None
    """The longest that the test command, and the goal's command, may take."""
    keep_going: bool = False
    """Whether to go on when all tests pass."""

    until_file: Path | None = None
    until_output: str | None = None
    """A regular expression, searched for in each line of the agent's standard output."""
    until_command: str | None = None
    """A shell command that says, with exit code 0, that the goal is reached."""
    max_failures: int = 5
    """So many failing iterations in a row end the loop; 0: never."""
    max_failure_streak: int | None = None
    """So many test runs in a row with any failure end the loop."""
    max_no_progress: int | None = None
    """So many iterations in a row without progress end the loop."""

    resume_args: Sequence[str] = ()
    """What to add to the agent's command so that it goes on with its session. Empty: each iteration is a session."""
    redline: float = 85.0
    """A context that is filled to so many percent, or more, is given up."""
    reboot_output: str | None = None
    """A regular expression: a line of the agent's output that asks for a fresh context."""
    reboot_after: int | None = None
    """The most iterations of a session."""
    reboot_after_duration: float | None = None
    """The longest time of a session, after which no further iteration begins in it."""

    verbose: bool = False
    """Whether the output of the test command is shown."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value, check = getattr(self, field.name), _CHECKS.get(field.name)
            if check is not None and value is not None and not check.holds(value):
                raise OptionError(field.name, f"{shown(value)} will not do; it must be {check.remedy}")
        for option, needed in _NEEDED.items():
            if getattr(self, option) is not None and not any(getattr(self, other) for other in needed):
                flags = " or ".join(f"--{other.replace('_', '-')}" for other in needed)
                raise OptionError(option, f"does nothing without {flags}; give that too, or leave it out")


@dataclass(frozen=True)
class _Check:
    """What a value must be."""

    remedy: str
    holds: Callable[[Any], bool]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value: Any, least: int = 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= 10_000_000


def _is_pattern(value: Any) -> bool:
    try:
        return isinstance(value, str) and bool(value) and re.compile(value) is not None
    except (re.error, RecursionError, OverflowError):
        return False


def _is_command(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip()) and "\0" not in value


def _are_words(value: Any) -> bool:
    words = list(value) if not isinstance(value, str) else []
    return all(isinstance(word, str) and "\0" not in word for word in words) and not isinstance(value, str)


_COUNT = _Check("a whole number from 1 to 10000000", _is_count)
_DURATION = _Check("a duration above 0, such as 90s or 1h30m", lambda value: _is_number(value) and value > 0)
_PAUSE = _Check("a duration of 0 or more, such as 5s", lambda value: _is_number(value) and value >= 0)
_PATTERN = _Check("a regular expression, such as '^OK$'", _is_pattern)
_COMMAND = _Check("a shell command, such as 'pytest -q'", _is_command)
_NAME = _Check("a text of printable characters", lambda value: str(value).isprintable() and bool(str(value).strip()))

_CHECKS = {
    "command": _Check("the agent's command, such as claude -p", lambda value: _are_words(value) and bool(value[0:1])),
    "name": _NAME,
    "agent": _NAME,
    "max_iterations": _COUNT,
    "max_duration": _DURATION,
    "max_cost": _Check("an amount of US dollars above 0, such as 2.50", lambda value: _is_number(value) and value > 0),
    "timeout": _DURATION,
    "grace": _PAUSE,
    "delay": _PAUSE,
    "test": _COMMAND,
    "test_timeout": _DURATION,
    "until_output": _PATTERN,
    "until_command": _COMMAND,
    "max_failures": _Check("a whole number, or 0 for no limit", lambda value: _is_count(value, 0)),
    "max_failure_streak": _COUNT,
    "max_no_progress": _COUNT,
    "resume_args": _Check("arguments of the agent, such as --continue", _are_words),
    "redline": _Check("a percentage above 0, such as 85", lambda value: _is_number(value) and value > 0),
    "reboot_output": _PATTERN,
    "reboot_after": _COUNT,
    "reboot_after_duration": _DURATION,
}
"""What a field's value must be, where its type does not say it all."""

_NEEDED = {
    "junit": ("test",),
    "test_timeout": ("test", "until_command"),
    "max_failure_streak": ("test",),
    "reboot_after": ("resume_args",),
    "reboot_after_duration": ("resume_args",),
}
"""Fields that mean something only beside one of others."""
