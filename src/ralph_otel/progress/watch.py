"""The thread that measures progress. What it does with what it sees is said in the package's description."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from ralph_otel.events import VERSION, Line, ProgressMeasured
from ralph_otel.journal import Journal
from ralph_otel.notices import notice
from ralph_otel.progress.baseline import RUNNERS_FOLDERS, Baseline
from ralph_otel.progress.looks import Looks
from ralph_otel.progress.score import score
from ralph_otel.progress.shares import changed_at, held_open, share
from ralph_otel.progress.turns import SLACK, JournalTurns, Turn
from ralph_otel.progress.worktree import TIMEOUT, Changes, FileChange, Snapshot, WorkTree
from ralph_otel.shims.shell_loop import Onlooker

_POLL = 0.2
"""Seconds between two looks into the journals, unless something wakes us."""
_LONG = 1.0
"""Seconds from which on a snapshot takes long."""
_FAILURES = 3


class ProgressWatch(Onlooker):
    """Measures the progress of a launch's iterations.

    Args:
        journals: the files that the loops' journals are, in the order in which they are made.
        folder: the folder in whose work tree the agents work. Outside of git, that of the first agent is asked.
        launched: when the launch began, in Unix nanoseconds.
        exclude: files and folders that are nobody's work.
        baseline: what was recorded before, if anything was.
    """

    def __init__(
        self,
        journals: Callable[[], Iterable[Path]],
        folder: Path,
        launched: int,
        exclude: Sequence[Path] = (),
        baseline: Baseline | None = None,
    ) -> None:
        self._journals = journals
        self._folders = [folder]
        self._exclude = [path.resolve() for path in exclude]
        self._baseline = baseline
        self._launched = launched
        self._read: dict[Path, JournalTurns] = {}
        self._root: Path | None = None
        self._before: Snapshot | None = None
        self._since = self._launched
        self._later: dict[Path, FileChange] = {}
        self._held: set[Path] = set()
        self._looks = Looks()
        self._head: str | None = None
        self._failures = 0
        self._rest_until = 0.0
        self._command = 0
        self._wake = threading.Event()
        self._deadline: float | None = None
        self._thread = threading.Thread(target=self._run, name="ralph-otel-progress", daemon=True)

    # -- from any thread -----------------------------------------------------------------------------------------------

    def start(self, command: int) -> None:
        """Begin.

        Args:
            command: the process id of what was launched.
        """
        self._command = command
        self._thread.start()

    def started(self, folder: str, logs: Sequence[str]) -> None:
        """An agent has started in that folder, with what it prints going into these files."""
        self._held.update(map(Path, logs))
        if self._root is None and Path(folder) not in self._folders:
            self._folders.append(Path(folder))
        self._wake.set()

    def ending(self, when: int) -> None:
        """An agent has just ended: what changes from now on is not its work."""
        self._looks.look(when)

    def ended(self) -> None:
        """The journal tells of it."""
        self._wake.set()

    def stop(self, timeout: float) -> None:
        """Measure what has ended, within `timeout` seconds, and end."""
        self._deadline = time.monotonic() + timeout
        self._wake.set()
        self._thread.join(timeout)

    # -- on its own thread ---------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while self._deadline is None and self._failures < _FAILURES:
                self._round(TIMEOUT)
                self._wake.wait(_POLL)
                self._wake.clear()
            if self._deadline is not None:
                self._rest_until = 0.0
                self._round(self._deadline - time.monotonic())
        except Exception as error:  # noqa: BLE001 — the loop is seen without it
            notice(f"progress is not measured on: {type(error).__name__}: {error}; please report this")
        for turns in self._read.values():
            turns.close()
        self._before = None  # its folder goes with it

    def _round(self, timeout: float) -> None:
        """Take in what has happened, and measure what has ended."""
        if self._before is None:
            self._begin(timeout)
        self._take_in()
        ended = [turn for each in self._read.values() for turn in each.finished]
        if self._before is None or not ended or time.monotonic() < self._rest_until or timeout <= 0:
            return
        began = time.monotonic()
        self._measure(ended, timeout)
        took = time.monotonic() - began
        if took > _LONG:
            self._rest_until = time.monotonic() + 4 * took
        for each in self._read.values():
            each.finished = [turn for turn in each.finished if turn not in ended]

    def _begin(self, timeout: float) -> None:
        """Take the state that the first iteration begins with.

        What has changed between the launch and the end of that record may be the iteration's work.
        """
        baseline, self._baseline = self._baseline, None
        if baseline is not None and (taken := baseline.snapshot(timeout)) is not None:
            self._root, self._before, self._since = baseline.root, taken, baseline.since
            is_early = baseline.until <= self._launched
        else:
            self._record(timeout)
            is_early = False
        if self._root is None or self._before is None:
            return
        tree, self._head = self._tree(timeout), self._before.head
        if (folders := tree.folders()) is not None:
            self._looks.follow(*folders)
        self._looks.watch(tree.paths(self._before) or (), self._launched - SLACK)
        for file in [] if is_early else tree.uncommitted(self._before) or []:
            if (when := changed_at(file.path)) is not None and when >= self._launched - SLACK:
                self._later[file.path] = FileChange(file.path, file.created)  # how many lines, is not known

    def _record(self, timeout: float) -> None:
        """Record the state as it is now."""
        while self._root is None and self._folders:
            found = WorkTree.find(self._folders.pop(0), timeout)
            self._root = found.root if found is not None else None
        if self._root is not None:
            tree = self._tree(timeout)
            self._before = tree.snapshot()
            if self._before is None:
                self._failed(tree)

    def _tree(self, timeout: float) -> WorkTree:
        assert self._root is not None, "it has been found"
        exclude = [*self._exclude, *(self._root / name for name in RUNNERS_FOLDERS)]
        return WorkTree(self._root, timeout, exclude)

    def _failed(self, tree: WorkTree) -> None:
        self._failures += 1
        if self._failures == _FAILURES:
            notice(f"progress is not measured: {tree.problem}")

    def _take_in(self) -> None:
        for path in self._journals():
            if path not in self._read:
                if not path.exists():
                    break
                self._read[path] = JournalTurns(path)
        for each in self._read.values():
            known = len(each.agents)
            each.read()
            if len(each.agents) > known:
                self._held.update(held_open(self._command, each.agents))

    def _measure(self, turns: list[Turn], timeout: float) -> None:
        """Say what iterations have changed that have ended since the last time."""
        tree, now = self._tree(timeout), time.time_ns()
        after = tree.snapshot()
        files = tree.files(self._before, after)
        if after is None or files is None:
            self._failed(tree)
            return
        self._failures = 0
        turns = sorted(turns, key=lambda turn: turn.finished)
        changed = {file.path: file for file in (*self._later.values(), *files) if self._is_work(file.path)}
        unchanged = self._later.keys() - {file.path for file in files}
        shares = share(changed.values(), turns, self._since, self._looks.changes, unchanged)
        counts = self._commits(tree, turns, after.head)
        self._before, self._since = after, now
        self._later = {file.path: file for file in shares.later}
        self._looks.forget(turns[-1].finished)
        self._looks.watch(changed)
        self._take_in()  # the runner may have said it meanwhile, or have gone on
        known = [turn for each in self._read.values() for turn in (*each.open, *each.finished)]
        clear = [
            (turn, own, count)
            for turn, own, count in zip(turns, shares.own, counts, strict=True)
            if not self._read[turn.journal].speaks and (own or count or not shares.may_have_more(turn, known))
        ]
        for turn, own, count in clear:
            self._append(turn, Changes.of(own, count))

    def _commits(self, tree: WorkTree, turns: Sequence[Turn], now: str | None) -> list[int]:
        """How many commits came with each iteration; where nobody looked when one ended, all till now with the last."""
        counts, known = [], self._head
        for turn in turns:
            head = self._looks.head(turn.finished)
            count = tree.commits(known, head) if head is not None else None
            if count is None:
                commits, self._head = tree.commits(self._head, now) or 0, now
                return [*[0] * (len(turns) - 1), commits]
            counts.append(count)
            known = head if count else known  # which may be a later one already
        self._head = known
        return counts

    def _is_work(self, path: Path) -> bool:
        return path not in self._held and not any(each == path or each in path.parents for each in self._exclude)

    def _append(self, turn: Turn, changes: Changes) -> None:
        event = ProgressMeasured(
            score(changes, None, None),
            files_changed=changes.files_changed,
            lines_added=changes.lines_added,
            lines_removed=changes.lines_removed,
            commits=changes.commits,
        )
        line: Line = {"v": VERSION, "type": event.type, "ts": time.time_ns(), "loop": turn.loop}
        line |= {"trace_id": turn.trace_id, "span_id": turn.span_id}
        line |= {name: value for name, value in vars(event).items() if value is not None}
        self._read[turn.journal].ours.add(turn.span_id)
        try:
            journal = Journal(turn.journal)
            journal.append(line)
            journal.close()
        except OSError as error:
            notice(f"cannot write {turn.journal}: {error.strerror}")
