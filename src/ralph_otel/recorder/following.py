"""The journals that a recorder follows: which there are, and what is new in them.

A journal is followed while its run goes on. Of very many, those of ended runs are let go, and how far they were read is
kept of the newest of these, so that a line that comes late counts once. So memory is bounded, however many there are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from ralph_otel.journal import Follower
from ralph_otel.notices import notice

MAX_FOLLOWED = 64
"""Journals followed at once; beyond, those of ended runs are let go. Each is an open file, of which the host needs some
itself: macOS gives a process 256 of them, unless it asks for more."""
_BATCH = 32 * 1024
"""Bytes of a journal that are worked off at a time: some milliseconds' work."""
MAX_REMEMBERED = 10_000
"""Journals that were let go of which it is known how far they were read: a line that comes later than that is not
looked for. A journal takes some 200 bytes here."""
_SETTLED = 1_000_000_000
"""Nanoseconds after which a folder's time tells a change from the one before, whatever the file system's clock."""


class Batch(NamedTuple):
    """Some of what is new in a journal.

    Args:
        lines: whole lines, without their ends.
        live: whether they happen now; not those that an earlier process has recorded.
        skipped: lines between them that were too long to be read.
    """

    lines: list[bytes]
    live: bool
    skipped: int


class Journals:
    """The journals that are followed. Belongs to the recorder's thread, but for `follow` and `follow_runs`."""

    def __init__(self) -> None:
        self._followers: dict[Path, Follower] = {}
        self._recorded: dict[Path, int] = {}  # of those that are followed
        self._ended: dict[Path, int] = {}  # how far those have been read that are not followed any more
        self._families: list[_Family] = []

    def __len__(self) -> int:
        return len(self._followers)

    def follow(self, path: Path, recorded: int = 0) -> None:
        """Follow a journal from its start on; it need not exist yet.

        Args:
            path: the journal.
            recorded: how many of its bytes an earlier process has recorded.
        """
        self._recorded.setdefault(path, recorded)
        if path not in self._followers:
            self._followers[path] = Follower(path, self._ended.pop(path, 0))

    def follow_runs(self, folder: Path, prefix: str) -> None:
        """Follow `<prefix>.jsonl`, and `<prefix>-2.jsonl` and so on as they appear."""
        self._families.append(_Family(folder, prefix))

    def find(self, active: Callable[[str], bool]) -> None:
        """Follow what has appeared, and let go of runs that ended, where there are too many.

        Args:
            active: whether the run with that id goes on.
        """
        for family in self._families:
            for path in family.appeared():
                self.follow(path)
        if len(self._followers) > MAX_FOLLOWED:
            self._let_go(active)

    def _let_go(self, active: Callable[[str], bool]) -> None:
        for path, follower in list(self._followers.items())[: -MAX_FOLLOWED // 2]:
            if not active(path.stem) and follower.offset >= follower.size and not follower.torn:
                follower.close()
                self._ended[path] = follower.offset
                if len(self._ended) > MAX_REMEMBERED:
                    del self._ended[next(iter(self._ended))]
                del self._followers[path]
                self._recorded.pop(path, None)

    def batches(self) -> Iterator[Batch]:
        """What is new, some lines at a time.

        What comes meanwhile is left for the next call, or a busy loop would keep a reading waiting for ever.
        """
        for follower in list(self._followers.values()):
            yield from self._batches_of(follower)

    def _batches_of(self, follower: Follower) -> Iterator[Batch]:
        recorded, end = self._recorded.get(follower.path, 0), follower.size
        while True:
            oversized, live = follower.oversized, follower.offset >= recorded
            try:
                lines = follower.read(_BATCH if live else min(_BATCH, recorded - follower.offset))
            except OSError as error:
                notice(f"cannot read {follower.path}: {error.strerror}")
                return
            skipped = follower.oversized - oversized
            if lines or skipped:
                yield Batch(lines, live, skipped)
            if follower.at_end or follower.offset >= end:
                return

    def close(self) -> None:
        """Give the files back."""
        for follower in self._followers.values():
            follower.close()


class _Family:
    """The journals of one launch, in a folder that may hold thousands of others."""

    def __init__(self, folder: Path, prefix: str) -> None:
        self._folder = folder
        self._prefix = prefix
        self._seen: int | None = None
        self._all_below = 1
        self._beyond: set[int] = set()  # few: the numbers are given one after the other

    def appeared(self) -> list[Path]:
        """Those that had not been there at any earlier call."""
        try:
            changed = self._folder.stat().st_mtime_ns
        except OSError:
            return []
        if changed == self._seen:
            return []
        self._seen = changed if time.time_ns() - changed > _SETTLED else None
        return [path for path in family(self._folder, self._prefix) if self._is_new(path)]

    def _is_new(self, path: Path) -> bool:
        number = _number(path.stem, self._prefix)
        if number < self._all_below or number in self._beyond:
            return False
        self._beyond.add(number)
        while self._all_below in self._beyond or len(self._beyond) > MAX_REMEMBERED:  # a gap that stays, was removed
            self._beyond.discard(self._all_below)
            self._all_below += 1
        return True


def family(folder: Path, prefix: str) -> list[Path]:
    """The journals of one launch that are there, in their order: `<prefix>.jsonl`, `<prefix>-2.jsonl` and so on."""
    found = {path: _number(path.stem, prefix) for path in folder.glob(f"{prefix}*.jsonl")}
    return sorted((path for path, number in found.items() if number), key=lambda path: found[path])


def _number(stem: str, prefix: str) -> int:
    """Which of a launch's journals one is, from 1; 0 for another's."""
    if stem == prefix:
        return 1
    number = stem.removeprefix(f"{prefix}-")
    return int(number) if number != stem and number.isdecimal() and len(number) < 10 else 0
