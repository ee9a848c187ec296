"""The documents that are made from the declarations: not stale, and the schema says what a recorder can use."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ralph_otel import events, reference
from ralph_otel.catalog import COMMON, HEALTH, METRICS, RESOURCES
from ralph_otel.escapes import all_spelled_out
from ralph_otel.events import EVENTS, MAX_INTEGER, Line, fields_of, problem_with
from ralph_otel.journal import decode, encode
from ralph_otel.probe import Loop
from support.strategies import half_valid_line, json_values, valid_line

DOCS = Path(__file__).parent.parent / "docs"
SCHEMA = json.loads(reference.journal_schema())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


@pytest.mark.parametrize("name", reference.documents())
def test_a_page_of_the_documentation_is_not_stale(name: str) -> None:
    fresh = reference.documents()[name]
    assert (DOCS / name).read_text(encoding="utf-8") == fresh, f"docs/{name} is stale; `make docs` writes it anew"


def test_the_page_of_metrics_has_a_row_for_each_metric_and_each_attribute() -> None:
    page = reference.metrics_markdown()
    for metric in (*METRICS, *RESOURCES, *HEALTH):
        assert f"\n| `{metric.full_name()}` | {metric.kind.value}, `{metric.unit}` |" in page
        for attribute in (*COMMON, *metric.attributes):
            assert f"\n| `{attribute.name}` | {attribute.meaning} |" in page


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: str(event.type))
def test_the_page_of_events_has_a_row_for_each_field(event: type[events.Event]) -> None:
    _, _, section = reference.events_markdown().partition(f"\n## {event.type}\n")
    section = section.partition("\n## ")[0]
    for field in fields_of(event):
        optional = "" if field.required else "?"
        assert f"\n| `{field.name}`{optional} | {field.kind.name} | {field.doc} |" in section


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_every_line_of_a_loops_journal_is_valid() -> None:
    lines: list[Line] = []
    with Loop("sample", lines.append, max_iterations=3, attributes={"a": 1}) as loop:
        loop.pause()
        loop.resume()
        with loop.session(), loop.iteration() as iteration:
            with iteration.agent("claude", model="m") as agent:
                agent.tool("Edit", "failure", 0.5)
                agent.usage("m", 1, 2, 3, 4, 0.5, "estimated")
                agent.context_usage(61.5, 123_000, 200_000)
            iteration.tests(1, 1, 1, results={"a": True, "b": False})
            iteration.progress(0.5, True, 1, 2, 3, 4)
            iteration.error(KeyError("k"))
            iteration.fail("timeout")
        loop.reboot("redline", 88)
        for event in (
            events.CounterAdded("n", 1, {"a": "b"}),
            events.GaugeSet("n", -1),
            events.HistogramObserved("n", 1),
        ):
            loop.emit(event)
        loop.emit(events.ResourceSampled("agent", 0.5, 1e6, 2))
        loop.emit(events.EventsDropped(3))
        loop.stop("max_iterations")
    assert {line["type"] for line in lines} >= {event.type for event in EVENTS} - {"trace.continued"}
    for line in lines:
        VALIDATOR.validate(json.loads(encode(line)))


@pytest.mark.parametrize(
    "bad",
    [
        {"v": 2},
        {"v": "1"},
        {"v": True},
        {"type": ""},
        {"type": None},
        {"ts": -1},
        {"ts": "now"},
        {"ts": 1.5},
        {"loop": ""},
        {"loop": "x" * 257},
        {"trace_id": "0AF7651916CD43DD8448EB211C80319C"},
        {"span_id": "0"},
        {"passed": None},
        {"passed": -1},
        {"passed": True},
        {"failed": "0"},
        {"duration": -0.1},
        {"results": {"a": 1}},
        {"results": []},
        {"type": "loop.stopped", "reason": "done"},
        {"type": "progress.measured", "score": 1.01},
        {"type": "counter.added", "name": "n", "value": 1, "labels": {"a": [1]}},
    ],
)
def test_a_bad_line_is_neither_valid_nor_used(bad: Line) -> None:
    good: Line = {"v": 1, "type": "tests.finished", "ts": 1, "loop": "r", "passed": 1, "failed": 0}
    VALIDATOR.validate(good)
    line = {**good, **bad}
    assert problem_with(line) is not None
    assert not VALIDATOR.is_valid(line)


def test_what_a_line_must_have_the_schema_requires() -> None:
    good: Line = {"v": 1, "type": "tests.finished", "ts": 1, "loop": "r", "passed": 1, "failed": 0}
    for name in good:
        assert not VALIDATOR.is_valid({key: value for key, value in good.items() if key != name})
    for line in (["v", 1], "v", None, 1):
        assert not VALIDATOR.is_valid(line)


def _ordinary(value: Any) -> bool:
    """Whether JSON Schema and a recorder mean the same by a value's numbers.

    For the schema, 1.0 is a whole number, and so is any that is too large for 64 bits.
    """
    if isinstance(value, dict):
        return all(map(_ordinary, value.values()))
    if isinstance(value, list):
        return all(map(_ordinary, value))
    if isinstance(value, float):
        return math.isfinite(value) and not value.is_integer()
    return not isinstance(value, int) or abs(value) <= MAX_INTEGER


@given(st.one_of(valid_line(), half_valid_line()).filter(_ordinary))
def test_the_schema_and_a_recorder_agree_on_every_line(line: Line) -> None:
    assert VALIDATOR.is_valid(line) == (problem_with(line) is None)


@given(st.data())
def test_they_agree_whatever_one_field_holds(data: st.DataObject) -> None:
    line = data.draw(valid_line())
    names = [field.name for field in (*events.ENVELOPE, *fields_of(events.BY_TYPE[line["type"]]))]
    line[data.draw(st.sampled_from(names))] = data.draw(json_values.filter(_ordinary))
    if _ordinary(line):
        assert VALIDATOR.is_valid(line) == (problem_with(line) is None)


@given(valid_line())
def test_a_line_means_the_same_to_a_reader_of_the_file(line: Line) -> None:
    assert decode(json.dumps(line, allow_nan=False).encode()) == all_spelled_out(line)
