"""Whose work a changed file is."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ralph_otel.progress.turns import Turn
from ralph_otel.progress.worktree import FileChange

_SKEW = 1_000_000_000
"""Nanoseconds from which on a file server's clock is not ours."""


@dataclass
class Shares:
    """Whose work some changed files are.

    Attributes:
        own: for each of the iterations that have ended, what it has changed last.
        later: what was changed after they ended.
        times: when each of all these files was changed last, in Unix nanoseconds.
    """

    own: list[list[FileChange]]
    later: list[FileChange]
    times: list[int]

    def may_have_more(self, turn: Turn, others: Iterable[Turn]) -> bool:
        """Whether other iterations have changed files since this one ended, which this one may have changed as well."""
        since = [when for when in self.times if when > turn.finished]
        return any(other.holds(when) for other in others if other is not turn for when in since)


def share(
    files: Iterable[FileChange],
    turns: Sequence[Turn],
    since: int,
    times_of: Callable[[Path], list[int]],
    before: Collection[Path] = (),
) -> Shares:
    """Give each changed file to the iterations in which it was changed, as far as that is known.

    Args:
        files: all that have changed.
        turns: the iterations, all of them finished, the last one last.
        since: when the state was recorded that they have changed from, in Unix nanoseconds.
        times_of: when a file was changed, likewise, the last time last; nothing where that is not known: then it is
            the last iteration's work.
        before: those that had been changed when the state was recorded: their times may well be earlier.
    """
    shares, end = Shares([[] for _ in turns], [], []), turns[-1].finished
    for file in files:
        earliest = 0 if file.path in before else since - _SKEW
        times = [end if when < earliest else when for when in times_of(file.path)] or [end]
        shares.times += times
        owners = {index for when in times for index, turn in enumerate(turns) if turn.holds(when)}
        if owners:
            shares.own[max(owners)].append(file)
        if times[-1] > end:
            shares.later.append(FileChange(file.path, False) if owners else file)
    return shares


def changed_at(path: Path) -> int | None:
    """When a file was changed last, in Unix nanoseconds: its content, its name or its mode.

    Of a file that is gone, it is when the folder that it was in was changed. None where nothing is known.
    """
    try:
        return path.lstat().st_ctime_ns
    except OSError:
        pass
    for folder in path.parents:
        try:
            return folder.lstat().st_mtime_ns
        except OSError:
            continue
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
