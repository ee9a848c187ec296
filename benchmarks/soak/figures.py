"""What is counted, and the account that a loop keeps of it by itself: it outlives `kill -9`."""

from __future__ import annotations

import mmap
import os
import random
import struct
from dataclasses import dataclass
from pathlib import Path

OUTCOMES = ("success", "failure", "timeout", "cancelled")
FIGURES = (*OUTCOMES, "input tokens", "output tokens", "cost", "test runs passed", "test runs failed")
"""The cost is in 1,024ths of a US dollar: binary fractions, whose sums are exact in any order."""
COST_UNIT = 1024
_FORMAT = struct.Struct(f"<{len(FIGURES)}q")

Counts = dict[str, int]


def nothing() -> Counts:
    """All figures at 0."""
    return dict.fromkeys(FIGURES, 0)


@dataclass(frozen=True)
class Turn:
    """What an iteration is going to do. `tests`: whether they pass; None where none are run."""

    outcome: str
    tokens: tuple[int, int]
    cost: int
    tests: bool | None

    @staticmethod
    def drawn(dice: random.Random) -> Turn:
        """The next one."""
        outcome = dice.choices(OUTCOMES, (80, 12, 5, 3))[0]
        tests = dice.random() < 0.8 if dice.random() < 0.25 else None
        return Turn(outcome, (dice.randrange(1, 5000), dice.randrange(1, 2000)), dice.randrange(1, 2048), tests)

    def counts(self) -> Counts:
        """What it adds to the figures."""
        counts = nothing()
        counts[self.outcome] = 1
        counts["input tokens"], counts["output tokens"] = self.tokens
        counts["cost"] = self.cost
        if self.tests is not None:
            counts["test runs passed" if self.tests else "test runs failed"] = 1
        return counts


class Account:
    """A loop's own account, in a file that is mapped: what is in it is there after any end of the process.

    It holds the figures of the iterations that are done, and the most that they can be with the one that is underway:
    an iteration that was interrupted may have said some of what it did, and may count as any outcome.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(2 * _FORMAT.size))
        fd = os.open(path, os.O_RDWR)
        self._map = mmap.mmap(fd, 2 * _FORMAT.size)
        os.close(fd)
        self._done, self._next = nothing(), nothing()

    def begin(self, turn: Turn) -> None:
        """An iteration begins."""
        self._next = {name: self._done[name] + count for name, count in turn.counts().items()}
        most = {**self._next, **{outcome: self._done[outcome] + 1 for outcome in OUTCOMES}}
        self._map[_FORMAT.size :] = _FORMAT.pack(*most.values())

    def end(self) -> None:
        """It is done."""
        self._done = self._next
        self._map[:] = _FORMAT.pack(*self._done.values()) * 2

    def close(self) -> None:
        """Give the file back."""
        self._map.close()


def works(path: Path) -> bool:
    """Whether the loop of an account has done an iteration."""
    return any(path.read_bytes()[: _FORMAT.size])


def read(path: Path) -> tuple[Counts, Counts]:
    """The least and the most that the loop of an account has done."""
    data = path.read_bytes()
    least, most = data[: _FORMAT.size], data[_FORMAT.size :]
    return _named(least), _named(most)


def _named(data: bytes) -> Counts:
    return dict(zip(FIGURES, _FORMAT.unpack(data), strict=True))
