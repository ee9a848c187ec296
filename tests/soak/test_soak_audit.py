"""The comparison finds what is missing, and what is too much, wherever it is."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from benchmarks.soak.audit import Audit, audit
from benchmarks.soak.emitter import iterate
from benchmarks.soak.figures import FIGURES, Account, Turn
from benchmarks.soak.receiver import Store
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from ralph_otel.events import Line
from ralph_otel.journal import Journal
from ralph_otel.probe import Loop

TURNS = 60


class Night:
    """A loop with its account and its journal, and what would arrive of it."""

    def __init__(self, folder: Path) -> None:
        self.accounts, self.runs, self.store = folder / "instance", folder / "runs", Store()
        self.journal = self.runs / "instance.jsonl"
        self.spans: list[str] = []
        journal, account, dice = Journal(self.journal), Account(self.accounts / "instance"), random.Random(1)

        def sink(line: Line) -> None:
            if line["type"].endswith(".started") or line["type"] == "tests.finished":
                self.spans.append(line["span_id"])
            journal.append(line)

        self.turns = [Turn.drawn(dice) for _ in range(TURNS)]
        with Loop("night", sink, run_id="instance") as loop:
            for turn in self.turns:
                account.begin(turn)
                iterate(loop, turn)
                account.end()
        journal.close()
        account.begin(self.turns[0])  # the process is killed in the next one
        account.close()

    def counts(self) -> dict[str, int]:
        return {name: sum(turn.counts()[name] for turn in self.turns) for name in FIGURES}

    def arrive(self, spans: list[str] | None = None, part: bool = False, **differ: int) -> Audit:
        """The audit, once so many spans have come, and metrics whose figures differ from the true ones by so much."""
        request = ExportTraceServiceRequest()
        scope = request.resource_spans.add().scope_spans.add()
        for each in self.spans if spans is None else spans:
            scope.spans.add(span_id=bytes.fromhex(each))
        self.store.take("traces", request.SerializeToString(), part)
        self.store.take("metrics", metrics({**self.counts(), **differ}), part)
        return audit([self.accounts], self.runs, self.store)


def metrics(counts: dict[str, int]) -> bytes:
    request = ExportMetricsServiceRequest()
    resource = request.resource_metrics.add()
    resource.resource.attributes.add(key="service.instance.id").value.string_value = "instance"
    made = resource.scope_metrics.add().metrics

    def point(metric: str, label: str, value: str, number: float) -> None:
        added = made.add(name=metric).sum.data_points.add(as_double=number)
        added.attributes.add(key=label).value.string_value = value

    for name, count in counts.items():
        what, _, which = name.rpartition(" ")
        if which == "tokens":
            point("ralph_loop.tokens", "gen_ai.token.type", what, count)
        elif what == "test runs":
            point("ralph_loop.test_runs", "ralph.test.outcome", which, count)
        elif name == "cost":
            point("ralph_loop.cost", "gen_ai.request.model", "model-a", count / 1024)
        else:
            point("ralph_loop.iterations", "ralph.outcome", name, count)
    return bytes(request.SerializeToString())


@pytest.fixture
def night(tmp_path: Path) -> Night:
    return Night(tmp_path)


def test_nothing_is_wrong_where_all_has_come(night: Night) -> None:
    found = night.arrive()
    assert (found.wrong, found.missing, found.iterations, found.spans) == ([], 0, TURNS, len(night.spans))
    assert found.said == night.counts()


def test_an_older_export_that_comes_late_changes_nothing(night: Night) -> None:
    night.arrive()
    assert not night.arrive(success=1).wrong


@pytest.mark.parametrize("more", [-1, 1])
def test_a_figure_that_is_off_by_one_is_found(night: Night, more: int) -> None:
    found = night.arrive(cost=night.counts()["cost"] + more)
    assert len(found.wrong) == 1
    assert "cost" in found.wrong[0]


def test_a_span_that_is_missing_is_found(night: Night) -> None:
    found = night.arrive(night.spans[1:])
    assert (found.missing, found.short) == (1, [night.journal])


def test_spans_that_were_left_out_and_said_so_are_not_missing(night: Night) -> None:
    found = night.arrive(part=True)
    assert (found.missing, found.rejected) == (0, len(night.spans) // 3)


def test_spans_that_come_twice_are_counted(night: Night) -> None:
    night.arrive()
    night.arrive(night.spans[:5])
    assert night.store.twice == 5


@pytest.mark.parametrize("edit", [lambda lines: lines[:-5], lambda lines: [*lines, *again(lines)]])
def test_a_journal_that_says_less_or_more_than_was_done_is_found(
    night: Night, edit: Callable[[list[bytes]], list[bytes]]
) -> None:
    night.journal.write_bytes(b"".join(edit(night.journal.read_bytes().splitlines(keepends=True))))
    assert any("in the journal" in each for each in night.arrive().wrong)


def again(lines: list[bytes]) -> list[bytes]:
    """Two further usages than were done, more than what is underway can be."""
    usage = next(line for line in lines if b"usage.measured" in line)
    return [usage, usage]
