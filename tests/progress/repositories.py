"""Git repositories to watch, and what is done to them."""

from __future__ import annotations

import gc
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ralph_otel.progress.worktree import Changes, WorkTree

Act = Callable[[], object]

CONFIG = """
[user]
name = A
email = a@example.com
[init]
defaultBranch = main
[protocol.file]
allow = always
"""


@contextmanager
def own_git(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A git without the user's settings, and a folder for temporary files, in which nothing may be left."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    (folder / "gitconfig").write_text(CONFIG)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(folder / "gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    temporary = folder / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    yield temporary
    gc.collect()
    assert list(temporary.iterdir()) == []


def make_repository(root: Path) -> Path:
    """A repository of three files."""
    root.mkdir()
    git(root, "init", "-q")
    write(root / "a.txt", "one\ntwo\nthree\n")
    write(root / "src/b.txt", "one\n")
    write(root / ".gitignore", "*.log\nbuild/\n")
    commit(root)
    return root


def add_submodule(repository: Path) -> Path:
    """A submodule of one file, `lib.txt`, committed."""
    library = repository.parent / "library"
    library.mkdir()
    git(library, "init", "-q")
    write(library / "lib.txt", "1\n")
    commit(library)
    git(repository, "submodule", "--quiet", "add", str(library), "vendor/lib")
    commit(repository)
    return repository / "vendor/lib"


def edit(root: Path) -> None:
    """Change one file (a line less two) and make another (of one line)."""
    write(root / "a.txt", "one\n")
    write(root / "c.txt", "new\n")


def git(root: Path, *arguments: str) -> str:
    result = subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, timeout=60)
    return os.fsdecode(result.stdout).strip()


def sh(root: Path, command: str) -> None:
    subprocess.run(["sh", "-e", "-c", command], cwd=root, check=True, capture_output=True, timeout=60)


def commit(root: Path, *options: str) -> None:
    git(root, "add", "-A")
    git(root, "commit", "-q", "--allow-empty", "-m", "x", *options)


def write(path: Path, text: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)


def watch(root: Path, *acts: Act, exclude: tuple[Path, ...] = ()) -> Changes:
    """What a work tree says of some acts."""
    worktree = WorkTree.find(root, timeout=60, exclude=exclude)
    assert worktree is not None
    before = worktree.snapshot()
    assert before is not None, worktree.problem
    for act in acts:
        act()
    after = worktree.snapshot()
    assert after is not None, worktree.problem
    changes = worktree.changes(before, after)
    assert changes is not None, worktree.problem
    assert worktree.problem is None
    return changes


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
