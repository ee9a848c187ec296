"""The ids of log records: each event has its own, and it is the same whenever the journal is read."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ralph_otel.events import Line
from ralph_otel.signals.logs import RecordIds
from support.tape import Tape

EVENTS = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from(["tool.called", "error.raised"]), st.sampled_from(["a", "b"])),
    max_size=30,
)


def lines(events: list[tuple[int, str, str]]) -> list[Line]:
    """Lines of two runs whose times are rough, as those of other programs' files are."""
    return [{"v": 1, "type": type_, "ts": ts, "loop": run} for ts, type_, run in sorted(events)]


@given(EVENTS)
def test_every_event_has_an_id_of_its_own_and_keeps_it(events: list[tuple[int, str, str]]) -> None:
    first, again = RecordIds(), RecordIds()
    ids = [first.of(line) for line in lines(events)]
    assert len(set(ids)) == len(ids)
    assert [again.of(line) for line in lines(events)] == ids


@given(EVENTS)
def test_the_lines_of_another_run_change_nothing(events: list[tuple[int, str, str]]) -> None:
    both, alone = RecordIds(), RecordIds()
    among = [(line, both.of(line)) for line in lines(events)]
    assert [id_ for line, id_ in among if line["loop"] == "a"] == [
        alone.of(line) for line in lines(events) if line["loop"] == "a"
    ]


def test_what_completes_an_event_does_not_change_its_id() -> None:
    tape = Tape().iteration(1, 5).lines
    raw, completed = RecordIds(), RecordIds()
    assert [raw.of(line) for line in tape] == [
        completed.of({**line, "duration": 5.0, "span_id": "ab"}) for line in tape
    ]
