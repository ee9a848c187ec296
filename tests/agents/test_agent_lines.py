"""Bytes to records: bounded, linear, never raising."""

from __future__ import annotations

import json
import time
import tracemalloc
from collections.abc import Iterable

import pytest
from agent_outputs import pieces_of
from hypothesis import given
from hypothesis import strategies as st

from ralph_otel.agents.lines import MAX_LINE, Lines, Record, Records, decode


def lines_of(data: Iterable[bytes], limit: int = MAX_LINE) -> tuple[list[bytes], int]:
    lines = Lines(limit)
    found = [line for piece in data for line in lines.feed(piece)] + list(lines.close())
    return found, lines.dropped


def records_of(data: Iterable[bytes], limit: int = MAX_LINE) -> tuple[list[Record], int]:
    records = Records(limit)
    found = [line for piece in data for line in records.feed(piece)] + list(records.close())
    return [record for line in found for record in line], records.dropped


@given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=8))
def test_pieces_of_any_size_give_the_lines_of_the_whole(data: bytes, cuts: list[int]) -> None:
    whole = data.split(b"\n")
    expected = whole if whole[-1] else whole[:-1]
    assert lines_of(pieces_of(data, cuts)) == (expected, 0)


@given(st.lists(st.integers(0, 9), max_size=12), st.lists(st.integers(0, 200), max_size=8), st.booleans())
def test_only_lines_beyond_the_limit_are_dropped_and_each_is_counted(
    lengths: list[int], cuts: list[int], ended: bool
) -> None:
    data = b"\n".join(b"x" * length for length in lengths) + (b"\n" if ended else b"")
    found, dropped = lines_of(pieces_of(data, cuts), limit=5)
    kept = [b"x" * length for length in lengths if length <= 5]
    if kept and not ended and lengths[-1] == 0:
        kept.pop()
    if not lengths and ended:
        kept = [b""]
    assert found == kept
    assert dropped == sum(length > 5 for length in lengths)


def test_a_line_of_fifty_megabytes_costs_bounded_memory_and_the_next_one_is_read() -> None:
    piece = b"x" * 65536
    records = Records()
    tracemalloc.start()
    try:
        for data in (b'{"a": "', *[piece] * 800, b'"}\n'):
            assert list(records.feed(data)) == []
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 * MAX_LINE
    assert list(records.feed(b'{"a": 1}\n')) == [[{"a": 1}]]
    assert records.dropped == 1


def test_a_line_of_fifty_megabytes_in_one_piece_is_not_copied() -> None:
    data = b"{" + b"x" * (50 * 1024 * 1024) + b"\n"
    records = Records()
    tracemalloc.start()
    try:
        assert list(records.feed(data)) == []
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < MAX_LINE
    assert records.dropped == 1


def test_single_bytes_cost_no_more_memory_than_large_pieces() -> None:
    records = Records()
    tracemalloc.start()
    try:
        for _ in range(200_000):
            list(records.feed(b"{"))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000


def seconds_for(data: bytes, size: int) -> float:
    """The least of three runs, in processor time."""
    times = []
    for _ in range(3):
        records = Records()
        began = time.process_time()
        for start in range(0, len(data), size):
            list(records.feed(data[start : start + size]))
        list(records.close())
        times.append(time.process_time() - began)
    return min(times)


@pytest.mark.parametrize(
    ("start", "middle", "end", "size"),
    [
        (b'{"a": "', b"x", b'"}\n', 16),  # a long line in small pieces
        (b'{"a": ', b"7", b"}\n", 65536),  # a long number
        (b"{\n", b' "a": 1,\n', b' "b": 2\n}\n', 65536),  # a long document
        (b"", b"[", b"", 65536),  # deep nesting
        (b"", b"{\n", b"", 65536),  # a document begun on every line
    ],
)
def test_four_times_as_many_bytes_take_about_four_times_as_long(
    start: bytes, middle: bytes, end: bytes, size: int
) -> None:
    repeat = 300_000 // len(middle)
    short = seconds_for(start + middle * repeat + end, size)
    long = seconds_for(start + middle * repeat * 4 + end, size)
    assert long < 11 * short + 0.01  # 4 is linear, 16 is quadratic


def test_plain_lines_may_come_before_between_and_after_the_records() -> None:
    data = b'Welcome!\n{"a": 1}\n\nwarning: {"b": 2}\r\n{"c": 3}\r\n[INFO] bye {\n  {"indented": 4}\n'
    assert records_of([data])[0] == [{"a": 1}, {"c": 3}]


def test_a_last_line_without_newline_is_read_when_the_output_ends() -> None:
    records = Records()
    assert list(records.feed(b'{"a": 1}')) == []
    assert list(records.close()) == [[{"a": 1}]]
    assert list(records.close()) == []


@given(
    st.dictionaries(
        st.text(max_size=5), st.text(max_size=5) | st.lists(st.integers(-9, 2**63), max_size=3), min_size=1
    ),
    st.lists(st.integers(0, 500), max_size=5),
    st.sampled_from([2, 4, "\t"]),
)
def test_an_indented_document_is_read_whole(document: Record, cuts: list[int], indent: int | str) -> None:
    data = b"Loading\n" + json.dumps(document, indent=indent).encode()
    assert records_of(pieces_of(data, cuts))[0] == [document]


def test_an_unfinished_document_does_not_swallow_the_records_after_it() -> None:
    data = b'{\n  "a": 1,\n  "b": [\n{"type": "x"}\n  "c": 2\n}\n{"type": "y"}\n{\n'
    assert records_of([data]) == ([{"type": "x"}, {"type": "y"}], 0)


def test_a_document_beyond_the_limit_is_dropped_and_counted() -> None:
    data = b"{\n" + b' "a": 1,\n' * 50 + b' "b": 2\n}\n{"c": 3}\n'
    assert records_of([data], limit=100) == ([{"c": 3}], 1)


@pytest.mark.parametrize(
    "text",
    [b"{", b"}", b'{"a": }', b"[1, 2]", b'["a", null]', b"12", b"null", b'{"a": 1} x', b"[" * 200_000, b"\xff\xfe"],
)
def test_what_is_no_object_gives_nothing(text: bytes) -> None:
    assert decode(text) == []


def test_deep_nesting_costs_only_its_own_line() -> None:
    deep = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
    assert records_of([deep + b'\n{"b": 1}\n'])[0] == [{"b": 1}]


def test_damaged_values_do_not_spoil_the_others() -> None:
    text = b'{"a": NaN, "b": -Infinity, "c": ' + b"9" * 5000 + b', "d": "\xff", "e": "\\ud800", "f": 7}'
    assert decode(text) == [{"a": None, "b": None, "c": None, "d": "\ufffd", "e": "\ud800", "f": 7}]


def test_an_array_gives_its_objects_together() -> None:
    assert decode(b'[{"a": 1}, 2, {"b": 3}]') == [{"a": 1}, {"b": 3}]


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=4))
def test_no_bytes_raise(data: bytes, cuts: list[int]) -> None:
    records_of(pieces_of(data, cuts), limit=100)
