"""What Claude Code prints becomes loop events."""

from __future__ import annotations

import json
from typing import Any

import pytest
from agent_outputs import Clock, lines, of_type, parser, read, read_all, recorded

from ralph_otel.events import ContextMeasured, Event, ToolCalled, UsageMeasured

OPUS, HAIKU = "claude-opus-5-20260801", "claude-haiku-5"
SESSION = "3f0c2f0e-5b1a-4c8e-9a63-0d5f2f1f7a10"
BY_MODEL = [
    UsageMeasured(OPUS, 18, 570, 24800, 52800, 0.375, "reported"),
    UsageMeasured(HAIKU, 9050, 60, 109000, 0, 0.0625, "reported"),
]


def message(id_: str, usage: Any, model: str = "m", parent: str | None = None, content: Any = ()) -> dict[str, Any]:
    inner = {"id": id_, "model": model, "usage": usage, "content": list(content)}
    return {"type": "assistant", "message": inner, "parent_tool_use_id": parent, "session_id": "s"}


def result(**fields: Any) -> dict[str, Any]:
    return {"type": "result", "subtype": "success", "is_error": False, "session_id": "s", **fields}


def entry(tokens: int, cost: float | None = None, window: int | None = None) -> dict[str, Any]:
    given = {"inputTokens": tokens, "outputTokens": 1, "costUSD": cost, "contextWindow": window}
    return {name: value for name, value in given.items() if value is not None}


def events_of(*records: Any) -> list[Event]:
    return read(parser("claude"), [lines(*records)])


def test_a_stream_gives_the_usage_of_each_model_once() -> None:
    events, watcher = read_all("claude_stream.jsonl")
    assert of_type(events, UsageMeasured) == BY_MODEL
    assert (watcher.turns, watcher.conversation, watcher.model) == (4, SESSION, OPUS)
    assert (watcher.is_error, watcher.error_type, watcher.dropped_lines) == (False, None, 0)


def test_the_context_is_the_last_message_of_the_main_agent_over_its_own_models_window() -> None:
    events, _ = read_all("claude_stream.jsonl")
    [context] = of_type(events, ContextMeasured)
    assert context == ContextMeasured(percent=26.404, tokens=52808, window=200000)


def test_tools_are_matched_with_their_results_in_subagents_too() -> None:
    events, _ = read_all("claude_stream.jsonl")
    assert [(call.tool, call.outcome) for call in of_type(events, ToolCalled)] == [
        ("Bash", "success"),
        ("Grep", "failure"),
        ("Task", "success"),
    ]


def test_tool_durations_are_the_time_between_call_and_result() -> None:
    clock = Clock()
    watcher = parser("claude", clock)
    call = {"type": "tool_use", "id": "t1", "name": "Bash"}
    watcher.feed(lines(message("m1", {}, content=[call])))
    clock.now += 2
    watcher.feed(lines(message("m1", {}, content=[call])))
    clock.now += 1.5
    answer = {"type": "user", "message": {"content": [{"type": "tool_result", "tool_use_id": "t1"}]}}
    assert watcher.feed(lines(answer, answer)) == [ToolCalled("Bash", "success", 3.5)]


def test_the_json_format_gives_usage_but_no_context() -> None:
    events, watcher = read_all("claude_json.json")
    assert events == BY_MODEL
    assert (watcher.turns, watcher.conversation, watcher.is_error) == (4, SESSION, False)


def test_the_only_model_of_a_result_is_the_model() -> None:
    watcher = parser("claude")
    read(watcher, [lines(result(modelUsage={"m": entry(1)}))])
    assert watcher.model == "m"


def test_the_json_format_is_understood_without_a_newline_and_indented() -> None:
    data = recorded("claude_json.json")
    assert read(parser("claude"), [data.strip()]) == BY_MODEL
    assert read(parser("claude"), [json.dumps(json.loads(data), indent=2).encode()]) == BY_MODEL


def test_the_verbose_json_format_gives_what_the_stream_gives_but_durations() -> None:
    streamed, _ = read_all("claude_stream.jsonl")
    together, _ = read_all("claude_array.json")
    for call in of_type(streamed, ToolCalled):
        assert call.duration == 0.0
        call.duration = None
    assert together == streamed


def test_later_results_in_a_stream_are_counted_by_what_they_add() -> None:
    events, watcher = read_all("claude_two_results.jsonl")
    assert of_type(events, UsageMeasured) == [
        *BY_MODEL,
        UsageMeasured(OPUS, 10, 100, 53000, 300, 0.125, "reported"),
    ]
    assert [context.tokens for context in of_type(events, ContextMeasured)] == [52808, 53310]
    assert watcher.turns == 6
    assert (watcher.is_error, watcher.error_type) == (True, "error_during_execution")


