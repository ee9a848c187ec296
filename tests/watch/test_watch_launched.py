"""Runners that are seen by their files, below `ralph-otel run`: watched by themselves, and counted once."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from runners_with_files import PROGRAMS, install, install_agent

from ralph_otel.events import Line
from ralph_otel.runs import fold
from ralph_otel.watch import commands
from ralph_otel.watch.orchestrator import Orchestrator
from ralph_otel.watch.ralph_claude_code import RalphClaudeCode
from ralph_otel.watch.ralph_tui import RalphTui
from support import patient
from support.seen import assert_known, signals_of
from support.tape import lines_of
from support.waiting import until

COMMAND = [sys.executable, "-m", "ralph_otel"]
BEFORE = 86400
"""Seconds that a run of yesterday is older."""


class Place:
    """A project in which a runner works, and where it is installed."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.installed = folder / "installed"
        self.project = folder / "project"
        self.project.mkdir()
        self.home = home
        install_agent(self.installed / "bin")

    @property
    def environment(self) -> dict[str, str]:
        path = f"{self.installed / 'bin'}{os.pathsep}{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "RALPH_OTEL_EXPORT_FORMAT": "none"}

    def run(self, *command: str, **changes: str) -> subprocess.CompletedProcess[str]:
        environment = {**self.environment, **changes}
        return subprocess.run(
            command, cwd=self.project, env=environment, capture_output=True, text=True, timeout=60, check=False
        )

    def launch(self, *command: str, **changes: str) -> subprocess.CompletedProcess[str]:
        return self.run(*patient.RUN, "--", *command, **changes)

    def journals(self) -> list[Path]:
        return sorted((self.home / "runs").glob("*.jsonl"))

    def lines(self) -> list[Line]:
        """The lines of the only journal."""
        [journal] = self.journals()
        return lines_of(journal)

    def traceparents(self) -> list[str]:
        return [json.loads(line)["traceparent"] for line in (self.project / "account.jsonl").read_text().splitlines()]


@pytest.fixture
def place(tmp_path: Path, home: Path) -> Place:
    return Place(tmp_path, home)


