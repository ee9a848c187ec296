"""What is followed, from where on, and what is remembered of it."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from test_watch_orchestrator import end, start, summary
from watched import iso

from ralph_otel.config import MetricsConfig
from ralph_otel.runs import fold
from ralph_otel.watch import files
from ralph_otel.watch.memory import Memory
from ralph_otel.watch.targets import CannotWatch, Home, OneJournal, Source, Target, Wanted
from ralph_otel.watch.watcher import targets
from support.tape import Tape, at

EVENTS = "events-20231114-221320.jsonl"
LATER = "events-20231115-000000.jsonl"


class Followed:
    """What a target has had followed: run id to bytes recorded before."""

    def __init__(self) -> None:
        self.runs: dict[str, int] = {}
        self.paths: list[Path] = []

    def __call__(self, path: Path, recorded: int) -> None:
        self.paths.append(path)
        self.runs[path.stem] = recorded


@pytest.fixture
def followed() -> Followed:
    return Followed()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project in which ralph-orchestrator has run once and is running."""
    ralph = tmp_path / "proj" / ".ralph"
    ralph.mkdir(parents=True)
    (ralph / EVENTS).write_text(start() + summary(5, 1) + end(6))
    (ralph / LATER).write_text(start(6400) + summary(6410, 1))
    return ralph.parent


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is soon after the project's last event."""
    monkeypatch.setattr(files, "time", SimpleNamespace(time_ns=lambda: at(6411)))


def journal(home: Path, run: str, over: bool = False) -> Path:
    tape = Tape(run=run).iteration(1, 1)
    return (tape.add(5, "loop.stopped", reason="completed") if over else tape).write(home / "runs" / f"{run}.jsonl")


# -- the home folder ---------------------------------------------------------------------------------------------------


def test_runs_without_an_end_are_followed_and_new_ones_as_they_appear(home: Path, followed: Followed) -> None:
    journal(home, "old", over=True)
    journal(home, "going")
    target = Home(home, Wanted(), followed)
    target.look()
    assert followed.runs == {"going": 0}
    journal(home, "later", over=True)
    target.look()
    assert followed.runs == {"going": 0, "later": 0}


def test_a_run_that_went_on_after_its_end_has_none(home: Path, followed: Followed) -> None:
    tape = Tape(run="r").add(5, "loop.stopped", reason="completed").add(9, "loop.started", name="tape")
    tape.write(home / "runs" / "r.jsonl")
    Home(home, Wanted(), followed).look()
    assert followed.runs == {"r": 0}


def test_what_was_exported_is_not_exported_again(home: Path, followed: Followed) -> None:
    journal(home, "going")
    journal(home, "over", over=True)
    memory = Memory(home, "home")
    memory.save({"going": 100, "over": 50})
    Home(home, Wanted(), followed).look()
    assert followed.runs == {"going": 100, "over": 50}, "the end of the second has not been recorded"


def test_from_start_means_everything_again(home: Path, followed: Followed) -> None:
    journal(home, "going")
    journal(home, "over", over=True)
    Memory(home, "home").save({"going": 100})
    Home(home, Wanted(again=True), followed).look()
    assert followed.runs == {"going": 0, "over": 0}


def test_new_means_no_spans_of_the_past(home: Path, followed: Followed) -> None:
    size = journal(home, "going").stat().st_size
    Home(home, Wanted(new=True), followed).look()
    assert followed.runs == {"going": size}


def test_one_journal_is_followed_before_it_is_there(tmp_path: Path, home: Path, followed: Followed) -> None:
    target = OneJournal(home, tmp_path / "later.jsonl", Wanted(), followed)
    target.look()
    target.look()
    assert followed.paths == [tmp_path / "later.jsonl"]
    assert list(target.folders()) == [tmp_path]


# -- other runners' files ----------------------------------------------------------------------------------------------


def test_all_runs_of_a_source_are_followed(project: Path, home: Path, followed: Followed) -> None:
    target = Source(home, project, Wanted(), followed)
    target.look()
    assert target.found == ["ralph-orchestrator"]
    assert [fold(path).run.name for path in followed.paths] == ["proj", "proj"]
    assert list(followed.runs.values()) == [0, 0]
    target.close()


def test_after_a_restart_only_what_goes_on_is_followed(project: Path, home: Path, followed: Followed) -> None:
    first = Source(home, project, Wanted(), followed)
    first.look()
    _, going = sorted(followed.paths)
    first.memory.save({going.stem: 123})
    first.close()
    first.memory.close()
    again = Followed()
    Source(home, project, Wanted(), again).look()
    assert again.runs == {going.stem: 123}


def test_a_run_that_goes_on_after_a_restart_exports_only_what_is_new(
    project: Path, home: Path, followed: Followed
) -> None:
    first = Source(home, project, Wanted(), followed)
    first.look()
    over = min(followed.paths)
    size = over.stat().st_size
    first.close()
    first.memory.close()
    again = Followed()
    target = Source(home, project, Wanted(), again)
    target.look()
    with (project / ".ralph" / EVENTS).open("a") as file:
        file.write(start(90, "task.resume") + summary(99, 2))
    target.look()
    assert again.runs[over.stem] == size
    assert fold(over).run.active


