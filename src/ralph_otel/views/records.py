"""What a `History` keeps of a run: its iterations and reboots, and what adds up for a tool, an agent, a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Tests:
    """The counts of one run of the tests."""

    __test__: ClassVar[bool] = False  # pytest: not a test class

    passed: int
    failed: int
    skipped: int
    total: int


@dataclass(slots=True)
class Iteration:
    """One turn of the loop. None: not said."""

    number: int
    started: int | None = None
    """Unix nanoseconds."""
    ended: int | None = None
    outcome: str | None = None
    """`success`, `failure`, `timeout`, `cancelled`; None while it runs, and for ever if the loop ended first."""
    duration: float | None = None
    """Seconds."""
    error_type: str | None = None
    exit_code: int | None = None
    tests: Tests | None = None
    """The last run of the tests in it."""
    context: float | None = None
    """The fullest the context window was in it, in percent."""
    score: float | None = None
    """The last progress score, 0 to 1."""
    progress: bool | None = None
    """Whether anything measured in it was progress."""
    cost: float = 0.0
    """US dollars."""
    tokens: int = 0
    """Of all kinds together."""
    files: int = 0
    """Files changed."""
    tools: int = 0
    """Tool calls."""
    reboots: int = 0
    errors: int = 0
    """Errors raised."""


@dataclass(slots=True)
class Reboot:
    """A context that was thrown away."""

    ts: int
    """Unix nanoseconds."""
    reason: str
    iteration: int | None = None
    """The number of the iteration it was in, or came after."""
    context_percent: float | None = None
    duration: float | None = None
    """Seconds; None until it is over."""


@dataclass(slots=True)
class Calls:
    """What adds up for one tool or one agent."""

    calls: int = 0
    failures: int = 0
    """Those whose outcome was not success."""
    seconds: float = 0.0
    turns: int = 0
    """Turns of conversation, of an agent."""


@dataclass(slots=True)
class ModelUsage:
    """What adds up for one model."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_creation_tokens: int = 0
    cost: float = 0.0
    """US dollars."""
    estimated: float = 0.0
    """The part of the cost that was not reported by the agent but estimated."""

    @property
    def tokens(self) -> int:
        """Tokens of all kinds together."""
        return self.input_tokens + self.output_tokens + self.cache_read_tokens + self.cache_creation_tokens
