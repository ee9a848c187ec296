"""The real ralph-tui, from npm, below `ralph-otel run`, with a scripted agent."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from test_watch_launched import Place

from ralph_otel.runs import fold
from support.kept import kept
from support.seen import assert_known, signals_of

pytestmark = pytest.mark.integration

VERSION = "0.11.0"
PACKAGES = (f"ralph-tui@{VERSION}", "bun@1.4.5")
STORY = {
    "title": "one", "description": "SECRET", "acceptanceCriteria": ["a"], "priority": 1, "passes": False, "notes": "",
    "dependsOn": [],
}  # fmt: skip
RUN = ("ralph-tui", "run", "--headless", "--no-setup", "--prd", "prd.json", "--agent", "claude", "--iterations", "4")


def installed() -> Path:
    """The folder of its commands and of what executes them; the test is skipped where they cannot be installed."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("there is no npm")

    def make(folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        options = ("--ignore-scripts", "--no-audit", "--no-fund", "--silent")
        done = subprocess.run([npm, "install", *options, *PACKAGES], cwd=folder, capture_output=True, check=False)
        programs = sorted(folder.glob("node_modules/@oven/bun-*/bin/bun"))
        if done.returncode or not programs:
            pytest.skip(f"{' '.join(PACKAGES)} cannot be installed")
        (folder / "bin").mkdir()
        (folder / "bin" / "bun").symlink_to(programs[0])
        (folder / "bin" / "ralph-tui").symlink_to(folder / "node_modules" / ".bin" / "ralph-tui")

    return kept(f"ralph-tui-{VERSION}", " ".join(PACKAGES), make) / "bin"


@pytest.fixture
def place(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    made = Place(tmp_path, home)
    monkeypatch.setenv("PATH", str(installed()), prepend=os.pathsep)
    monkeypatch.setenv("HOME", str(tmp_path))
    subprocess.run(["git", "init", "-q"], cwd=made.project, check=True)
    write_plan(made)
    return made


def write_plan(place: Place) -> None:
    stories = [{**STORY, "id": f"US-{number}"} for number in (1, 2)]
    plan = {"name": "demo", "project": "demo", "branchName": "x", "description": "d", "userStories": stories}
    (place.project / "prd.json").write_text(json.dumps(plan))


def test_each_of_its_iterations_counts_once_and_its_output_stays(place: Place) -> None:
    without = place.run(*RUN)
    shutil.rmtree(place.project / ".ralph-tui")
    (place.project / "account.jsonl").unlink()
    write_plan(place)
    done = place.launch(*RUN)

    assert done.returncode == without.returncode == 0
    assert len(done.stdout.splitlines()) == len(without.stdout.splitlines())
    assert done.stderr == without.stderr
    lines = place.lines()
    assert (lines[0]["runner"], lines[0]["max_iterations"]) == ("ralph-tui", 4)
    finished = [(line["iteration"], line["outcome"]) for line in lines if line["type"] == "iteration.finished"]
    assert finished == [(number, "success") for number in (1, 2, 3, 4)]  # the agent does not say that a task is done
    assert len(place.traceparents()) == 4
    assert {given.split("-")[1] for given in place.traceparents()} == {lines[0]["trace_id"]}
    assert fold(place.journals()[0]).run.stop_reason == "max_iterations"
    assert "SECRET" not in place.journals()[0].read_text()


def test_what_is_seen_is_what_the_table_says(place: Place) -> None:
    place.launch(*RUN)
    assert_known("others", f"ralph-tui {VERSION}", signals_of(place.lines(), place.traceparents()))