def test_new_leaves_out_what_has_ended(project: Path, home: Path, followed: Followed) -> None:
    Source(home, project, Wanted(new=True), followed).look()
    [going] = followed.paths
    assert followed.runs == {going.stem: going.stat().st_size}
    assert fold(going).run.active
    assert len(list(home.glob("runs/*"))) == 1


def test_runs_that_begin_while_it_is_watched_are_followed(project: Path, home: Path, followed: Followed) -> None:
    target = Source(home, project, Wanted(new=True), followed)
    target.look()
    (project / ".ralph" / "events-20231116-000000.jsonl").write_text(start(99_000))
    target.look()
    assert len(followed.runs) == 2
    assert followed.runs[max(followed.runs)] == 0


def test_a_folder_and_its_files_may_come_later(tmp_path: Path, home: Path, followed: Followed) -> None:
    target = Source(home, tmp_path / "proj", Wanted(), followed)
    target.look()
    assert tmp_path / "proj" in target.folders()
    ralph = tmp_path / "proj" / ".ralph"
    ralph.mkdir(parents=True)
    (ralph / EVENTS).write_text(start() + summary(5, 1))
    target.look()
    assert len(followed.paths) == 1
    assert ralph in target.folders()


def test_several_runners_in_one_folder_are_all_seen(project: Path, home: Path, followed: Followed) -> None:
    logs = project / ".ralph" / "logs"
    logs.mkdir()
    (logs / "metrics.jsonl").write_text(f'{{"timestamp":"{iso(50)}","loop":1,"duration":5,"success":true,"calls":1}}\n')
    target = Source(home, project, Wanted(), followed)
    target.look()
    assert target.found == ["ralph-orchestrator", "ralph-claude-code"]
    assert len(followed.paths) == 3


def test_nobody_watches_what_another_process_watches(project: Path, home: Path, followed: Followed) -> None:
    first = Source(home, project, Wanted(), followed)
    with pytest.raises(CannotWatch, match="already"):
        Source(home, project, Wanted(), followed)
    first.close()
    first.memory.close()
    Source(home, project, Wanted(), followed)


def test_a_loop_that_has_died_is_ended(project: Path, home: Path, followed: Followed) -> None:
    (project / ".ralph" / "loop.lock").write_text(f'{{"pid": {2**22 + 5}, "started": "{iso(6399)}"}}')
    Source(home, project, Wanted(), followed).look()
    assert fold(max(followed.paths)).run.stop_reason == "crashed"


# -- what is meant by a path -------------------------------------------------------------------------------------------


def made(text: str, home: Path) -> Target:
    [make] = targets([text], MetricsConfig(), home, Wanted())
    return make(Followed())


def test_a_path_is_a_run_a_journal_a_folder_or_an_events_file(project: Path, home: Path, tmp_path: Path) -> None:
    path = journal(home, "20231114T221320Z-abcdef")
    assert isinstance(made("20231114T22", home), OneJournal)
    assert isinstance(made(str(path), home), OneJournal)
    assert isinstance(made(str(tmp_path / "later.jsonl"), home), OneJournal)
    later = made(str(tmp_path / "later"), home)
    assert isinstance(later, Source)
    for text in (str(project), str(project / ".ralph"), str(project / ".ralph" / EVENTS)):
        source = made(text, home)
        assert isinstance(source, Source)
        source.look()
        assert source.found == ["ralph-orchestrator"]
        source.close()
        source.memory.close()


def test_an_events_file_is_the_run_that_it_is_in_its_folder(project: Path, home: Path) -> None:
    for text in (str(project), str(project / ".ralph" / EVENTS)):
        source = made(text, home)
        source.look()
        source.close()
        source.memory.close()
    assert len(list(home.glob("runs/*.jsonl"))) == 2


def test_without_a_path_it_is_the_home_folder(home: Path) -> None:
    [make] = targets([], MetricsConfig(), home, Wanted())
    assert isinstance(make(Followed()), Home)


def test_what_is_nothing_at_all_is_said(home: Path, tmp_path: Path) -> None:
    with pytest.raises(CannotWatch, match="no folder nonsense"):
        targets(["nonsense"], MetricsConfig(), home, Wanted())
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CannotWatch, match="watch -"):
        targets([str(tmp_path / "pipe")], MetricsConfig(), home, Wanted())


# -- memory ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "{", "[]", '{"a": "x", "b": -1, "c": true, "d": 7}'])
def test_a_damaged_memory_is_no_memory(text: str, home: Path) -> None:
    memory = Memory(home, "x")
    memory.save({"r": 1})
    [file] = (home / "watch").glob("*.json")
    file.write_text(text)
    assert Memory(home, "x").recorded in ({}, {"d": 7})


def test_memories_are_private(home: Path) -> None:
    memory = Memory(home, "x")
    memory.save({"r": 1})
    assert memory.claim()
    assert all(file.stat().st_mode & 0o077 == 0 for file in (home / "watch").iterdir())