@pytest.fixture(params=PROGRAMS)
def runner(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def iterations(lines: list[Line]) -> list[Any]:
    return [(line["iteration"], line["outcome"]) for line in lines if line["type"] == "iteration.finished"]


def test_it_is_watched_and_each_iteration_counts_once(runner: str, place: Place) -> None:
    name = install(runner, place.installed).name
    without = place.run(name, "some", "words")
    shutil.rmtree(place.project)
    place.project.mkdir()
    done = place.launch(name, "some", "words")

    assert (done.returncode, done.stdout, done.stderr) == (without.returncode, without.stdout, without.stderr)
    lines = place.lines()
    assert (lines[0]["runner"], lines[0]["name"]) == (runner, "project")
    assert iterations(lines) == [(1, "success"), (2, "success")]
    assert len(place.traceparents()) == 2
    assert lines[-1]["type"] == "loop.stopped"
    assert fold(place.journals()[0]).run.stop_reason == "completed"
    assert "SECRET" not in place.journals()[0].read_text()


def test_its_agents_are_in_the_loops_trace(runner: str, place: Place) -> None:
    outside = f"00-{'ab' * 16}-{'cd' * 8}-01"
    place.launch(install(runner, place.installed).name, TRACEPARENT=outside)

    started = place.lines()[0]
    assert (started["trace_id"], started["parent_span_id"]) == ("ab" * 16, "cd" * 8)
    traces = {line["trace_id"] for line in place.lines()}
    assert traces == {traceparent.split("-")[1] for traceparent in place.traceparents()}


def test_a_trace_that_is_not_sampled_stays_so(place: Place) -> None:
    place.launch(install("ralph-tui", place.installed).name, TRACEPARENT=f"00-{'ab' * 16}-{'cd' * 8}-00")
    assert place.lines()[0]["trace_flags"] == 0
    assert {traceparent[-2:] for traceparent in place.traceparents()} == {"00"}


def test_a_version_that_writes_other_files_is_seen_by_its_agents(runner: str, place: Place) -> None:
    done = place.launch(install(runner, place.installed, silent=True).name)

    assert done.returncode == 0
    lines = place.lines()
    assert lines[0]["runner"] == "shell"
    assert len(iterations(lines)) == len(place.traceparents()) == 2


def test_what_the_folder_has_of_earlier_runs_is_not_recorded(runner: str, place: Place) -> None:
    name = install(runner, place.installed).name
    place.run(name)
    _make_old(place.project)
    (place.project / "account.jsonl").unlink()
    place.launch(name, ITERATIONS="1")

    assert iterations(place.lines()) == [(1, "success")]
    assert len(place.traceparents()) == 1


def _make_old(project: Path) -> None:
    """Put the times in all files and their names a day back."""
    for file in project.glob(".ralph*/**/*"):
        if file.is_file():
            file.write_text(_DAY.sub(_day_before, file.read_text()))
            os.utime(file, (time.time() - BEFORE,) * 2)
            file.rename(file.with_name(_DAY.sub(_day_before, file.name)))


_DAY = re.compile(r"(?<!\d)20\d\d(-?)[01]\d-?[0-3]\d(?=[T_-])")


def _day_before(found: re.Match[str]) -> str:
    day = date.fromisoformat(found[0]) - timedelta(seconds=BEFORE)
    return day.strftime(f"%Y{found[1]}%m{found[1]}%d")


def test_a_runner_that_ends_without_saying_so_is_ended(runner: str, place: Place) -> None:
    done = place.launch(install(runner, place.installed).name, "--dies")

    assert done.returncode == 3
    assert iterations(place.lines()) == [(1, "success"), (2, "success")]
    assert fold(place.journals()[0]).run.stop_reason == "error"


def test_where_a_watch_runs_already_the_loop_is_counted_once(place: Place) -> None:
    name = install("ralph-tui", place.installed).name
    watch = subprocess.Popen(
        [*COMMAND, "watch", "."], cwd=place.project, env=place.environment, stderr=subprocess.PIPE, text=True
    )
    try:
        assert watch.stderr is not None
        assert "waiting" in watch.stderr.readline()
        done = place.launch(name)
        until(lambda: place.journals() and place.lines()[-1]["type"] == "loop.stopped", what="for the loop's end")
    finally:
        watch.terminate()
        watch.communicate(timeout=60)
    assert "another ralph-otel watches" in done.stderr
    assert iterations(place.lines()) == [(1, "success"), (2, "success")]


VERSIONS = {"ralph-orchestrator": "2.10.1", "ralph-claude-code": "0.11.5"}
"""Those whose files the stand-ins write. ralph-tui itself is in `test_real_ralph_tui`."""


@pytest.mark.parametrize("name", VERSIONS)
def test_what_is_seen_is_what_the_table_says(name: str, place: Place) -> None:
    place.launch(install(name, place.installed).name)
    assert_known("others", f"{name} {VERSIONS[name]} ¹", signals_of(place.lines(), place.traceparents()))


# -- which runner a command is -----------------------------------------------------------------------------------------

FORMATS = {"ralph-orchestrator": Orchestrator, "ralph-tui": RalphTui, "ralph-claude-code": RalphClaudeCode}


def test_a_command_is_known_by_what_it_resolves_to(runner: str, tmp_path: Path) -> None:
    command = install(runner, tmp_path)
    path = str(command.parent)
    for words in (
        [command.name],
        [str(command), "run"],
        ["timeout", "5", command.name],
        ["env", "A=b", command.name],
        ["bash", "-c", "x", str(command)],
    ):
        assert commands.known(words, path) is FORMATS[runner], words


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["npx", "ralph-tui", "run"], RalphTui),
        (["npx", "-y", "ralph-tui@0.12.0"], RalphTui),
        (["bunx", "ralph-tui"], RalphTui),
        (["npm", "exec", "@ralph-orchestrator/ralph-cli@latest", "run"], Orchestrator),
        (["pnpm", "dlx", "@ralph-orchestrator/ralph-cli"], Orchestrator),
        (["ralph-tui"], None),
        (["npx", "another"], None),
        (["echo", "ralph-tui"], None),
    ],
)
def test_a_package_that_is_fetched_is_known_by_its_name(words: list[str], expected: object) -> None:
    assert commands.known(words, "/nonexistent") is expected


@pytest.mark.parametrize(
    "content",
    [
        b"#!/bin/bash\nwhile :; do claude -p < PROMPT.md; done\n",
        f"#!{sys.executable}\nfrom ralph.cli import main\n".encode(),
        b"\x7fELF and nothing that is known",
        b"#!/bin/sh",
        b"",
        bytes(range(256)),
    ],
)
def test_another_command_of_that_name_is_not_taken_for_one(content: bytes, tmp_path: Path) -> None:
    command = tmp_path / "ralph"
    command.write_bytes(content)
    command.chmod(0o755)
    assert commands.known(["ralph", "run", "\0", "x" * 5000], str(tmp_path)) is None


def test_a_program_that_was_compiled_is_known_by_its_events(tmp_path: Path) -> None:
    command = tmp_path / "ralph"
    command.write_bytes(b"\x7fELF" + bytes(5000) + b"...iteration.summary...")
    command.chmod(0o755)
    assert commands.known(["ralph"], str(tmp_path)) is Orchestrator


def test_the_folder_is_where_an_option_says() -> None:
    here = Path("/here")
    assert commands.folder(["ralph-tui", "run"], here) == here
    assert commands.folder(["ralph-tui", "run", "--cwd", "there"], here) == Path("/here/there")
    assert commands.folder(["ralph-tui", "run", "--cwd=/there"], here) == Path("/there")
