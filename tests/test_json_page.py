"""`docs/json.md`: what it says of the commands' JSON is all there is in it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.shown import put, rich

PAGE = (Path(__file__).parent.parent / "docs" / "json.md").read_text(encoding="utf-8")
COMMANDS = dict(re.findall(r"^## `ralph-otel ([^`]+)`\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE))


def keys(section: str) -> set[str]:
    """The keys that a section's table has."""
    firsts = re.findall(r"^\| (`[^|]+) \|", section, re.MULTILINE)
    return {key for first in firsts for key in re.findall(r"`(\w+)`", first)}


def printed(command: str) -> Any:
    """What a command prints."""
    words = [sys.executable, "-m", "ralph_otel", *command.split()]
    return json.loads(subprocess.run(words, capture_output=True, check=True, timeout=60).stdout)


def test_all_commands_with_json_are_on_it() -> None:
    assert set(COMMANDS) == {"runs --json", "doctor --json", "report --format json"}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_key_is_explained_and_there_is_no_other(
    command: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RALPH_OTEL_EXPORT_FORMAT", "none")
    put(home, rich())
    (home / "runs").chmod(0o700)
    answer = printed(command)
    assert set(answer[0] if isinstance(answer, list) else answer) == keys(COMMANDS[command])


def test_a_finding_has_what_is_said_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RALPH_OTEL_EXPORT_FORMAT", "none")
    findings = printed("doctor --json")["findings"]
    assert {key for finding in findings for key in finding} == {"check", "level", "text", "remedy"}
    assert {finding["level"] for finding in findings} <= {"ok", "warning", "problem"}
