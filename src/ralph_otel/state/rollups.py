"""Rollups: what happened in the last 5 minutes, hour, day, and in all, in memory that does not grow.

Each window is a ring of slots; a slot holds counts and a quantile sketch, so that a window's quantiles come from
merging its slots. The sketch is DDSketch (https://arxiv.org/abs/1908.10693): any quantile within 1 % of its true value.
"""

from __future__ import annotations

from ddsketch import DDSketch

from ralph_otel.model import Rollup

WINDOWS: dict[str, int] = {"5m": 300, "1h": 3_600, "24h": 86_400}
"""The windows' names and lengths in seconds; `all` comes on top."""
SLOTS = 60
"""Slots a window is cut into: its length is right to one part in this many."""
KEPT = SLOTS + 8
"""Slots that are kept of a window, those of times outside it included."""
QUANTILES = (0.5, 0.9, 0.99)
_ACCURACY = 0.01
_LEAST, _MOST = 1e-6, 1e8  # seconds; what bounds a sketch's size


class Slot:
    """What happened in one stretch of time."""

    __slots__ = ("cost", "durations", "iterations", "reboots", "successes", "tokens")

    def __init__(self) -> None:
        self.iterations = 0
        self.successes = 0
        self.tokens = 0
        self.cost = 0.0
        self.reboots = 0
        self.durations = DDSketch(_ACCURACY)

    def absorb(self, other: Slot) -> None:
        """Add another stretch to this one."""
        self.iterations += other.iterations
        self.successes += other.successes
        self.tokens += other.tokens
        self.cost += other.cost
        self.reboots += other.reboots
        self.durations.merge(other.durations)

    def rollup(self) -> Rollup:
        """The same as a reader gets it."""
        p50, p90, p99 = (self.durations.get_quantile_value(q) or 0.0 for q in QUANTILES)
        ratio = self.successes / self.iterations if self.iterations else 0.0
        return Rollup(self.iterations, ratio, p50, p90, p99, self.tokens, self.cost, self.reboots)


class Window:
    """The slots of the last `length` seconds, and of some times besides.

    A line's time may be wrong. Which slots are old is judged by the middle one of the last three lines' times, so that
    a single line from far away displaces no others.
    """

    __slots__ = ("_recent", "_slots", "_width")

    def __init__(self, length: int) -> None:
        self._width = length * 1_000_000_000 // SLOTS
        self._slots: dict[int, Slot] = {}
        self._recent = (0, 0, 0)

    def at(self, ts: int) -> Slot:
        """The slot of a time in Unix nanoseconds."""
        return self._slot(ts // self._width)

    def _slot(self, index: int) -> Slot:
        self._recent = (index, *self._recent[:2])
        slot = self._slots.get(index)
        if slot is None:
            slot = self._slots[index] = Slot()
            if len(self._slots) > KEPT:
                self._forget()
        return slot

    def _forget(self) -> None:
        middle = sorted(self._recent)[1]
        for index in [index for index in self._slots if index <= middle - SLOTS]:
            del self._slots[index]
        while len(self._slots) > KEPT:
            del self._slots[max(self._slots, key=lambda index: abs(index - middle))]

    def total(self, now: int) -> Slot:
        """Everything in the window that ends now (Unix nanoseconds)."""
        newest = now // self._width
        total = Slot()
        for index, slot in self._slots.items():
            if newest - SLOTS < index <= newest:
                total.absorb(slot)
        return total

    def absorb(self, other: Window) -> None:
        """Add another loop's window of the same length."""
        for index, theirs in sorted(other._slots.items()):
            self._slot(index).absorb(theirs)


class Rollups:
    """All windows of one loop."""

    __slots__ = ("_all", "_windows")

    def __init__(self) -> None:
        self._windows = {name: Window(length) for name, length in WINDOWS.items()}
        self._all = Slot()

    def _slots(self, ts: int) -> list[Slot]:
        return [*(window.at(ts) for window in self._windows.values()), self._all]

    def iteration(self, ts: int, success: bool, duration: float) -> None:
        """An iteration finished then: whether it succeeded, and its seconds."""
        duration = min(max(duration, _LEAST), _MOST)
        for slot in self._slots(ts):
            slot.iterations += 1
            slot.successes += success
            slot.durations.add(duration)

    def usage(self, ts: int, tokens: int, cost: float) -> None:
        """Tokens and US dollars were spent then."""
        for slot in self._slots(ts):
            slot.tokens += tokens
            slot.cost += cost

    def reboot(self, ts: int) -> None:
        """A reboot began then."""
        for slot in self._slots(ts):
            slot.reboots += 1

    def absorb(self, other: Rollups) -> None:
        """Add another loop's."""
        for name, window in self._windows.items():
            window.absorb(other._windows[name])
        self._all.absorb(other._all)

    def at(self, now: int) -> dict[str, Rollup]:
        """The windows that end now (Unix nanoseconds), by name."""
        rollups = {name: window.total(now).rollup() for name, window in self._windows.items()}
        rollups["all"] = self._all.rollup()
        return rollups
