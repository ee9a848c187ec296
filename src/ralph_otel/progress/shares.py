"""Whose work a changed file is."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ralph_otel.loop.worktree import FileChange
from ralph_otel.progress.turns import Turn

SLACK = 5_000_000
"""Nanoseconds by which a file's time may be behind: the kernel takes it from its last tick."""
_SKEW = 1_000_000_000
"""Nanoseconds from which on a file server's clock is not ours."""


@dataclass(frozen=True)
class Share:
    """What of some changed files belongs to iterations that have ended.

    Attributes:
        own: theirs.
        later: those that were changed after they ended.
    """

    own: list[FileChange]
    later: list[FileChange]


def share(
    files: Iterable[FileChange], turns: Sequence[Turn], since: int, changed_at: Callable[[Path], int | None]
) -> Share:
    """Tell the files that iterations have changed from those that were changed before and after.

    Args:
        files: all that have changed.
        turns: the iterations, all of them finished.
        since: when the state was recorded that they have changed from, in Unix nanoseconds.
        changed_at: when a file was changed last, likewise; None for one that is gone: that may be theirs.
    """
    start, end = min(turn.started for turn in turns), max(turn.finished for turn in turns)
    found = Share([], [])
    for file in files:
        when = changed_at(file.path)
        if when is None or when < since - _SKEW or start - SLACK <= when <= end:
            found.own.append(file)
        elif when > end:
            found.later.append(file)
    return found


def changed_at(path: Path) -> int | None:
    """When a file was changed last, in Unix nanoseconds: its content, its name or its mode. None: it is gone."""
    try:
        return path.lstat().st_ctime_ns
    except OSError:
        return None


def held_open(command: int, agents: Collection[int]) -> set[Path]:
    """The files that the processes of a command have open to write into them, except the agents and what is below."""
    import psutil

    held: set[Path] = set()
    try:
        waiting = [psutil.Process(command)]
    except psutil.Error:
        return held
    while waiting:
        process = waiting.pop()
        try:
            waiting += [child for child in process.children() if child.pid not in agents]
            files = process.open_files()
        except (psutil.Error, OSError):
            continue
        held.update(Path(file.path) for file in files if set("wa+") & set(getattr(file, "mode", "")))
    return held