def test_a_stream_that_breaks_off_gives_the_usage_of_its_messages_without_cost() -> None:
    data = recorded("claude_stream.jsonl")
    events = read(parser("claude"), [data[: data.index(b'{"type":"result"') + 40]])
    assert of_type(events, UsageMeasured) == [
        UsageMeasured(OPUS, 18, 570, 24800, 52800),
        UsageMeasured(HAIKU, 9050, 60, 109000, 0),
    ]
    assert of_type(events, ContextMeasured) == []


def test_messages_after_a_result_are_reported_where_the_stream_breaks_off() -> None:
    events = events_of(
        message("m1", {"input_tokens": 5}),
        result(modelUsage={"m": entry(5, 0.5, 1000)}),
        message("m2", {"input_tokens": 7}),
    )
    assert of_type(events, UsageMeasured) == [
        UsageMeasured("m", 5, 1, None, None, 0.5, "reported"),
        UsageMeasured("m", 7),
    ]
    assert [context.percent for context in of_type(events, ContextMeasured)] == [0.5, 0.7]


def test_a_message_that_grows_is_counted_by_its_last_record() -> None:
    grown = [message("m1", {"output_tokens": tokens}) for tokens in (1, 9, 5)]
    assert events_of(grown[0], message("m2", {"output_tokens": 2}), *grown[1:]) == [UsageMeasured("m", output_tokens=7)]


def test_very_many_messages_are_all_counted() -> None:
    many = [message(f"m{number}", {"input_tokens": 1}, model=f"model-{number % 3}") for number in range(3000)]
    assert events_of(*many) == [UsageMeasured(f"model-{number}", 1000) for number in range(3)]


def test_very_many_models_are_bounded_and_their_tokens_still_counted() -> None:
    many = [message(f"m{number}", {"input_tokens": 1}, model=f"model-{number}") for number in range(1000)]
    usage = of_type(events_of(*many), UsageMeasured)
    assert len(usage) <= 65
    assert sum(event.input_tokens for event in usage) == 1000


def test_a_result_without_model_usage_gives_its_sum() -> None:
    usage = {"input_tokens": 10, "output_tokens": 20, "cache_read_input_tokens": 30}
    events = events_of(message("m1", {"input_tokens": 10}), result(usage=usage, modelUsage={}, total_cost_usd=0.25))
    assert events == [UsageMeasured("m", 10, 20, 30, None, 0.25, "reported")]


def test_a_later_result_without_model_usage_adds_nothing() -> None:
    usage = {"input_tokens": 10, "output_tokens": 20}
    first = result(usage=usage, modelUsage={"m": entry(10, 0.5)}, total_cost_usd=0.5)
    again = result(usage={"input_tokens": 90}, modelUsage={}, total_cost_usd=0.5)
    assert events_of(first, again) == [UsageMeasured("m", 10, 1, None, None, 0.5, "reported")]


def test_a_result_that_says_no_usage_leaves_that_of_the_messages() -> None:
    zeros = {"input_tokens": 0, "output_tokens": 0}
    events = events_of(message("m1", {"input_tokens": 10}), result(usage=zeros, modelUsage={}, total_cost_usd=0))
    assert events == [UsageMeasured("m", 10)]


def test_a_cost_that_no_model_has_is_reported_by_itself() -> None:
    both = result(modelUsage={"a": entry(1), "b": entry(2)}, total_cost_usd=0.5)
    assert events_of(both) == [
        UsageMeasured("a", 1, 1),
        UsageMeasured("b", 2, 1),
        UsageMeasured(cost_usd=0.5, cost_source="reported"),
    ]
    assert events_of(result(modelUsage={"a": entry(1)})) == [UsageMeasured("a", 1, 1)]
    one = result(modelUsage={"a": entry(1)}, total_cost_usd=0.5)
    assert events_of(one) == [UsageMeasured("a", 1, 1, cost_usd=0.5, cost_source="reported")]


