"""The declarations of the events, and the check that a recorder applies to every line."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from ralph_otel import events, reference
from ralph_otel.events import EVENTS, Event, Line, fields_of, problem_with
from ralph_otel.notices import shown
from support.strategies import half_valid_line, json_values, some_event, valid_line
from support.tape import T0

SCHEMA = Draft202012Validator(json.loads(reference.journal_schema()))


def line(type_: str = "error.raised", **fields: Any) -> Line:
    defaults = {"error_type": "E"} if type_ == "error.raised" else {}
    return {"v": 1, "type": type_, "ts": T0, "loop": "run-1", **defaults, **fields}


# -- the declarations -------------------------------------------------------------------------------------------------


def test_there_are_the_events_of_the_protocol() -> None:
    assert {event.type for event in EVENTS} == {
        "loop.started", "loop.paused", "loop.resumed", "loop.stopped", "session.started", "session.ended",
        "iteration.started", "iteration.finished", "agent.started", "agent.finished", "usage.measured",
        "context.measured", "reboot.started", "reboot.finished", "tests.finished", "progress.measured", "tool.called",
        "error.raised", "stop_condition.triggered", "counter.added", "gauge.set", "histogram.observed",
        "resource.sampled", "trace.continued", "events.dropped",
    }  # fmt: skip


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.type)
def test_every_field_says_what_it_holds_and_means(event: type[Event]) -> None:
    assert (event.__doc__ or "").strip()
    for field in fields_of(event):
        assert field.doc.endswith((".", "…")), field.name
        assert field.kind.name
        assert field.name not in {envelope.name for envelope in events.ENVELOPE}


# -- what the check lets through --------------------------------------------------------------------------------------


@given(some_event())
def test_every_event_with_allowed_values_is_a_valid_line(event: Event) -> None:
    assert problem_with({**line(event.type), **asdict(event)}) is None


@given(valid_line())
def test_a_valid_line_is_valid_by_the_schema_too(valid: Line) -> None:
    assert problem_with(valid) is None
    assert SCHEMA.is_valid(valid)


@given(half_valid_line())
def test_what_the_check_lets_through_is_valid_by_the_schema(half_valid: Line) -> None:
    if problem_with(half_valid) is None:
        SCHEMA.validate(half_valid)


@given(
    st.dictionaries(
        st.sampled_from(["v", "type", "ts", "loop", "x"]), json_values | st.sampled_from([1, "loop.paused"])
    )
)
def test_the_check_answers_to_any_object(anything: Line) -> None:
    assert problem_with(anything) is None or SCHEMA is not None


@given(st.data())
def test_the_check_answers_whatever_a_field_holds(data: st.DataObject) -> None:
    checked = data.draw(valid_line())
    name = data.draw(st.sampled_from(list(checked)))
    checked[name] = data.draw(json_values)
    problem = problem_with(checked)
    assert problem is None or name in problem


def test_unknown_types_and_fields_are_no_problem() -> None:
    assert problem_with(line("something.new", whatever=[1, {"a": None}])) is None
    assert problem_with(line(extra={"deep": [[]]})) is None


def test_null_counts_as_absent() -> None:
    assert problem_with(line("session.ended", session="a", duration=None, trace_id=None, span_id=None)) is None
    assert "session is missing" in str(problem_with(line("session.ended", session=None)))


# -- what it refuses, and how it says so ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"v": 2}, "v must be 1, got 2"),
        ({"v": True}, "v must be 1, got True"),
        ({"v": 1.0}, "v must be 1, got 1.0"),
        ({"v": None}, "v must be 1, got None"),
        ({"type": 7}, "type must be a text, got 7"),
        ({"type": ""}, "type must be a text, got ''"),
        ({"ts": -1}, "ts must be Unix nanoseconds, got -1"),
        ({"ts": 1.5}, "ts must be Unix nanoseconds, got 1.5"),
        ({"ts": True}, "ts must be Unix nanoseconds, got True"),
        ({"ts": 2**63}, f"ts must be Unix nanoseconds, got {2**63}"),
        ({"ts": 10**400}, "ts must be Unix nanoseconds, got an integer of 1329 bits"),
        ({"loop": ""}, "loop must be the run id, got ''"),
        ({"loop": "x" * 257}, "loop must be the run id, got 'xxx"),
        ({"loop": ["a"]}, "loop must be the run id, got list of 1"),
        ({"trace_id": "ab"}, "trace_id must be 32 lower-case hexadecimal digits, got 'ab'"),
        ({"trace_id": "A" * 32}, "trace_id must be 32 lower-case hexadecimal digits, got 'AAA"),
        ({"span_id": [1]}, "span_id must be 16 lower-case hexadecimal digits, got list of 1"),
        ({"span_id": "0_" * 8}, "span_id must be 16 lower-case hexadecimal digits, got '0_0_"),
        ({"parent_span_id": 5}, "parent_span_id must be 16 lower-case hexadecimal digits, got 5"),
        ({"error_type": ""}, "error.raised: error_type must be a text of 1 to 256 characters, got ''"),
        ({"error_type": "x" * 257}, "error.raised: error_type must be a text of 1 to 256 characters, got 'xx"),
        ({"error_type": None}, "error.raised: error_type is missing; it must be a text of 1 to 256 characters"),
        ({"error_type": {"a": 1}}, "error.raised: error_type must be a text of 1 to 256 characters, got dict of 1"),
    ],
)  # fmt: skip
def test_a_bad_line_is_named_with_the_field_the_value_and_what_would_do(bad: dict[str, Any], said: str) -> None:
    assert str(problem_with(line(**bad))).startswith(said)


GOOD: dict[str, dict[str, Any]] = {
    "iteration.finished": {"iteration": 1, "outcome": "success", "duration": 1.5},
    "progress.measured": {"score": 0.5},
    "tests.finished": {"passed": 1, "failed": 0},
    "counter.added": {"name": "n", "value": 1},
    "gauge.set": {"name": "n", "value": 1},
    "histogram.observed": {"name": "n", "value": 1},
    "usage.measured": {},
    "loop.stopped": {"reason": "completed"},
}


@pytest.mark.parametrize(
    ("type_", "field", "good", "bad"),
    [
        ("iteration.finished", "iteration", [0, 1, 2**63 - 1], [-1, 2**63, 1.0, True, "1"]),
        ("iteration.finished", "outcome", ["success", "cancelled"], ["", "SUCCESS", "ok", 0]),
        ("iteration.finished", "duration", [0, 0.0, 3, 1e300], [-0.001, -1, float("nan"), float("inf"), "1", True]),
        ("iteration.finished", "exit_code", [0, -9, 255, None], [1.5, "0", 2**63, -(2**63)]),
        ("progress.measured", "score", [0, 1, 0.0, 1.0, 0.3], [-0.1, 1.0001, 2, float("nan"), True]),
        ("progress.measured", "made_progress", [True, False, None], [0, 1, "true"]),
        ("tests.finished", "results", [{}, {"a": True, "": False}], [{"a": 1}, {"a": None}, [True], "x"]),
        ("counter.added", "value", [0, 2.5, 2**63 - 1], [-1, -0.5, float("inf")]),
        ("counter.added", "labels", [{}, {"a": "b", "c": 1, "d": 0.5, "e": False}], [{"a": None}, {"a": []}]),
        ("histogram.observed", "value", [0, 2.5], [-1, float("nan")]),
        ("gauge.set", "value", [-1.5, 0, -(2**63) + 1], [float("-inf"), float("nan"), 2**63, "1"]),
        ("gauge.set", "labels", [None], [{"a": float("nan")}, {"a": 2**63}, "a=b", 3]),
        ("usage.measured", "cost_source", ["reported", "estimated", None], ["guessed", 1]),
        ("usage.measured", "model", ["m" * 256], ["m" * 257, 4]),
        ("loop.stopped", "reason", list(events.STOP_REASONS), ["done", None]),
    ],
)  # fmt: skip
def test_each_kind_of_field_takes_what_it_should_and_nothing_else(
    type_: str, field: str, good: list[Any], bad: list[Any]
) -> None:
    for value in good:
        assert problem_with(line(type_, **{**GOOD[type_], field: value})) is None, value
    for value in bad:
        assert f"{type_}: {field} " in str(problem_with(line(type_, **{**GOOD[type_], field: value}))), value


def test_a_mapping_may_have_so_many_entries_and_no_more() -> None:
    results = {str(number): True for number in range(events.MAX_ENTRIES)}
    assert problem_with(line("tests.finished", passed=1, failed=0, results=results)) is None
    problem = problem_with(line("tests.finished", passed=1, failed=0, results={**results, "more": True}))
    assert problem == f"tests.finished: results must be {events.RESULTS.name}, got dict of 50001"


@given(json_values)
def test_a_value_is_shown_short_on_one_line_and_without_control_characters(value: Any) -> None:
    text = shown(value)
    assert len(text) <= 60
    assert text.replace("…", "").isascii()
    assert text.isprintable()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a\x1b[31m\n", r"'a\x1b[31m\n'"),
        ("é\ud800", r"'\xe9\ud800'"),
        ([1, 2, 3], "list of 3"),
        ({"secret": "x"}, "dict of 1"),
        (10**4000, "an integer of 13288 bits"),
        (2**127, str(2**127)),
        (True, "True"),
        ("x" * 100, "'" + "x" * 58 + "…"),
    ],
)
def test_what_is_shown_of_a_value(value: Any, text: str) -> None:
    assert shown(value) == text
