"""The time of a run, as its lines tell it: one line that is far from all others does not move it.

A broken line, or a clock that was wrong for a moment, may say the year 2200. Were it believed, the run's windows would
end then, and show nothing of what follows. So a line more than a day from the run's time is believed when the next one
agrees; before, one from the future counts as of the run's time. It is a question of the lines alone: live, replayed and
after a crash the answer is the same.
"""

from __future__ import annotations

FAR = 86_400_000_000_000
"""Nanoseconds beyond which a line is doubted. A machine that slept longer costs one line its time."""


class Clock:
    """A run's time.

    Attributes:
        now: the latest time that is believed, Unix nanoseconds; 0 before the first line.
        doubted: how many lines were not believed.
    """

    __slots__ = ("_other", "doubted", "now")

    def __init__(self) -> None:
        self.now = 0
        self.doubted = 0
        self._other: int | None = None
        """What the line before said, if that was doubted."""

    def read(self, ts: int, resumes: bool = False) -> int:
        """The time that a line counts as of.

        Args:
            ts: what it says, Unix nanoseconds.
            resumes: whether it begins a run that had ended: then any time later will do.
        """
        distance = ts - self.now
        if not self.now or -FAR <= distance <= FAR or (resumes and distance > 0):
            self._other = None
            if ts > self.now:
                self.now = ts
            return ts
        if self._other is not None and abs(ts - self._other) <= FAR:
            self._other, self.now = None, ts  # two say so: the clock was set, or the machine slept
            return ts
        self._other = ts
        self.doubted += 1
        return min(ts, self.now)
