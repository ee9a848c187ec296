"""What is looked at when an agent ends: when files were changed, and what is checked out."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from repositories import commit, git

from ralph_otel.progress.looks import MOST, Looks, head_of
from ralph_otel.progress.turns import Turn
from ralph_otel.progress.watch import ProgressWatch
from ralph_otel.progress.worktree import WorkTree
from support.waiting import until


def change(path: Path) -> int:
    """Change a file so that its time is another than before; returns that time."""
    before = path.stat().st_ctime_ns if path.exists() else 0

    def written() -> bool:
        path.write_text("x")
        return path.stat().st_ctime_ns != before

    until(written, what="for the clock to tick")
    return path.stat().st_ctime_ns


def look(looks: Looks) -> int:
    when = time.time_ns()
    looks.look(when)
    return when


def test_each_change_is_known_that_was_there_at_a_look(tmp_path: Path) -> None:
    file, looks = tmp_path / "f", Looks()
    change(file)
    looks.watch([file])
    ends = []
    for _ in range(3):
        change(file)
        ends.append(look(looks))
    change(file)
    first, second, third, last = looks.changes(file)
    assert first <= ends[0] <= second <= ends[1] <= third <= ends[2] <= last


def test_of_a_file_that_nobody_looks_at_the_last_change_is_known(tmp_path: Path) -> None:
    looks = Looks()
    change(tmp_path / "f")
    last = change(tmp_path / "f")
    assert looks.changes(tmp_path / "f") == [last]


def test_a_change_before_is_seen_from_a_time_on(tmp_path: Path) -> None:
    file, looks = tmp_path / "f", Looks()
    first = change(file)
    looks.watch([file], since=first)
    look(looks)
    assert looks.changes(file)[0] == first
    change(file)
    assert len(looks.changes(file)) == 2


def test_what_has_been_counted_is_forgotten(tmp_path: Path) -> None:
    file, looks = tmp_path / "f", Looks()
    change(file)
    looks.watch([file])
    change(file)
    ended = look(looks)
    change(file)
    look(looks)
    looks.forget(ended)
    [left] = looks.changes(file)
    assert left >= ended


def test_a_file_that_is_gone_is_looked_at_in_its_folder(tmp_path: Path) -> None:
    file, looks = tmp_path / "f", Looks()
    change(file)
    looks.watch([file])
    file.unlink()
    ended = look(looks)
    [when] = looks.changes(file)
    assert when <= ended


def test_only_so_many_files_are_looked_at(tmp_path: Path) -> None:
    looks = Looks()
    looks.watch(tmp_path / str(number) for number in range(MOST))
    file = tmp_path / "f"
    change(file)
    looks.watch([file])
    look(looks)
    last = change(file)
    assert looks.changes(file) == [last]


@pytest.mark.parametrize(
    "arguments",
    [(), ("checkout", "-q", "--detach"), ("pack-refs", "--all"), ("checkout", "-q", "-b", "some/branch")],
)
def test_the_commit_that_is_checked_out_is_known(repository: Path, arguments: tuple[str, ...]) -> None:
    if arguments:
        git(repository, *arguments)
    assert head_of(repository / ".git", repository / ".git") == git(repository, "rev-parse", "HEAD")


@pytest.mark.parametrize("arguments", [("--detach",), ("-b", "other")])
def test_so_it_is_in_a_linked_worktree(repository: Path, arguments: tuple[str, ...]) -> None:
    git(repository, "worktree", "add", "--quiet", *arguments, "linked")
    commit(repository / "linked")
    own = Path(git(repository / "linked", "rev-parse", "--absolute-git-dir"))
    assert head_of(own, repository / ".git") == git(repository / "linked", "rev-parse", "HEAD")


def test_before_the_first_commit_or_without_a_repository_there_is_none(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    assert head_of(tmp_path / ".git", tmp_path / ".git") is None
    assert head_of(tmp_path / "no", tmp_path / "no") is None
    (tmp_path / ".git" / "HEAD").write_bytes(os.urandom(8) + b"\xff")
    assert head_of(tmp_path / ".git", tmp_path / ".git") is None


def test_it_is_remembered_by_the_end_of_the_agent(repository: Path) -> None:
    looks = Looks()
    looks.follow(repository / ".git", repository / ".git")
    looks.look(1)
    commit(repository)
    looks.look(2)
    assert (looks.head(1), looks.head(2)) == (
        git(repository, "rev-parse", "HEAD~"),
        git(repository, "rev-parse", "HEAD"),
    )
    assert looks.head(3) is None


def test_commits_count_for_the_agent_after_whose_end_they_are_seen_or_all_for_the_last(repository: Path) -> None:
    ends, heads = (1, 2, 3), []
    watch, tree = ProgressWatch(lambda: (), repository, 0), WorkTree(repository, timeout=60)
    watch._looks.follow(repository / ".git", repository / ".git")
    watch._head = git(repository, "rev-parse", "HEAD")
    before = watch._head
    for end in ends:
        for _ in range(end):
            commit(repository)
        watch._looks.look(end)
        heads.append(git(repository, "rev-parse", "HEAD"))
    turns = [Turn(Path("j"), "run", "0" * 32, "0" * 16, end - 1, end) for end in ends]
    assert watch._commits(tree, turns, heads[-1]) == [1, 2, 3]
    assert watch._head == heads[-1]
    unseen = Turn(Path("j"), "run", "0" * 32, "0" * 16, 3, 4)
    watch._head = before
    assert watch._commits(tree, [*turns[:2], unseen], heads[-1]) == [0, 0, 6]
    assert watch._head == heads[-1]
