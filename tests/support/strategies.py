"""Hypothesis strategies for journal lines, made from the declarations of the events."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from ralph_otel import events
from ralph_otel.events import EVENTS, MAX_INTEGER, Event, Field, Line, fields_of

from .tape import T0

_FEW_TEXTS = st.sampled_from(["a", "b", "c", "files_changed", "context_usage", "flaky_tests", "x" * 256, "ä€😀"])
_COUNTS = st.one_of(st.integers(0, 5), st.integers(0, MAX_INTEGER))
_NUMBERS = st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(-MAX_INTEGER, MAX_INTEGER))
_LABEL_VALUES = st.one_of(st.text(max_size=5), st.booleans(), _NUMBERS)
_BY_KIND: dict[str, st.SearchStrategy[Any]] = {
    events.TEXT.name: _FEW_TEXTS,
    events.COUNT.name: _COUNTS,
    events.NUMBER.name: _NUMBERS,
    events.AMOUNT.name: st.one_of(st.floats(0, 1e300), _COUNTS),
    events.RATIO.name: st.one_of(st.floats(0, 1), st.integers(0, 1)),
    events.INTEGER.name: st.one_of(st.integers(-20, 20), st.integers(-MAX_INTEGER, MAX_INTEGER)),
    events.FLAG.name: st.booleans(),
    events.RESULTS.name: st.dictionaries(st.sampled_from(["t1", "t2", "t3"]), st.booleans(), max_size=3),
    events.LABELS.name: st.dictionaries(st.text(max_size=4), _LABEL_VALUES, max_size=3),
}
_TIMES = st.one_of(st.integers(T0, T0 + 10**11), st.integers(0, MAX_INTEGER))
_IDS = st.sampled_from([f"{number:016x}" for number in (1, 2, 3, 2**63)])

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
"""Anything that JSON can say, and NaN and the infinities, which Python's JSON can."""


def _value(field: Field) -> st.SearchStrategy[Any]:
    known = st.sampled_from(field.kind.choices) if field.kind.choices else _BY_KIND[field.kind.name]
    return known if field.required else st.none() | known


def some_event() -> st.SearchStrategy[Event]:
    """Any event with values that its declaration allows."""
    return st.one_of([st.builds(cls, **{field.name: _value(field) for field in fields_of(cls)}) for cls in EVENTS])


@st.composite
def valid_line(draw: st.DrawFn, event: type[Event] | None = None, runs: int = 1) -> Line:
    """A line that a recorder can use; few different runs, sessions, iterations and spans."""
    chosen = event or draw(st.sampled_from(EVENTS))
    line: Line = {"v": 1, "type": chosen.type, "ts": draw(_TIMES), "loop": f"run-{draw(st.integers(1, runs))}"}
    if draw(st.booleans()):
        line["trace_id"], line["span_id"] = "0af7651916cd43dd8448eb211c80319c", draw(_IDS)
    for field in fields_of(chosen):
        value = draw(_value(field))
        if value is not None or draw(st.booleans()):
            line[field.name] = value
    return line


@st.composite
def half_valid_line(draw: st.DrawFn) -> Line:
    """A line with something missing, something wrong or something unknown in it."""
    line = draw(valid_line(runs=2))
    for name in draw(st.lists(st.sampled_from([*line, "span_id", "trace_id", "parent_span_id", "extra"]), max_size=3)):
        if draw(st.booleans()):
            line.pop(name, None)
        else:
            line[name] = draw(json_values)
    return line
