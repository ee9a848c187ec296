"""Watches a git work tree: what does an iteration change in it?

A snapshot is a git tree of all files as they lie on the disk, tracked or not, but without the ignored ones. Two
snapshots can be compared whatever happened to the repository in between: commits, resets, checkouts, stashes, amends.

The repository is only read. A snapshot writes into a temporary folder of its own: a copy of the index (so that only
files whose size or time differ are read again) and the objects that the repository doesn't have.
"""

from __future__ import annotations

import os
import shutil
import stat
import weakref
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from ralph_otel.progress.git import Deadline, GitError, git
from ralph_otel.temporary import TemporaryFolder

T = TypeVar("T")
TIMEOUT = 10.0
"""Seconds that one snapshot or one comparison may take."""

GITLINK = b"160000"
"""The file mode under which git records another repository inside this one, a submodule for example."""
ABSENT = b"000000"


@dataclass(frozen=True)
class Changes:
    """What differs between two snapshots.

    Files are compared by path and content: a renamed file is one that is gone and one that is new, a changed file mode
    is no change. Lines of binary files don't count.
    """

    files_changed: int = 0
    """Files with other content; new and deleted ones included."""
    files_created: int = 0
    """Files that are new."""
    lines_added: int = 0
    lines_removed: int = 0
    commits: int = 0
    """Commits that the new HEAD has and the old one had not."""

    @classmethod
    def of(cls, files: Collection[FileChange], commits: int = 0) -> Changes:
        """What some files and commits come to."""
        return cls(
            len(files),
            sum(file.created for file in files),
            sum(file.lines_added for file in files),
            sum(file.lines_removed for file in files),
            commits,
        )


@dataclass
class FileChange:
    """A file with other content."""

    path: Path
    """Absolute. It need not be there any more."""
    created: bool
    lines_added: int = 0
    lines_removed: int = 0


class _Store:
    """A temporary folder for an index and objects. It goes when nobody holds it any more, or when the process ends."""

    def __init__(self) -> None:
        temporary = TemporaryFolder(what="git")
        weakref.finalize(self, temporary.remove)
        self.folder = temporary.path
        self.objects = self.folder / "objects"
        self.objects.mkdir()
        (self.folder / ".gitignore").write_text("*\n")  # where the temporary folder lies in the work tree itself

    def copy_index(self, index: Path) -> Path:
        """Copy an index with its time: git takes a file as unchanged only if it is older than the index."""
        copy = self.folder / "index"
        if index.exists():
            with index.open("rb") as source, copy.open("wb") as target:
                status = os.fstat(source.fileno())
                shutil.copyfileobj(source, target)
            os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))
        return copy


@dataclass(frozen=True)
class Snapshot:
    """The content of a work tree at one time. Its temporary folder goes with it."""

    root: Path
    tree: str
    """The id of the git tree."""
    head: str | None
    """The commit that was checked out; None before the first one."""
    objects: Path
    """Where the repository's own objects are."""
    store: _Store
    nested: Mapping[bytes, Snapshot]
    """By path, the repositories inside this one: submodules and others."""


