"""What has changed since the state that was recorded before is the work of the first iteration."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ralph_otel.events import Line
from ralph_otel.journal import Journal
from ralph_otel.progress.baseline import Baseline
from ralph_otel.progress.watch import ProgressWatch
from support.tape import Tape, lines_of
from support.waiting import until


def git(folder: Path, *arguments: str) -> None:
    settings = ["-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *settings, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a file `f`, which is the working folder."""
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "--quiet")
    (folder / "f").write_text("1\n")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "first")
    monkeypatch.chdir(folder)
    return folder


def of_one_iteration(journal: Path, baseline: Baseline, work: Callable[[], None]) -> Line:
    """What is measured of an iteration that is over before anybody begins to measure."""
    launched = time.time_ns()
    work()
    written, tape = Journal(journal), Tape()
    tape.add(0, "iteration.started", iteration=1, span="1" * 16)
    tape.add(1, "iteration.finished", iteration=1, outcome="success", duration=1.0, span="1" * 16)
    for line, ts in zip(tape.lines[-2:], (launched, time.time_ns()), strict=True):
        written.append({**line, "ts": ts})
    written.close()

    def measured() -> list[Line]:
        return [line for line in lines_of(journal) if line["type"] == "progress.measured"]

    watch = ProgressWatch(lambda: [journal], Path.cwd(), launched, [journal], baseline)
    watch.start(os.getpid())
    until(lambda: len(measured()) == 1, what="for a measurement")
    watch.stop(10.0)
    [line] = measured()
    return line


def test_a_commit_before_anybody_measures_counts(repository: Path, tmp_path: Path) -> None:
    baseline = Baseline()
    until(lambda: baseline.until, what="for the state before")

    def work() -> None:
        (repository / "f").write_text("1\n2\n3\n")
        (repository / "new").write_text("4\n")
        git(repository, "add", "--all")
        git(repository, "commit", "--quiet", "--message", "second")

    line = of_one_iteration(tmp_path / "run.jsonl", baseline, work)
    figures = [line[name] for name in ("files_changed", "lines_added", "lines_removed", "commits")]
    assert figures == [2, 3, 0, 1]


def test_what_was_there_before_does_not(repository: Path, tmp_path: Path) -> None:
    (repository / "f").write_text("other\n")
    (repository / "new").write_text("4\n")
    baseline = Baseline()
    until(lambda: baseline.until, what="for the state before")
    line = of_one_iteration(tmp_path / "run.jsonl", baseline, lambda: None)
    assert (line["files_changed"], line["commits"], line["score"]) == (0, 0, 0)


def test_outside_of_git_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    baseline = Baseline()
    assert baseline.snapshot(20.0) is None
    assert (baseline.root, baseline.until) == (None, 0)


def test_one_that_nobody_wants_leaves_nothing(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "t"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    baseline = Baseline()
    baseline.drop(20.0)
    assert list(temporary.iterdir()) == []
    assert baseline.snapshot(0.0) is None
