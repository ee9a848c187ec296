"""Names without end: memory and the scrape stay bounded, with one overflow series and one warning."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator

import psutil
import pytest

from ralph_otel.events import Line
from ralph_otel.exporters.prometheus import render
from ralph_otel.notices import notice
from ralph_otel.signals.metrics import MAX_GENERIC, MAX_SERIES
from support.figures import Figures
from support.tape import T0

OVERFLOW = b'otel_metric_overflow="true"'
NAMED: dict[str, Callable[[int], Line]] = {
    "loops": lambda n: {"type": "loop.started", "name": f"loop-{n}", "loop": f"run-{n}"},
    "agents": lambda n: {"type": "agent.finished", "agent": f"agent-{n}", "duration": 1},
    "models": lambda n: {"type": "usage.measured", "model": f"model-{n}", "input_tokens": 3, "cost_usd": 0.1},
    "tools": lambda n: {"type": "tool.called", "tool": f"tool-{n}", "outcome": "success"},
    "errors": lambda n: {"type": "error.raised", "error_type": f"E{n}"},
    "label values of a counter": lambda n: {"type": "counter.added", "name": "c", "value": 1, "labels": {"a": f"v{n}"}},
    "label names of a gauge": lambda n: {"type": "gauge.set", "name": "g", "value": 1, "labels": {f"l{n}": "v"}},
    "label values of a histogram": lambda n: {
        "type": "histogram.observed", "name": "h", "value": 1, "labels": {"a": f"v{n}"},
    },
}  # fmt: skip
"""What is named, to a line that names the nth of them."""


def lines(of: Callable[[int], Line], start: int, end: int) -> Iterator[Line]:
    for n in range(start, end):
        yield {"v": 1, "ts": T0 + n, "loop": "run", **of(n)}


def scrape(figures: Figures) -> bytes:
    return render(figures.read())[0]


@pytest.mark.parametrize("named", NAMED)
def test_twenty_thousand_names_are_so_many_series_and_one_for_the_rest(named: str, heard: list[str]) -> None:
    figures = Figures().play(lines(NAMED[named], 0, 10_000))
    before, objects = scrape(figures).count(b"\n"), tracked()
    figures.play(lines(NAMED[named], 10_000, 20_000))
    after = scrape(figures)
    assert after.count(b"\n") == before
    assert OVERFLOW in after
    assert tracked() < objects * 1.05
    for metric in figures.metrics().values():
        assert len(metric.data.data_points) <= MAX_SERIES + 1
    assert len(heard) == 1
    assert "one series, otel_metric_overflow" in heard[0]


def test_what_overflows_is_counted_all_the_same() -> None:
    figures = Figures().play(lines(NAMED["tools"], 0, 5000))
    series = figures.series("ralph_loop.tool_calls")
    assert sum(series.values()) == 5000
    assert series[(("otel.metric.overflow", True),)] == 5000 - MAX_SERIES


def test_what_is_going_on_in_too_many_loops_goes_back_to_nothing() -> None:
    figures = Figures().play(lines(NAMED["loops"], 0, 5000))
    assert sum(figures.series("ralph_loop.active_runs").values()) == 5000
    ends: Callable[[int], Line] = lambda n: {"type": "loop.stopped", "reason": "completed", "loop": f"run-{n}"}  # noqa: E731
    figures.play(lines(ends, 4900, 5000))  # of earlier ones only the totals are kept
    assert sum(figures.series("ralph_loop.active_runs").values()) == 4900


def test_names_of_generic_operations_are_so_many_and_one_warning(heard: list[str]) -> None:
    figures = Figures().play(
        lines(lambda n: {"type": "counter.added", "name": f"own_{n}", "value": 1}, 0, 20_000),
    )
    assert len(figures.metrics()) == MAX_GENERIC
    assert figures.signals.refused == 20_000 - MAX_GENERIC
    assert len(heard) == 1
    assert "put what varies into labels" in heard[0]


def test_a_thousand_bad_names_do_not_hide_what_else_there_is_to_say(heard: list[str]) -> None:
    for n in range(1000):
        notice(f"counter 'own_{n}': that name will not do")
    notice("the journal cannot be written")
    assert len(heard) == 21
    assert heard[19].endswith("; further ones like this are not said")
    assert heard[20] == "ralph-otel: the journal cannot be written"


@pytest.mark.faults
@pytest.mark.timeout(900)
@pytest.mark.parametrize("named", ["loops", "models", "tools", "label values of a counter"])
def test_names_without_end_take_no_more_memory_than_half_of_them(named: str) -> None:
    """With FAULTS_NAMES=1000000 for a million; fewer tell as much, and sooner."""
    half = int(os.environ.get("FAULTS_NAMES", "100000")) // 2
    figures, rss = Figures(), psutil.Process().memory_info
    figures.play(lines(NAMED[named], 0, half))
    size, memory = len(scrape(figures)), rss().rss
    figures.play(lines(NAMED[named], half, 2 * half))
    assert len(scrape(figures)) < size * 1.01
    assert rss().rss - memory < 32 << 20


def tracked() -> int:
    """How many objects there are that may hold others."""
    gc.collect()
    return len(gc.get_objects())
