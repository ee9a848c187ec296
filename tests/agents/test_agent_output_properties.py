"""What holds of every parser and every output, whole or damaged."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from agent_outputs import (
    OUTPUTS,
    SECRET,
    agent_of,
    learnt,
    lines,
    of_type,
    parser,
    pieces_of,
    read,
    read_all,
    recorded,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ralph_otel.agents import PARSERS
from ralph_otel.agents.lines import MAX_LINE
from ralph_otel.events import UsageMeasured

EACH_OUTPUT = pytest.mark.parametrize("name", OUTPUTS)
EACH_AGENT = pytest.mark.parametrize("agent", sorted(PARSERS))


def members(value: Any) -> Iterator[Any]:
    """A JSON value and all that is in it, keys too."""
    yield value
    if isinstance(value, dict):
        yield from value
    if isinstance(value, (dict, list)):
        for member in value.values() if isinstance(value, dict) else value:
            yield from members(member)


def documents(name: str) -> list[Any]:
    data = recorded(name)
    if name == "gemini.json":
        return [json.loads(data.split(b"\n", 1)[1])]
    return [json.loads(line) for line in data.splitlines() if line[:1] in (b"{", b"[")]


WORDS = sorted({m for name in OUTPUTS for document in documents(name) for m in members(document) if isinstance(m, str)})
"""Every key and text of the recorded outputs."""
WEIRD = st.sampled_from(
    [
        None,
        True,
        -1,
        2**63,
        2**200,
        1.5,
        1e308,
        float("nan"),
        float("-inf"),
        "7",
        "",
        "\x1b]0;x\x07",
        "\ud800",
        "é" * 999,
    ]
)
VALUES = st.recursive(
    WEIRD | st.integers(0, 2**63) | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=6),
    max_leaves=20,
)


@EACH_OUTPUT
@given(cuts=st.lists(st.integers(0, 10_000), max_size=30))
def test_the_same_bytes_in_other_pieces_give_the_same_events(name: str, cuts: list[int]) -> None:
    expected, whole = read_all(name)
    watcher = parser(agent_of(name))
    assert read(watcher, pieces_of(recorded(name), cuts)) == expected
    assert learnt(watcher) == learnt(whole)


@EACH_OUTPUT
def test_single_bytes_give_the_same_events(name: str) -> None:
    data = recorded(name)
    watcher = parser(agent_of(name))
    assert read(watcher, [data[at : at + 1] for at in range(len(data))]) == read_all(name)[0]


@EACH_OUTPUT
def test_windows_line_ends_and_lines_of_others_change_nothing(name: str) -> None:
    data = recorded(name).replace(b"\n", b"\r\n")
    assert read(parser(agent_of(name)), [b"warning: {\r\n\r\n[debug]\r\n" + data]) == read_all(name)[0]


@EACH_OUTPUT
def test_nothing_of_what_was_said_or_done_gets_out(name: str) -> None:
    events, watcher = read_all(name)
    assert SECRET in recorded(name).decode()
    assert SECRET not in repr([dataclasses.asdict(event) for event in events]) + repr(learnt(watcher))


@EACH_OUTPUT
def test_closing_twice_says_nothing_twice(name: str) -> None:
    for data in (recorded(name), recorded(name)[: len(recorded(name)) * 2 // 3]):
        watcher = parser(agent_of(name))
        read(watcher, [data])
        assert watcher.close() == []


@EACH_OUTPUT
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_damaged_output_never_raises_and_gives_only_valid_events(name: str, data: st.DataObject) -> None:
    output = bytearray(recorded(name))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(output)))
        end = data.draw(st.integers(at, min(len(output), at + 500)))
        kind = data.draw(st.sampled_from(["cut", "flip", "insert", "repeat", "end"]))
        if kind == "cut":
            del output[at:end]
        elif kind == "flip" and at < len(output):
            output[at] ^= data.draw(st.integers(1, 255))
        elif kind == "insert":
            output[at:at] = data.draw(st.binary(max_size=20) | st.sampled_from([b"\n", b"{\n", b"}\n", b'"', b"1e999"]))
        elif kind == "repeat":
            output[at:at] = output[at:end]
        elif kind == "end":
            del output[end:]
    watcher = parser(agent_of(name))
    read(watcher, pieces_of(bytes(output), data.draw(st.lists(st.integers(0, 10_000), max_size=3))))
    assert_learnt_is_clean(learnt(watcher))


@EACH_OUTPUT
@given(data=st.data())
def test_any_value_in_any_place_never_raises_and_gives_only_valid_events(name: str, data: st.DataObject) -> None:
    records = documents(name)
    for _ in range(data.draw(st.integers(1, 5))):
        places = [m for record in records for m in members(record) if isinstance(m, (dict, list)) and m]
        if not places:
            break
        place = data.draw(st.sampled_from(places))
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        place[key] = data.draw(VALUES)
    watcher = parser(agent_of(name))
    read(watcher, [lines(*records)])
    assert_learnt_is_clean(learnt(watcher))


@EACH_AGENT
@given(records=st.lists(st.dictionaries(st.sampled_from(WORDS), VALUES, max_size=8), max_size=5))
def test_records_made_of_their_words_never_raise(agent: str, records: list[Any]) -> None:
    watcher = parser(agent)
    read(watcher, [lines(*records)])
    assert_learnt_is_clean(learnt(watcher))


def assert_learnt_is_clean(values: dict[str, Any]) -> None:
    for name in ("conversation", "model", "error_type"):
        value = values[name]
        assert value is None or (0 < len(value) <= 256 and value.isprintable())
    assert values["turns"] is None or 0 <= values["turns"] < 2**63
    assert values["is_error"] in (None, True, False)


@EACH_AGENT
@given(text=st.text(max_size=300))
def test_plain_text_gives_nothing(agent: str, text: str) -> None:
    watcher = parser(agent)
    assert read(watcher, [text.encode(errors="replace")]) == []
    assert learnt(watcher) == learnt(parser(agent))


@EACH_AGENT
def test_a_line_too_long_is_dropped_and_the_rest_is_read(agent: str) -> None:
    name = next(output for output in OUTPUTS if agent_of(output) == agent)
    long = b'{"type": "assistant", "message": "' + b"x" * MAX_LINE + b'"}\n'
    watcher = parser(agent)
    assert read(watcher, [long, recorded(name)]) == read_all(name)[0]
    assert watcher.dropped_lines == 1


@EACH_AGENT
def test_a_parser_called_from_deep_inside_a_host_does_not_raise(agent: str) -> None:
    name = next(output for output in OUTPUTS if agent_of(output) == agent)

    def deep(levels: int) -> None:
        if levels:
            deep(levels - 1)
        else:
            read(parser(agent), [b'{"a":' * 5000 + b"\n" + recorded(name)])

    deep(sys.getrecursionlimit() - 300)


@given(st.lists(st.lists(st.integers(0, 10**6), min_size=3, max_size=3), min_size=1, max_size=8), st.booleans())
def test_running_totals_are_never_counted_twice(steps: list[list[int]], broken: bool) -> None:
    """However many results say them, the events of a stream sum to the last totals."""
    fields = ("inputTokens", "outputTokens", "cacheReadInputTokens")
    total = [0, 0, 0]
    records: list[Any] = []
    for number, step in enumerate(steps):
        total = [before + more for before, more in zip(total, step, strict=True)]
        usage = {"input_tokens": step[0], "output_tokens": step[1], "cache_read_input_tokens": step[2]}
        message = {"id": f"m{number}", "model": "m", "usage": usage}
        records += [{"type": "assistant", "message": message}] * 2
        if not (broken and number == len(steps) - 1):
            model_usage = {"m": dict(zip(fields, total, strict=True))}
            records.append({"type": "result", "subtype": "success", "is_error": False, "modelUsage": model_usage})
    events = of_type(read(parser("claude"), [lines(*records)]), UsageMeasured)
    names = ("input_tokens", "output_tokens", "cache_read_tokens")
    assert [sum(getattr(event, name) for event in events) for name in names] == total
