"""What a work tree says was changed, whatever happened to the repository meanwhile."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from repositories import add_submodule, commit, content, edit, git, sh, watch, write

from ralph_otel.progress.worktree import Changes, WorkTree

pytestmark = [
    pytest.mark.skipif(shutil.which("git") is None, reason="needs git"),
    pytest.mark.usefixtures("temporary"),
]


@pytest.fixture
def submodule(repository: Path) -> Path:
    return add_submodule(repository)


def test_nothing_done_is_nothing_changed(repository: Path) -> None:
    assert watch(repository) == Changes()


def test_new_changed_and_deleted_files_are_changed_and_ignored_ones_are_not(repository: Path) -> None:
    changes = watch(
        repository,
        lambda: write(repository / "a.txt", "one\nTWO\nthree\nfour\n"),
        lambda: write(repository / "new/c.txt", "1\n2\n3\n"),
        lambda: write(repository / "noise.log", "x\n"),
        lambda: write(repository / "build/out", "x\n"),
        (repository / "src/b.txt").unlink,
    )
    assert changes == Changes(files_changed=3, files_created=1, lines_added=2 + 3, lines_removed=1 + 1)


COMMIT = "git add -A && git commit -q -m x"
AFTERWARDS = {
    "left alone": ("true", 0),
    "staged": ("git add -A", 0),
    "intended to be added": ("git add -N c.txt", 0),
    "committed": (COMMIT, 1),
    "committed twice": (f"{COMMIT}; {COMMIT} --allow-empty", 2),
    "committed on a new branch": (f"git checkout -q -b other; {COMMIT}", 1),
    "committed on no branch": (f"git checkout -q --detach; {COMMIT}", 1),
    "amended": (f"{COMMIT} --amend", 1),
    "stashed and applied": ("git stash -q -u; git stash pop -q", 0),
    "committed and softly reset": (f"{COMMIT}; git reset -q HEAD~1", 0),
    "untracked": ("git rm -q -r --cached .", 0),
    "without an index": ("rm .git/index", 0),
    "collected": (f"{COMMIT}; git gc -q --prune=now", 1),
    "in an orphan branch": ("git checkout -q --orphan other", 0),
}


@pytest.mark.parametrize("name", AFTERWARDS)
def test_what_becomes_of_the_changes_does_not_matter(repository: Path, name: str) -> None:
    command, commits = AFTERWARDS[name]
    changes = watch(repository, lambda: edit(repository), lambda: sh(repository, command))
    assert changes == Changes(2, 1, lines_added=1, lines_removed=2, commits=commits)


def test_changes_from_before_do_not_count_though_they_are_committed_now(repository: Path) -> None:
    edit(repository)
    assert watch(repository, lambda: commit(repository)) == Changes(commits=1)


def test_changes_that_are_taken_back_are_none(repository: Path) -> None:
    changes = watch(
        repository,
        lambda: edit(repository),
        lambda: git(repository, "reset", "-q", "--hard"),
        (repository / "c.txt").unlink,
    )
    assert changes == Changes()


def test_a_reset_to_an_older_commit_is_a_change_without_commits(repository: Path) -> None:
    edit(repository)
    commit(repository)
    changes = watch(repository, lambda: git(repository, "reset", "-q", "--hard", "HEAD~1"))
    assert changes == Changes(2, 0, lines_added=2, lines_removed=1)


def test_a_file_that_is_only_ignored_now_has_not_changed(repository: Path) -> None:
    write(repository / "data.csv", "1\n")
    write(repository / "kept.csv", "1\n")
    git(repository, "add", "kept.csv")
    changes = watch(
        repository,
        lambda: write(repository / ".gitignore", "*.log\nbuild/\n*.csv\n"),
        lambda: git(repository, "rm", "-q", "--cached", "kept.csv"),
    )
    assert changes == Changes(1, 0, lines_added=1)


def test_a_renamed_file_is_one_gone_and_one_new(repository: Path) -> None:
    changes = watch(repository, lambda: git(repository, "mv", "a.txt", "z.txt"))
    assert changes == Changes(2, 1, lines_added=3, lines_removed=3)


def test_a_file_that_becomes_a_folder(repository: Path) -> None:
    changes = watch(repository, (repository / "a.txt").unlink, lambda: write(repository / "a.txt/inner", "x\n"))
    assert changes == Changes(2, 1, lines_added=1, lines_removed=3)


def test_a_changed_mode_is_no_change_of_content(repository: Path) -> None:
    assert watch(repository, lambda: (repository / "a.txt").chmod(0o755)) == Changes()


def test_a_touched_file_is_not_changed(repository: Path) -> None:
    assert watch(repository, lambda: os.utime(repository / "a.txt", (1, 1))) == Changes()


def test_lines_of_binary_files_do_not_count(repository: Path) -> None:
    write(repository / "old.bin", b"\0\1\2\n" * 10)
    changes = watch(
        repository,
        lambda: write(repository / "old.bin", b"\0\3\n"),
        lambda: write(repository / "new.bin", b"\0\n\n"),
    )
    assert changes == Changes(2, 1)


def test_names_of_any_kind(repository: Path) -> None:
    names = [
        "new\nline",
        "tab\tname",
        "ünïcode ☃",
        ' "quoted" \\',
        ":colon",
        "-dash",
        ":(exclude)x",
        "!bang",
        os.fsdecode(b"\xff\xfe"),
    ]
    paths = [repository / name for name in names]
    for path in paths[::2]:
        write(path, "1\n")
    changes = watch(repository, *(lambda path=path: write(path, "2\n") for path in paths))
    assert changes == Changes(9, 4, lines_added=9, lines_removed=5)


def test_links_are_compared_by_where_they_point(repository: Path) -> None:
    sh(repository, "ln -s a.txt link; ln -s /nowhere dangling")
    changes = watch(
        repository,
        lambda: write(repository / "a.txt", "changed\n"),
        lambda: sh(repository, "ln -sf src/b.txt link; ln -sf elsewhere src/b.txt"),
    )
    assert (changes.files_changed, changes.files_created) == (3, 0)


def test_a_repository_without_a_commit(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    write(tmp_path / "a", "1\n")
    assert watch(tmp_path, lambda: write(tmp_path / "b", "1\n")) == Changes(1, 1, lines_added=1)
    assert watch(tmp_path, lambda: commit(tmp_path)) == Changes(commits=1)


def test_an_empty_repository(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    assert watch(tmp_path) == Changes()


def test_a_conflict_in_the_middle_of_a_merge(repository: Path) -> None:
    git(repository, "checkout", "-q", "-b", "other")
    write(repository / "a.txt", "other\n")
    commit(repository)
    git(repository, "checkout", "-q", "main")
    write(repository / "a.txt", "main\n")
    commit(repository)

    def merge() -> None:
        result = subprocess.run(["git", "merge", "other"], cwd=repository, capture_output=True, check=False, timeout=60)
        assert result.returncode == 1

    assert watch(repository, merge) == Changes(1, 0, lines_added=4)
    assert watch(repository, lambda: write(repository / "a.txt", "both\n")).files_changed == 1


def test_the_whole_work_tree_is_watched_from_a_folder_in_it(repository: Path) -> None:
    worktree = WorkTree.find(repository / "src")
    assert worktree is not None
    assert worktree.root == repository
    assert watch(repository / "src", lambda: write(repository / "a.txt", "x\n")).files_changed == 1


def test_a_linked_work_tree(repository: Path, tmp_path: Path) -> None:
    linked = tmp_path / "linked"
    git(repository, "worktree", "add", "-q", str(linked))
    changes = watch(linked, lambda: edit(linked), lambda: commit(linked), lambda: write(repository / "a.txt", ""))
    assert changes == Changes(2, 1, lines_added=1, lines_removed=2, commits=1)


@pytest.mark.parametrize("committed", [False, True])
def test_files_in_a_submodule_count_as_files(repository: Path, submodule: Path, committed: bool) -> None:
    def work() -> None:
        write(submodule / "lib.txt", "1\n2\n")
        write(submodule / "new.txt", "1\n")
        if committed:
            commit(submodule)
            commit(repository)

    changes = watch(repository, work)
    assert changes == Changes(2, 1, lines_added=2, commits=int(committed))


def test_a_submodule_that_is_not_checked_out(repository: Path, submodule: Path) -> None:
    git(repository, "submodule", "--quiet", "deinit", "--force", "vendor/lib")
    assert watch(repository, lambda: edit(repository)).files_changed == 2
    changes = watch(repository, lambda: git(repository, "submodule", "--quiet", "update", "--init"))
    assert changes == Changes(1, 1, lines_added=1)


@pytest.mark.parametrize("committed", [False, True])
def test_a_repository_that_the_agent_makes_inside(repository: Path, committed: bool) -> None:
    inner = repository / "inner"

    def make() -> None:
        write(inner / "x", "1\n")
        git(inner, "init", "-q")
        if committed:
            commit(inner)
        write(inner / "y", "1\n2\n")

    assert watch(repository, make) == Changes(2, 2, lines_added=3)
    assert watch(repository, lambda: write(inner / "x", "2\n")) == Changes(1, 0, 1, 1)
    assert watch(repository, lambda: shutil.rmtree(inner)).files_changed == int(committed)


def test_a_file_that_becomes_a_repository(repository: Path) -> None:
    def replace() -> None:
        (repository / "a.txt").unlink()
        write(repository / "a.txt/inner", "x\n")
        git(repository / "a.txt", "init", "-q")
        commit(repository / "a.txt")

    changes = watch(repository, replace)
    assert (changes.files_changed, changes.files_created) == (2, 1)


def test_a_folder_with_a_broken_repository_is_an_ordinary_folder(repository: Path) -> None:
    (repository / "broken/.git").mkdir(parents=True)
    assert watch(repository, lambda: write(repository / "broken/x", "1\n")) == Changes(1, 1, lines_added=1)


def test_excluded_paths_are_not_the_agents_work(repository: Path) -> None:
    journal, state = repository / "runs [1]/run.jsonl", repository / "state"
    changes = watch(
        repository,
        lambda: write(journal, "{}\n"),
        lambda: write(state / "deep/x", "{}\n"),
        lambda: write(repository / "runs [1]/other", "x\n"),
        exclude=(journal, state, repository.parent / "elsewhere"),
    )
    assert changes == Changes(1, 1, lines_added=1)


def test_a_change_that_time_and_size_do_not_show_is_seen(repository: Path) -> None:
    """Git looks again into files as young as the index; so the copy of the index must be as old as the index."""
    git(repository, "config", "core.trustctime", "false")
    path, index, then = repository / "a.txt", repository / ".git/index", (1_000_000_000, 1_000_000_000)
    write(path, "AAA\n")
    os.utime(path, then)
    commit(repository)
    os.utime(index, then)

    def change() -> None:
        path.write_bytes(b"BBB\n")
        os.utime(path, then)

    assert watch(repository, change) == Changes(1, 0, 1, 1)


def test_line_ends_are_compared_as_git_stores_them(repository: Path) -> None:
    git(repository, "config", "core.autocrlf", "true")
    git(repository, "config", "core.safecrlf", "true")
    assert watch(repository, lambda: write(repository / "a.txt", "one\r\ntwo\r\nthree\r\n")) == Changes()
    assert watch(repository, lambda: write(repository / "mixed", "one\r\ntwo\n")).files_created == 1


WRITE = st.tuples(
    st.sampled_from(["a.txt", "src/b.txt", "c", "d/e", "x.log"]), st.sampled_from(["", "1\n", "1\n2", "\0"])
)
OPERATIONS = st.lists(
    st.one_of(
        WRITE,
        st.sampled_from(
            [
                "rm -rf a.txt",
                "rm -rf src",
                "mv c e || true",
                "git add -A",
                "git add -A && git commit -q --allow-empty -m x",
                "git commit -q --amend --allow-empty -m y",
                "git reset -q",
                "git reset -q --hard",
                "git stash -q -u || true",
                "git stash pop -q || true",
                "git checkout -q -B side",
                "git checkout -q main || true",
                "git rm -q -r --cached .  || true",
                "git update-index --split-index",
                "git clean -fdq",
            ]
        ),
    ),
    max_size=6,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.tuples(OPERATIONS, OPERATIONS))
def test_changes_are_what_the_disk_says(
    tmp_path_factory: pytest.TempPathFactory,
    operations: tuple[list[str | tuple[str, str]], list[str | tuple[str, str]]],
) -> None:
    root = tmp_path_factory.mktemp("project")
    git(root, "init", "-q")
    write(root / ".git/info/exclude", "*.log\n")
    write(root / "a.txt", "1\n")
    commit(root)

    def play(part: list[str | tuple[str, str]]) -> None:
        for operation in part:
            if isinstance(operation, str):
                sh(root, operation)
            elif not (root / operation[0]).is_dir():
                write(root / operation[0], operation[1])

    def files() -> dict[str, bytes]:
        names = (name for name in content(root) if not name.startswith(".git/") and not name.endswith(".log"))
        return {name: (root / name).read_bytes() for name in names}

    play(operations[0])
    before = files()
    changes = watch(root, lambda: play(operations[1]))
    after = files()
    assert changes.files_created == len(after.keys() - before.keys())
    assert changes.files_changed == sum(before.get(name) != after.get(name) for name in before.keys() | after.keys())
