"""Counts of tests and the outcome of each, bounded however many tests there are."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

MAX_RESULTS = 5_000
"""The most test ids kept of one run; later ones are counted but not named."""
MAX_ID = 256
"""The longest test id, in characters; longer ones are cut."""

PASSED, FAILED, SKIPPED, RAN = "passed", "failed", "skipped", "ran"

WORDS = {
    **dict.fromkeys(("passed", "passing", "pass", "xfailed", "xpassed"), PASSED),
    **dict.fromkeys(("failed", "failing", "fail", "failures", "error", "errors", "cancelled"), FAILED),
    "unexpected successes": FAILED,
    **dict.fromkeys(("skipped", "ignored", "pending", "todo"), SKIPPED),
    "ran": RAN,
    "deselected": "deselected",
}
"""What test programs call their counts. `ran` counts passed, failed and (most) skipped tests together; deselected
tests are none, but only a test program speaks of them."""

_WORDS = r"[a-z]{1,20}(?: [a-z]{1,20}){0,2}"  # bounded, so that a long line takes no long time
NUMBER_AND_WORD = re.compile(rf"\b(?:([0-9]{{1,9}}) ({_WORDS})|({_WORDS})[ =]([0-9]{{1,9}}))", re.IGNORECASE)


def counts_in(text: str) -> Counter[str]:
    """Read what a summary says, such as `1 failed, 2 passed` or `errors=3`; empty if it speaks of no tests."""
    counts: Counter[str] = Counter()
    for number, word, word_before, number_after in NUMBER_AND_WORD.findall(text):
        if outcome := WORDS.get((word or word_before).lower()):
            counts[outcome] += int(number or number_after)
    return counts


@dataclass
class Tally:
    """How many tests passed, failed and were skipped, and by test id whether it passed."""

    counts: Counter[str] = field(default_factory=Counter)
    results: dict[str, bool] = field(default_factory=dict)

    @property
    def failed(self) -> int:
        return self.counts[FAILED]

    @property
    def skipped(self) -> int:
        return self.counts[SKIPPED]

    @property
    def passed(self) -> int:
        """Tests that passed; where a program says only how many ran, those that neither failed nor were skipped."""
        return self.counts[PASSED] + max(0, self.counts[RAN] - self.failed - self.skipped)

    def count(self, outcome: str, test: str = "") -> None:
        """Count one test: `passed`, `failed` or `skipped`."""
        self.counts[outcome] += 1
        if outcome != SKIPPED:
            self.record(test, outcome == PASSED)

    def record(self, test: str, passed: bool) -> None:
        """Keep a test's outcome. A test that ran several times has passed if it never failed."""
        name = "".join(filter(str.isprintable, test))[:MAX_ID]
        if name and (name in self.results or len(self.results) < MAX_RESULTS):
            self.results[name] = self.results.get(name, True) and passed

    def add(self, other: Tally, prefix: str = "") -> None:
        """Add another tally to this one; `prefix` goes before its test ids."""
        self.counts.update({PASSED: other.passed, FAILED: other.failed, SKIPPED: other.skipped})
        for test, passed in other.results.items():
            self.record(prefix + test, passed)
