"""Watching a work tree leaves no trace in it, and whatever goes wrong stays a problem of the watcher."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from repositories import add_submodule, commit, content, edit, git, watch, write

from ralph_otel.progress.worktree import Changes, WorkTree
from support.waiting import until

pytestmark = [
    pytest.mark.skipif(shutil.which("git") is None, reason="needs git"),
    pytest.mark.usefixtures("temporary"),
]


def test_the_repository_is_not_touched(repository: Path, tmp_path: Path) -> None:
    submodule = add_submodule(repository)
    edit(repository)
    git(repository, "add", "c.txt")
    git(repository, "stash", "-q")
    write(repository / "a.txt", "staged\n")
    git(repository, "add", "a.txt")
    write(repository / "a.txt", "and more\n")
    write(repository / "untracked", "x\n" * 1000)
    write(submodule / "untracked", "x\n")
    os.utime(submodule / "lib.txt", (1, 1))  # what makes git refresh an index
    ran = tmp_path / "ran"
    for hook in ("post-index-change", "pre-commit", "post-checkout", "reference-transaction", "fsmonitor"):
        write(repository / ".git/hooks" / hook, f"#!/bin/sh\necho {hook} >> '{ran}'\n")
        (repository / ".git/hooks" / hook).chmod(0o755)
    settings_ = {
        "core.fsmonitor": str(repository / ".git/hooks/fsmonitor"),
        "core.untrackedCache": "true",
        "core.splitIndex": "true",
        "diff.external": f"echo external >> '{ran}'",
    }
    for name, value in settings_.items():
        git(repository, "config", name, value)
    write(repository / ".git/index.lock", "")  # the user's own git is at work

    before, index_time = content(repository / ".git"), (repository / ".git/index").stat().st_mtime_ns
    changes = watch(repository, lambda: write(repository / "z", "z\n"))
    assert changes == Changes(1, 1, lines_added=1)
    assert content(repository / ".git") == before
    assert (repository / ".git/index").stat().st_mtime_ns == index_time
    assert not ran.exists()


def test_variables_that_point_to_another_repository_do_not_count(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    before = content(other)
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git/index"))
    monkeypatch.setenv("GIT_LITERAL_PATHSPECS", "1")
    assert watch(repository, lambda: edit(repository)).files_changed == 2
    assert content(other) == before


def test_a_temporary_folder_in_the_work_tree_does_not_show(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (repository / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(repository / "tmp"))
    assert watch(repository, lambda: edit(repository)).files_changed == 2
    gc.collect()
    assert list((repository / "tmp").iterdir()) == []


def test_a_path_with_separators_and_quotes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / 'a:b "c" \\d'
    root.mkdir()
    git(root, "init", "-q")
    write(root / "a", "1\n")
    commit(root)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "t:m p"))
    (tmp_path / "t:m p").mkdir()
    assert watch(root, lambda: write(root / "a", "2\n"), lambda: commit(root)) == Changes(1, 0, 1, 1, 1)


def test_there_is_no_work_tree_outside_of_git(tmp_path: Path, repository: Path) -> None:
    git(tmp_path, "init", "-q", "--bare", "bare.git")
    for folder in (tmp_path, tmp_path / "missing", tmp_path / "bare.git", repository / ".git"):
        assert WorkTree.find(folder) is None


def test_there_is_no_work_tree_without_git(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worktree = WorkTree.find(repository)
    assert worktree is not None
    monkeypatch.setenv("PATH", "")
    assert WorkTree.find(repository) is None
    assert worktree.snapshot() is None
    assert worktree.problem is not None
    assert worktree.problem.startswith("git cannot be started")


def test_a_repository_that_is_gone_is_a_problem_and_no_error(repository: Path) -> None:
    worktree = WorkTree.find(repository)
    assert worktree is not None
    before = worktree.snapshot()
    git(repository, "gc", "-q")
    shutil.rmtree(repository / ".git")
    assert worktree.snapshot() is None
    assert worktree.problem is not None
    assert "not a git repository" in worktree.problem
    assert worktree.changes(before, None) is None
    assert worktree.problem == "no snapshot to compare"
    git(repository, "init", "-q")
    edit(repository)
    after = worktree.snapshot()
    assert after is not None
    assert worktree.changes(before, after) is None
    assert worktree.problem is not None
    assert worktree.problem.startswith("git diff-tree: fatal:")


def test_a_git_that_hangs_is_ended_with_all_that_it_started(repository: Path, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    git(repository, "config", "filter.slow.clean", f"echo $$ > '{pid_file}'; exec sleep 1000")
    write(repository / ".gitattributes", "*.slow filter=slow\n")
    write(repository / "x.slow", "x\n")
    for seconds in (2, 20):  # a busy machine may need more until it hangs
        worktree = WorkTree(repository, timeout=seconds)
        assert worktree.snapshot() is None
        assert worktree.problem == f"git took longer than {seconds} s"
        if pid_file.exists() and pid_file.read_text():
            break
    pid = int(pid_file.read_text())
    until(lambda: not is_running(pid), what="for what it started to end")


def is_running(pid: int) -> bool:
    result = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, check=False, timeout=60)
    return result.stdout.strip() not in (b"",) and not result.stdout.strip().startswith(b"Z")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_cannot_be_read_does_not_hide_the_others(repository: Path) -> None:
    write(repository / "secret", "x\n")
    (repository / "secret").chmod(0)
    assert watch(repository, lambda: edit(repository)).files_changed == 2


def test_temporary_folders_go_with_their_snapshots(repository: Path, temporary: Path) -> None:
    worktree = WorkTree(repository)
    snapshots = [worktree.snapshot() for _ in range(3)]
    assert len(list(temporary.iterdir())) == 3
    del snapshots[1:]
    gc.collect()
    assert len(list(temporary.iterdir())) == 1


def test_temporary_folders_go_when_the_process_ends(repository: Path, temporary: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from ralph_otel.progress.worktree import WorkTree\n"
        "kept = WorkTree(Path(sys.argv[1])).snapshot(); assert kept"
    )
    environment = {**os.environ, "TMPDIR": str(temporary)}
    subprocess.run([sys.executable, "-c", code, str(repository)], env=environment, check=True, timeout=60)
    assert list(temporary.iterdir()) == []
