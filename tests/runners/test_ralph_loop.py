"""A real ralph-loop under `ralph-otel run`."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from workplace import HANGS, WORKS, Stage, Workplace, assert_agrees, outcomes, signals_in, stop_reason

RUN = ("ralph", "run", "--agents", "claude", "--no-color")


def says(status: str, **step: Any) -> dict[str, Any]:
    """What the agent does: write its word, and change a file unless it says DONE."""
    files = {} if status == "DONE" else {"work.txt": "NUMBER"}
    return {"write": {**files, ".ralph/status": status}, **step}


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    def prepare(place: Workplace) -> None:
        (place.folder / "PROMPT.md").write_text("Do it.")
        (place.folder / ".ralphignore").write_text("account.jsonl\nhome/\nuser/\n")
        subprocess.run([made.bin / "ralph", "init"], cwd=place.folder, env=place.environment, check=True)

    made = Stage("ralph-loop", tmp_path, prepare, ("claude", "codex"))
    return made


def test_rotations_are_seen_and_the_output_is_as_without(stage: Stage) -> None:
    plan = [says("ROTATE"), says("CONTINUE", exit=3), says("DONE")]
    place = stage.same(plan, *RUN, "--max", "6")

    assert place.done.returncode == 0
    assert_agrees(place, 5)
