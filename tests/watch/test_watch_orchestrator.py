from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from watched import Journals, MemoryFolder, iso

from ralph_otel.watch.orchestrator import STOP_REASONS, Orchestrator
from support.tape import T0, at

EVENTS = ".ralph/events-20231114-221320.jsonl"


def row(seconds: float, topic: str, iteration: int = 0, payload: Any = "", **fields: Any) -> str:
    text = payload if isinstance(payload, str) else json.dumps(payload)
    known = {"ts": iso(seconds, places=9), "iteration": iteration, "hat": "loop", "topic": topic, "payload": text}
    return json.dumps({**known, **fields}) + "\n"


def start(seconds: float = 0, topic: str = "task.start") -> str:
    return row(seconds, topic, triggered="planner", payload="SECRET PROMPT")


def summary(seconds: float, iteration: int, **metrics: Any) -> str:
    known = {
        "duration_ms": 4000,
        "cost_usd": 0.25,
        "num_turns": 2,
        "input_tokens": 1210,
        "output_tokens": 10,
        "cache_read_tokens": 1000,
        "cache_write_tokens": 200,
        "context_window": 200000,
        "context_tokens": 1210,
        "context_pct": 0,
    }
    return row(seconds, "iteration.summary", iteration, {**known, **metrics})


def end(seconds: float, reason: str = "completed") -> str:
    return row(seconds, "loop.terminate", 2, f"## Reason\n{reason}\n\n## Status\nDone.\n\n## Summary\n- Iterations: 2")


AGENTS_ROW = '{"payload":"SECRET","topic":"loop.terminate","ts":"2023-11-14T22:13:25+00:00"}\n'


@pytest.fixture
def folder() -> MemoryFolder:
    return MemoryFolder({EVENTS: start() + summary(5, 1) + AGENTS_ROW + summary(9, 2) + end(10)})


@pytest.fixture
def journals(tmp_path: Path) -> Journals:
    return Journals(tmp_path)


def test_iterations_cost_tokens_context_and_the_reason_arrive(folder: MemoryFolder, journals: Journals) -> None:
    metrics = journals.read(Orchestrator(), folder).metrics()
    assert (metrics.total_iterations, metrics.successful_iterations) == (2, 2)
    assert metrics.avg_iteration_duration == 4.0
    assert metrics.total_execution_time == pytest.approx(10.0)
    assert metrics.session.sessions_created == 2
    assert metrics.rollups["all"].cost == pytest.approx(0.5)
    assert journals.reason() == "completed"
    [usage, _] = journals.of_type("usage.measured")
    assert (usage["input_tokens"], usage["output_tokens"], usage["cost_source"]) == (10, 10, "reported")
    assert (usage["cache_read_tokens"], usage["cache_creation_tokens"]) == (1000, 200)
    assert journals.of_type("context.measured")[0]["percent"] == pytest.approx(0.605)
    assert [line["turns"] for line in journals.of_type("agent.finished")] == [2, 2]


def test_times_are_those_of_the_rows(folder: MemoryFolder, journals: Journals) -> None:
    journals.read(Orchestrator(), folder)
    assert journals.lines()[0]["ts"] == T0
    assert [line["ts"] for line in journals.of_type("iteration.started")] == [at(1), at(5)]
    assert [line["ts"] for line in journals.of_type("iteration.finished")] == [at(5), at(9)]


def test_what_agents_write_into_the_file_is_not_believed(folder: MemoryFolder, journals: Journals) -> None:
    folder.put(EVENTS, start() + AGENTS_ROW + summary(5, 1))
    assert journals.read(Orchestrator(), folder).reason() is None
    assert "SECRET" not in journals.paths()[0].read_text()


def test_zeros_are_no_measurement(folder: MemoryFolder, journals: Journals) -> None:
    zeros = dict.fromkeys(
        ("cost_usd", "num_turns", "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens",
         "context_tokens"), 0,
    )  # fmt: skip
    folder.put(EVENTS, start() + summary(5, 1, **zeros))
    types = journals.read(Orchestrator(), folder).types()
    assert "usage.measured" not in types
    assert "context.measured" not in types
    assert journals.metrics().total_iterations == 1