@pytest.mark.parametrize(
    ("asked", "used", "windows", "percent"),
    [
        ("m[1m]", "m", {"m[1m]": 1000}, 10.0),
        ("m[1m]", "m", {"m[1m]": 1000, "m": 200}, 10.0),
        ("m", "m", {"m[1m]": 1000, "m": 200}, 50.0),
        ("alias", "m-2026", {"vendor.m-2026-v1": 400}, 25.0),
        ("alias", "m", {"x": 400, "y": 400}, 25.0),
        ("alias", "m", {"x": 400, "y": 200}, None),
        ("m", "m", {"m": 0}, None),
        ("m", "m", {}, None),
    ],
)
def test_the_window_is_that_of_the_messages_model_or_none(
    asked: str, used: str, windows: dict[str, int], percent: float | None
) -> None:
    events = events_of(
        {"type": "system", "subtype": "init", "session_id": "s", "model": asked},
        message("m1", {"input_tokens": 60, "cache_read_input_tokens": 30, "cache_creation_input_tokens": 10}, used),
        result(modelUsage={name: entry(1, 0.5, window) for name, window in windows.items()}),
    )
    contexts = [context.percent for context in of_type(events, ContextMeasured)]
    assert contexts == ([] if percent is None else [percent])


def test_neither_a_subagents_message_nor_one_without_usage_says_how_full_the_context_is() -> None:
    watcher = parser("claude")
    records = [
        message("s0", {"input_tokens": 1}, "small", parent="t1"),
        message("m1", {"input_tokens": 50}, "m"),
        message("s1", {"input_tokens": 80}, "small", parent="t1"),
        message("m2", None, "m"),
        result(modelUsage={"m": entry(50, 0.5, 100), "small": entry(81, 0.5, 100)}),
    ]
    events = read(watcher, [lines(*records)])
    assert [context.percent for context in of_type(events, ContextMeasured)] == [50.0]
    assert watcher.model == "m"


def test_a_canonical_name_finds_the_window_of_another_providers_name() -> None:
    models = {"eu.m-v1:0": {**entry(1, 0.5, 400), "canonicalModel": "m"}, "small": entry(1, 0.5, 100)}
    events = events_of(message("m1", {"input_tokens": 100}), result(modelUsage=models))
    assert [context.percent for context in of_type(events, ContextMeasured)] == [25.0]


def test_a_message_that_the_program_wrote_itself_empties_no_context_and_names_no_model() -> None:
    watcher = parser("claude")
    records = [
        message("m0", {"input_tokens": 0}, "<synthetic>"),
        message("m1", {"input_tokens": 50}),
        {**message("m2", {"input_tokens": 0, "output_tokens": 0}, "<synthetic>"), "error": "rate_limit"},
        result(is_error=True, modelUsage={"m": entry(50, 0.5, 100)}),
    ]
    events = read(watcher, [lines(*records)])
    assert [context.percent for context in of_type(events, ContextMeasured)] == [50.0]
    assert (watcher.model, watcher.is_error, watcher.error_type) == ("m", True, "rate_limit")


@pytest.mark.parametrize(
    ("fields", "is_error", "error_type"),
    [
        ({}, False, None),
        ({"subtype": "error_max_turns", "is_error": True}, True, "error_max_turns"),
        ({"subtype": "error_max_turns", "is_error": False}, True, "error_max_turns"),
        ({"subtype": "error_during_execution", "is_error": None}, True, "error_during_execution"),
        ({"is_error": True, "result": "API Error: 529 overloaded"}, True, "error"),
        ({"is_error": True, "api_error_status": 529}, True, "api_error_529"),
        ({"is_error": True, "api_error_code": "overloaded_error", "api_error_status": 529}, True, "overloaded_error"),
        ({"subtype": "a message of some kind", "is_error": True}, True, "error"),
        ({"subtype": "success", "is_error": "no"}, False, None),
        ({"subtype": None, "is_error": None}, None, None),
    ],
)
def test_how_it_ended_is_a_class_and_never_a_message(
    fields: dict[str, Any], is_error: bool | None, error_type: str | None
) -> None:
    watcher = parser("claude")
    read(watcher, [lines(result(**fields))])
    assert (watcher.is_error, watcher.error_type) == (is_error, error_type)


def test_a_resumed_session_of_another_process_counts_from_zero() -> None:
    for _ in range(2):
        assert events_of(result(modelUsage={"m": entry(10, 0.5)})) == [
            UsageMeasured("m", 10, 1, None, None, 0.5, "reported")
        ]


def test_numbers_beyond_what_an_event_carries_are_limited() -> None:
    huge = 2**63 - 1
    events = events_of(
        message("m1", {"input_tokens": huge, "cache_read_input_tokens": huge}),
        message("m2", {"input_tokens": huge, "cache_read_input_tokens": huge}),
        result(modelUsage={"m": {"contextWindow": 1}}),
    )
    assert events == [ContextMeasured(100.0 * huge, huge, 1), UsageMeasured("m", huge, None, huge)]
