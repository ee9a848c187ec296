"""The progress score: did an iteration bring the goal nearer?

A score is the sum of the weights of the signals that were seen, divided by the sum of all weights. The weights and the
threshold are those of the loop plan that the metrics' specification (chapter 108) belongs to. Of its seven signals the
embedded runner sees five: it runs no linter and measures no coverage, so a score never exceeds 1.6 ÷ 1.9.
"""

from __future__ import annotations

from collections.abc import Callable

from ralph_otel.events import PROGRESS_THRESHOLD, TestsFinished
from ralph_otel.progress.worktree import Changes

WEIGHTS = {
    "modified files": 0.3,
    "created files": 0.2,
    "tests improved": 0.4,
    "tests added": 0.2,
    "build fixed": 0.5,
    "lint improved": 0.1,
    "coverage increased": 0.2,
}


def _total(tests: TestsFinished) -> int:
    return tests.passed + tests.failed + (tests.skipped or 0)


_FROM_FILES: dict[str, Callable[[Changes], bool]] = {
    "modified files": lambda changes: changes.files_changed > changes.files_created,
    "created files": lambda changes: changes.files_created > 0,
}
_FROM_TESTS: dict[str, Callable[[TestsFinished, TestsFinished], bool]] = {
    "tests improved": lambda before, after: after.passed > before.passed,
    "tests added": lambda before, after: _total(after) > _total(before) and after.failed <= before.failed,
    "build fixed": lambda before, after: before.failed > 0 and before.passed == 0 and after.passed > 0,
}


def score(changes: Changes | None, before: TestsFinished | None, after: TestsFinished | None) -> float:
    """Score an iteration, 0 (nothing) to 1.

    - Modified files: a file that was there has other content, or is gone.
    - Created files: a file is new.
    - Tests improved: more tests pass. Fewer failures alone don't count: deleting a test would do that.
    - Tests added: there are more tests, and no more of them fail. (A test command that breaks counts as one failure,
      and is no new test.)
    - Build fixed: no test passed before, because nothing built or the command broke; now some do.

    An iteration that changed no file scores 0 whatever the tests say: they are flaky, then.

    Args:
        changes: What the iteration changed; None if unknown: then the tests alone decide.
        before: The test run before it; None if there was none: then no test counts.
        after: The test run at its end; None likewise.
    """
    if changes is not None and changes.files_changed == 0:
        return 0.0
    seen = [name for name, holds in _FROM_FILES.items() if changes is not None and holds(changes)]
    if before is not None and after is not None:
        seen += [name for name, holds in _FROM_TESTS.items() if holds(before, after)]
    return round(sum(WEIGHTS[name] for name in seen) / sum(WEIGHTS.values()), 4)


def made_progress(score: float) -> bool:
    """Whether a score is progress. Each of the signals that the runner sees reaches that alone."""
    return score >= PROGRESS_THRESHOLD