class WorkTree:
    """A git work tree that is watched.

    Neither `snapshot` nor `changes` raises: they return None, and `problem` says why.

    Args:
        root: The work tree's top folder; `find` finds it.
        timeout: Seconds that one snapshot or one comparison may take.
        exclude: Files and folders that aren't the agent's work, a journal for example.
    """

    def __init__(self, root: Path, timeout: float = TIMEOUT, exclude: Sequence[Path] = ()) -> None:
        self.root = root.resolve()
        self.problem: str | None = None
        """Why the last call returned None: one line; None after one that did not."""
        self._timeout = timeout
        self._exclude = [path.resolve() for path in exclude]

    @classmethod
    def find(cls, path: Path, timeout: float = TIMEOUT, exclude: Sequence[Path] = ()) -> WorkTree | None:
        """Find the work tree that a path is in. None outside of git, or without git."""
        try:
            root = git(path, "rev-parse", "--show-toplevel", deadline=Deadline(timeout))
        except GitError:
            return None
        return cls(Path(os.fsdecode(root.removesuffix(b"\n"))), timeout, exclude)

    def snapshot(self) -> Snapshot | None:
        """Record the content of all files, now."""
        return self._asked(lambda deadline: _snapshot(self.root, self._exclude, deadline))

    def changes(self, before: Snapshot | None, after: Snapshot | None) -> Changes | None:
        """Compare two snapshots; to be called soon after the second one. None if there is one missing."""

        def compare(deadline: Deadline) -> Changes:
            old, new = _both(before, after)
            return Changes.of(_compare(old, new, deadline), _commits(self.root, old.head, new.head, deadline))

        return self._asked(compare)

    def files(self, before: Snapshot | None, after: Snapshot | None) -> list[FileChange] | None:
        """The same file by file, without the commits."""
        return self._asked(lambda deadline: _compare(*_both(before, after), deadline))

    def commits(self, before: str | None, after: str | None) -> int | None:
        """How many commits one commit has that another, earlier one has not; None if that cannot be known."""
        return self._asked(lambda deadline: _commits(self.root, before, after, deadline))

    def paths(self, snapshot: Snapshot) -> list[Path] | None:
        """The files in a snapshot, but for those of repositories inside this one."""

        def read(deadline: Deadline) -> list[Path]:
            environment = _reading(snapshot.store.objects, snapshot.objects)
            command = ("ls-tree", "-r", "-z", "--name-only", snapshot.tree)
            names = git(self.root, *command, deadline=deadline, environment=environment)
            return [self.root / os.fsdecode(name) for name in names.split(b"\0") if name]

        return self._asked(read)

    def folders(self) -> tuple[Path, Path] | None:
        """The repository's own folder, and the one that it shares with its other worktrees, which may be the same."""

        def read(deadline: Deadline) -> tuple[Path, Path]:
            own, shared = (
                os.fsdecode(git(self.root, "rev-parse", option, deadline=deadline).removesuffix(b"\n"))
                for option in ("--absolute-git-dir", "--git-common-dir")
            )
            return Path(own), self.root / shared

        return self._asked(read)

    def uncommitted(self, snapshot: Snapshot) -> list[FileChange] | None:
        """What in a snapshot is not as in the commit that was checked out; all of it before the first commit."""
        committed = replace(snapshot, tree=snapshot.head) if snapshot.head is not None else None
        return self._asked(lambda deadline: _compare(committed, snapshot, deadline))

    def _asked(self, question: Callable[[Deadline], T]) -> T | None:
        """The answer within the time that there is; None, and the problem, where git has none."""
        self.problem = None
        try:
            return question(Deadline(self._timeout))
        except (GitError, OSError, ValueError) as error:
            self.problem = str(error)
            return None


def _both(before: Snapshot | None, after: Snapshot | None) -> tuple[Snapshot, Snapshot]:
    if before is None or after is None:
        raise GitError("no snapshot to compare")
    return before, after


def _snapshot(root: Path, exclude: Sequence[Path], deadline: Deadline) -> Snapshot:
    def ask(*arguments: str, accept: Iterable[int] = (0,)) -> str:
        return os.fsdecode(git(root, "rev-parse", *arguments, deadline=deadline, accept=accept)).removesuffix("\n")

    store = _Store()
    index = store.copy_index(root / ask("--git-path", "index"))
    objects = root / ask("--git-path", "objects")
    head = ask("--quiet", "--verify", "HEAD^{commit}", accept=(0, 1))
    environment = {**_reading(store.objects, objects), "GIT_INDEX_FILE": str(index)}
    settings = [f"lfs.storage={store.folder / 'lfs'}"]  # Git LFS, as a filter, keeps a copy of each new file

    def run(*arguments: str) -> bytes:
        return git(root, *arguments, deadline=deadline, environment=environment, settings=settings)

    links = _add_all(run, [path.relative_to(root) for path in exclude if root in path.parents])
    nested = {}
    for path in links:
        inside = WorkTree.find(root / os.fsdecode(path), deadline.left())
        if inside and inside.root != root:
            nested[path] = _snapshot(inside.root, exclude, deadline)
    return Snapshot(root, run("write-tree").decode().strip(), head or None, objects, store, nested)


