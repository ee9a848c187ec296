"""Which parser an agent's command gets."""

from __future__ import annotations

import pytest

from ralph_otel.agents import PARSERS, agent_name, parser_for


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("claude", "claude"),
        ("/usr/local/bin/claude", "claude"),
        ("./codex", "codex"),
        ("node_modules/.bin/gemini", "gemini"),
        (r"C:\Users\me\AppData\Roaming\npm\claude.cmd", "claude"),
        ("Codex.EXE", "codex"),
        ("opencode.exe", "opencode"),
    ],
)
def test_a_command_names_its_agent_whatever_its_folder_and_extension(command: str, name: str) -> None:
    assert agent_name(command) == name
    assert type(parser_for(command)) is PARSERS[name]


@pytest.mark.parametrize("command", ["", "aider", "claude-wrapper", "/", "python3 claude"])
def test_an_unknown_agent_has_no_parser(command: str) -> None:
    assert parser_for(command) is None


def test_every_process_gets_a_parser_of_its_own() -> None:
    assert parser_for("claude") is not parser_for("claude")