def test_rows_that_come_later_go_on_where_the_others_ended(journals: Journals) -> None:
    folder, format_ = MemoryFolder({EVENTS: start()}), Orchestrator()
    journals.read(format_, folder)
    folder.add(EVENTS, summary(5, 1)[:50])
    journals.read(format_, folder)
    folder.add(EVENTS, summary(5, 1)[50:] + end(6, "max_runtime"))
    journals.read(format_, folder)
    assert journals.metrics().total_iterations == 1
    assert journals.reason() == "max_duration"
    assert len(journals.paths()) == 1


def test_an_iteration_that_goes_on_is_open_though_no_row_says_so(journals: Journals) -> None:
    folder, format_ = MemoryFolder({EVENTS: start() + summary(5, 1)}), Orchestrator()
    folder.now = at(6)
    assert journals.read(format_, folder).of_type("iteration.started")[-1]["iteration"] == 1
    folder.now = at(60)
    journals.read(format_, folder).read(format_, folder)
    assert [line["iteration"] for line in journals.of_type("iteration.started")] == [1, 2]
    folder.add(EVENTS, summary(90, 2, duration_ms=84_000))
    journals.read(format_, folder)
    assert len(journals.of_type("iteration.started")) == 2
    assert journals.of_type("iteration.finished")[-1]["duration"] == 84.0


def test_a_loop_that_is_continued_is_the_same_run(folder: MemoryFolder, journals: Journals) -> None:
    format_ = Orchestrator()
    journals.read(format_, folder)
    folder.add(EVENTS, start(100, "task.resume") + summary(105, 1) + end(106, "max_iterations"))
    journals.read(format_, folder)
    assert len(journals.paths()) == 1
    assert journals.metrics().total_iterations == 3
    assert journals.reason() == "max_iterations"
    assert journals.metrics().total_execution_time == pytest.approx(16.0)
    spans = [line["span_id"] for line in journals.of_type("iteration.started")]
    assert len(set(spans)) == 3, "the first iteration after --continue has the number of an earlier one"


@pytest.mark.parametrize(("word", "reason"), sorted(STOP_REASONS.items()))
def test_every_reason_of_its_own_has_one_of_ours(word: str, reason: str, journals: Journals) -> None:
    journals.read(Orchestrator(), MemoryFolder({EVENTS: start() + end(3, word)}))
    assert journals.reason() == reason
    assert journals.of_type("stop_condition.triggered")[0]["condition"] == word


def test_an_unknown_reason_is_an_error(journals: Journals) -> None:
    journals.read(Orchestrator(), MemoryFolder({EVENTS: start() + end(3, "engine_melted")}))
    assert journals.reason() == "error"


def test_every_file_is_a_run(folder: MemoryFolder, journals: Journals) -> None:
    folder.put(".ralph/events-20231115-000000.jsonl", start(6400) + summary(6410, 1))
    journals.read(Orchestrator(), folder)
    assert [journals.metrics(run).total_iterations for run in (0, 1)] == [2, 1]
    assert [journals.reason(run) for run in (0, 1)] == ["completed", None]


def test_the_lock_names_the_process_of_the_run_that_took_it(folder: MemoryFolder, journals: Journals) -> None:
    folder.put(".ralph/loop.lock", {"pid": 4711, "started": iso(-1, "Z", 9), "prompt": "SECRET"})
    journals.read(Orchestrator(), folder)
    assert journals.lines()[0]["pid"] == 4711
    assert "SECRET" not in journals.paths()[0].read_text()


def test_a_lock_of_another_time_names_nobody(folder: MemoryFolder, journals: Journals) -> None:
    folder.put(".ralph/loop.lock", {"pid": 4711, "started": iso(5000, "Z"), "prompt": ""})
    assert "pid" not in journals.read(Orchestrator(), folder).lines()[0]


def test_bad_rows_are_counted_and_cost_nothing_else(journals: Journals) -> None:
    text = start() + "not json\n" + '{"ts":"yesterday","topic":"x"}\n' + "[1]\n\n" + summary(5, 1)
    format_ = Orchestrator()
    journals.read(format_, MemoryFolder({EVENTS: text}))
    assert format_.bad == 3
    assert journals.metrics().total_iterations == 1


def test_it_is_found_by_its_files() -> None:
    assert Orchestrator.here(MemoryFolder({EVENTS: ""}))
    assert Orchestrator.here(MemoryFolder({".ralph/current-events": "x"}))
    assert not Orchestrator.here(MemoryFolder({".ralph/status.json": "{}"}))
