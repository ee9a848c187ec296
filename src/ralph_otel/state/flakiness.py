"""Tests that pass and fail by turns."""

from __future__ import annotations

FLAKY_WINDOW, FLAKY_LEAST, FLAKY_RATIO = 20, 5, 0.2
_ALL = (1 << FLAKY_WINDOW) - 1
MAX_TEST_IDS = 50_000
"""Test ids whose history is kept; further ones are not looked at for flakiness."""


class Flakiness:
    """The last results of every test.

    Attributes:
        flaky: the ids of tests that have among their last 20 results at least 5, more than a fifth of them changes.
    """

    def __init__(self) -> None:
        self.flaky: set[str] = set()
        self._histories: dict[str, tuple[int, int]] = {}

    def note(self, test: str, ok: bool) -> None:
        """Put a result into a test's history: its last 20 as bits, the newest lowest, and how many there are."""
        history = self._histories.get(test)
        if history is None:
            if len(self._histories) >= MAX_TEST_IDS:
                return
            history = (0, 0)
        bits, count = (history[0] << 1 | ok) & _ALL, min(history[1] + 1, FLAKY_WINDOW)
        if history == (bits, count):  # as most are: full, and always the same
            return
        self._histories[test] = (bits, count)
        changes = ((bits ^ (bits >> 1)) & ((1 << (count - 1)) - 1)).bit_count()
        if count >= FLAKY_LEAST and changes / count > FLAKY_RATIO:
            self.flaky.add(test)
        else:
            self.flaky.discard(test)
