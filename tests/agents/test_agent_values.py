"""Outside values become values an event may carry, and running totals become differences."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ralph_otel.agents.values import Totals, amount, code, count, identifier, mapping, records, remember, text
from ralph_otel.events import MAX_INTEGER, MAX_TEXT

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(ANYTHING)
def test_every_value_is_checked(value: Any) -> None:
    cleaned = text(value)
    assert cleaned is None or (0 < len(cleaned) <= MAX_TEXT and cleaned.isprintable() and cleaned.encode())
    number = count(value)
    assert number is None or (type(number) is int and 0 <= number <= MAX_INTEGER)
    price = amount(value)
    assert price is None or (type(price) is float and 0 <= price <= 1e300)
    assert isinstance(mapping(value), dict)
    assert all(isinstance(member, dict) for member in records(value))
    assert identifier(value) in (None, value)
    assert code(value) in (None, value)


def test_names_lose_control_characters_and_are_cut() -> None:
    assert text("a\x1b[31mb\n\u202ec\ud800") == "a[31mbc"
    assert text("x" * 5000) == "x" * MAX_TEXT
    assert text("\x00 \n") is None


@pytest.mark.parametrize("value", ["12", 12.0, True, -1, MAX_INTEGER + 1, None, [], float("nan")])
def test_only_whole_numbers_are_counts(value: Any) -> None:
    assert count(value) is None


@pytest.mark.parametrize("value", ["0.5", True, -0.1, float("nan"), float("inf"), None, 10**400])
def test_only_finite_numbers_are_amounts(value: Any) -> None:
    assert amount(value) is None


@pytest.mark.parametrize("value", ["error_max_turns", "APIError", "EDIT_NO_OCCURRENCE_FOUND", "rate-limit.v2"])
def test_a_class_of_error_is_a_code(value: str) -> None:
    assert code(value) == value


@pytest.mark.parametrize("value", ["no such file", "", "x" * 200, "404", "a\n", "path/to/file", None, 7])
def test_a_message_is_no_code(value: Any) -> None:
    assert code(value) is None


def test_what_is_remembered_is_bounded_and_the_oldest_goes_first() -> None:
    memory: dict[int, str] = {}
    gone = [remember(memory, key, "v", limit=2) for key in (1, 2, 1, 3)]
    assert gone == [None, None, None, (2, "v")]
    assert list(memory) == [1, 3]


@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000)), min_size=1, max_size=10))
def test_differences_of_a_running_total_sum_to_the_total(steps: list[tuple[int, int]]) -> None:
    totals, now, added = Totals(), {"a": 0, "b": 0}, {"a": 0, "b": 0}
    for a, b in steps:
        now = {"a": now["a"] + a, "b": now["b"] + b}
        for name, number in totals.added(("x",), now).items():
            added[name] += number
    assert added == now


@given(st.lists(st.floats(0, 10), min_size=1, max_size=10))
def test_a_price_is_never_counted_twice_for_rounding(steps: list[float]) -> None:
    totals = Totals()
    for wobble in (0.0, 1e-12, -1e-12, 0.0):
        price = sum(steps) + 1.0 + wobble
        added = totals.added(("x",), {"cost_usd": price})["cost_usd"]
        assert added == pytest.approx(price if wobble == 0.0 and added > 0.5 else 0.0, abs=1e-9)
    assert totals.added(("x",), {"cost_usd": sum(steps) + 2.0})["cost_usd"] == pytest.approx(1.0)


def test_a_total_that_falls_was_counted_anew() -> None:
    totals = Totals()
    assert totals.added(("x",), {"a": 100, "b": 5}) == {"a": 100, "b": 5}
    assert totals.added(("x",), {"a": 40, "b": 6}) == {"a": 40, "b": 6}


def test_zeros_do_not_make_a_total_begin_again() -> None:
    totals = Totals()
    totals.added(("x",), {"a": 100})
    assert totals.added(("x",), {"a": 0}) == {"a": 0}
    assert totals.added(("x",), {"a": 110}) == {"a": 10}


def test_totals_of_different_keys_do_not_mix() -> None:
    totals = Totals()
    totals.added(("x",), {"a": 100})
    assert totals.added(("y",), {"a": 150}) == {"a": 150}
