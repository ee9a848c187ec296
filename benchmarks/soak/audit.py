"""What the loops say of themselves, what their journals say, and what has arrived: is it the same?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.soak.figures import COST_UNIT, FIGURES, Counts, nothing, read
from benchmarks.soak.receiver import Store
from ralph_otel.events import Line
from ralph_otel.runs import fold
from ralph_otel.state import RunState

_SPANS = ("loop.started", "session.started", "iteration.started", "trace.continued", "tests.finished")
"""Lines whose span id becomes a span."""


@dataclass
class Run:
    """A journal, folded.

    Attributes:
        counts: its figures.
        spans: the ids of the spans that it makes.
        bad: lines that could not be read.
        reason: why the run has stopped; None where no end is written.
    """

    counts: Counts = field(default_factory=nothing)
    spans: set[int] = field(default_factory=set)
    bad: int = 0
    reason: str | None = None

    @staticmethod
    def of(journal: Path) -> Run:
        """Fold a journal.

        Raises:
            OSError: it cannot be read.
        """
        run = Run()
        folded = fold(journal, run._take)
        run.bad = folded.bad_lines
        return run

    def _take(self, line: Line, state: RunState) -> None:
        type_ = line["type"]
        if type_ in _SPANS:
            self.spans.add(int(line["span_id"], 16))
        if type_ == "iteration.finished":
            self.counts[line["outcome"]] += 1
        elif type_ == "usage.measured":
            self.counts["input tokens"] += line["input_tokens"]
            self.counts["output tokens"] += line["output_tokens"]
            self.counts["cost"] += round(line["cost_usd"] * COST_UNIT)
        elif type_ == "tests.finished":
            self.counts["test runs failed" if line["failed"] else "test runs passed"] += 1
        elif type_ == "loop.stopped":
            self.reason = line["reason"]


@dataclass
class Audit:
    """Some instances, each a process with one or several runs.

    Attributes:
        least: the sums of the loops' own accounts.
        most: the same with what was underway when a process was ended.
        said: the sums of the journals.
        arrived: the sums of what has arrived of each instance.
        spans: those that the journals make.
        missing: spans that have not arrived.
        rejected: spans that the receiver left out, and said so.
        bad: lines of journals that could not be read.
        reasons: why the runs have stopped.
        wrong: what is not as it must be, a text each.
    """

    least: Counts = field(default_factory=nothing)
    most: Counts = field(default_factory=nothing)
    said: Counts = field(default_factory=nothing)
    arrived: dict[str, float] = field(default_factory=lambda: dict.fromkeys(FIGURES, 0.0))
    runs: int = 0
    spans: int = 0
    missing: int = 0
    rejected: int = 0
    bad: int = 0
    reasons: Counter[str | None] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    short: list[Path] = field(default_factory=list)
    """Journals of instances of which less has arrived than they say."""

    def add(self, accounts: Path, journals: Path, store: Store) -> None:
        """Take in an instance.

        Args:
            accounts: the folder with its loops' accounts; its name is the instance's id.
            journals: the folder of all journals.
            store: what has arrived.
        """
        total = nothing()
        paths = [journals / f"{account.name}.jsonl" for account in sorted(accounts.iterdir())]
        lost = 0
        for path in paths:
            least, most = read(accounts / path.stem)
            run = Run.of(path)
            self.runs += 1
            self.bad += run.bad
            self.reasons[run.reason] += 1
            for name in FIGURES:
                total[name] += run.counts[name]
                self.least[name] += least[name]
                self.most[name] += most[name]
                if not least[name] <= run.counts[name] <= most[name]:
                    self.wrong.append(
                        f"{path.stem}: {name}: {run.counts[name]} in the journal, {least[name]} to {most[name]} done"
                    )
            absent = run.spans - store.spans
            refused = absent & store.rejected
            self.spans += len(run.spans)
            self.rejected += len(refused)
            lost += len(absent - refused)
        self.missing += lost
        arrived = store.counts(accounts.name)
        differ = [name for name in FIGURES if arrived.get(name, 0) != total[name]]
        for name in FIGURES:
            self.said[name] += total[name]
            self.arrived[name] += arrived.get(name, 0)
        if differ:
            what = ", ".join(f"{name} {arrived.get(name, 0):g} of {total[name]}" for name in differ)
            self.wrong.append(f"{accounts.name}: arrived: {what}")
        if lost:
            self.wrong.append(f"{accounts.name}: {lost} spans have not arrived")
        if differ or lost:
            self.short += paths

    @property
    def iterations(self) -> int:
        """Those in the journals."""
        return sum(self.said[name] for name in FIGURES[:4])


def audit(instances: Iterable[Path], journals: Path, store: Store) -> Audit:
    """Compare some instances, by the folders of their accounts."""
    found = Audit()
    for each in instances:
        found.add(each, journals, store)
    return found
