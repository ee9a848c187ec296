"""One parser an agent, for the machine-readable formats of its output.

The parser watches the bytes that an agent prints while they are passed on unchanged, and says what happened: usage,
context, tool calls, and how the agent says it ended.
"""

from __future__ import annotations

import time
from pathlib import PureWindowsPath

from ralph_otel.agents.claude import ClaudeParser
from ralph_otel.agents.codex import CodexParser
from ralph_otel.agents.gemini import GeminiParser
from ralph_otel.agents.opencode import OpencodeParser
from ralph_otel.agents.parser import Clock, OutputParser
from ralph_otel.agents.values import Totals

__all__ = ["PARSERS", "OutputParser", "Totals", "agent_name", "parser_for"]

PARSERS: dict[str, type[OutputParser]] = {
    "claude": ClaudeParser,
    "codex": CodexParser,
    "gemini": GeminiParser,
    "opencode": OpencodeParser,
}
"""The agents whose output is understood, by the name of their command."""


def agent_name(command: str) -> str:
    """The name of an agent from its command: the file's name without folder and extension, in lower case."""
    return PureWindowsPath(command).stem.lower()  # a Windows path may be separated by / as well


def parser_for(agent: str, clock: Clock = time.monotonic, totals: Totals | None = None) -> OutputParser | None:
    """A new parser for one process of an agent.

    Args:
        agent: the agent's name, or its command's first word.
        clock: seconds, for the duration of tool calls.
        totals: the same object for every process of a loop, so that the usage of a conversation that an agent
            resumes is not counted again (see `Totals`).

    Returns:
        The parser, or None where the agent's output is not understood.
    """
    parser = PARSERS.get(agent_name(agent))
    return parser(clock, totals) if parser is not None else None