def _add_all(run: Callable[..., bytes], exclude: Iterable[Path]) -> list[bytes]:
    """Put all files into the index. Returns the paths of the repositories among them."""
    others = b""
    try:
        run("add", "--all", "--ignore-errors", "--", ".", *(f":(exclude,literal){path}" for path in exclude))
    except GitError as error:
        if error.exit_code != 1:
            raise
        # What can't be read stays as it is in the index. A repository without a commit can't be in an index.
        others = run("ls-files", "-z", "--others", "--exclude-standard")
    entries = run("ls-files", "-z", "--stage").split(b"\0")
    links = [entry.partition(b"\t")[2] for entry in entries if entry.startswith(GITLINK)]
    return links + [path.rstrip(b"/") for path in others.split(b"\0") if path.endswith(b"/")]


def _reading(own: Path, *others: Path) -> dict[str, str]:
    """The environment in which git reads several object stores and writes, if at all, into the first."""
    quoted = ('"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"' for path in dict.fromkeys(others))
    return {"GIT_OBJECT_DIRECTORY": str(own), "GIT_ALTERNATE_OBJECT_DIRECTORIES": os.pathsep.join(quoted)}


def _compare(before: Snapshot | None, after: Snapshot, deadline: Deadline) -> list[FileChange]:
    """The changes between two snapshots, or everything in a repository that is new."""
    stores = [after.objects, *((before.store.objects, before.objects) if before else ())]
    environment = _reading(after.store.objects, *stores)

    def run(*arguments: str) -> bytes:
        return git(after.root, *arguments, deadline=deadline, environment=environment)

    old = before.tree if before else run("hash-object", "-t", "tree", "--stdin").decode().strip()
    options = ("-r", "-z", "--raw", "--numstat", "--no-renames", "--no-ext-diff", "--no-textconv")
    files = _changed(run("diff-tree", *options, "--ignore-submodules=none", old, after.tree), after)
    for path, inside in after.nested.items():
        files += _compare(before.nested.get(path) if before else None, inside, deadline)
    return files


def _changed(diff: bytes, after: Snapshot) -> list[FileChange]:
    """Read what `git diff-tree -z --raw --numstat` says: first `:modes ids status`, path of all; then their lines."""
    files: dict[bytes, FileChange] = {}
    words = iter(diff.split(b"\0"))
    for word in words:
        if word.startswith(b":"):
            old_mode, _, old_id, new_id, status = word[1:].split(b" ")
            path = next(words, b"")
            if _counts(path, old_mode, status, after) and (old_id != new_id or status == b"T"):
                files[path] = FileChange(after.root / os.fsdecode(path), status == b"A")
        elif word:
            plus, minus, path = word.split(b"\t", 2)
            if path in files and plus != b"-":
                files[path].lines_added += int(plus)
                files[path].lines_removed += int(minus)
    return list(files.values())


def _counts(path: bytes, old_mode: bytes, status: bytes, after: Snapshot) -> bool:
    """Whether a difference is one of content."""
    if path in after.nested:
        return old_mode not in (ABSENT, GITLINK)  # else its files are compared one by one
    return status != b"D" or not _is_file(after.root / os.fsdecode(path))  # else it is only ignored now


def _is_file(path: Path) -> bool:
    try:
        return not stat.S_ISDIR(path.lstat().st_mode)
    except OSError:
        return False


def _commits(root: Path, before: str | None, after: str | None, deadline: Deadline) -> int:
    if after is None or after == before:
        return 0
    old = ["--not", before] if before else []
    return int(git(root, "rev-list", "--count", after, *old, deadline=deadline))
