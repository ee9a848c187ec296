"""Whose work a changed file is, by the time of its last change."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from ralph_otel.progress.shares import Shares, changed_at, share
from ralph_otel.progress.turns import SLACK, Turn
from ralph_otel.progress.worktree import FileChange

S = 1_000_000_000
JOURNAL = Path("run.jsonl")


def turn(started: float, finished: float = 0.0) -> Turn:
    return Turn(JOURNAL, "run", "0" * 32, "0" * 16, round(started * S), round(finished * S))


def shared(times: dict[str, list[float]], *turns: Turn, since: float = 0.0, before: str = "") -> Shares:
    files = [FileChange(Path(name), False, 1) for name in times]
    known = [Path(name) for name in before]
    return share(files, turns, round(since * S), lambda path: [round(when * S) for when in times[path.name]], known)


def names(files: list[FileChange]) -> list[str]:
    return [file.path.name for file in files]


def test_a_file_is_the_work_of_the_iteration_it_was_changed_in() -> None:
    found = shared({"a": [10.5], "b": [20.5], "c": [21.0]}, turn(10, 11), turn(20, 21))
    assert [names(own) for own in found.own] == [["a"], ["b", "c"]]
    assert found.later == []


def test_what_changes_between_iterations_is_nobodys_work() -> None:
    found = shared({"a": [9.0], "b": [15.0]}, turn(10, 11), turn(20, 21))
    assert (found.own, found.later) == ([[], []], [])


def test_what_changes_after_them_is_kept_for_the_next() -> None:
    found = shared({"a": [21.1]}, turn(10, 11), turn(20, 21))
    assert found.own == [[], []]
    assert names(found.later) == ["a"]


def test_what_was_changed_before_and_after_their_end_is_theirs_and_kept() -> None:
    found = shared({"a": [20.5, 21.1]}, turn(20, 21))
    assert names(found.own[0]) == ["a"]
    assert [(file.path.name, file.lines_added) for file in found.later] == [("a", 0)]


def test_a_time_may_be_a_tick_behind() -> None:
    early = 10 - SLACK / S
    assert names(shared({"a": [early]}, turn(10, 11)).own[0]) == ["a"]
    assert shared({"a": [early - 0.001]}, turn(10, 11)).own == [[]]


def test_a_file_of_which_nothing_is_known_is_the_last_ones_work() -> None:
    assert [names(own) for own in shared({"a": []}, turn(10, 11), turn(20, 21)).own] == [[], ["a"]]


def test_a_clock_that_is_not_ours_is_not_believed() -> None:
    """A file that has changed since 9.5 cannot have been changed at 3, unless a file server says so."""
    assert names(shared({"a": [3.0]}, turn(10, 11), since=9.5).own[0]) == ["a"]


def test_what_had_changed_long_before_the_last_look_is_still_the_work_of_its_iteration() -> None:
    found = shared({"a": [20.5]}, turn(20, 26), turn(27, 28), since=25.0, before="a")
    assert [names(own) for own in found.own] == [["a"], []]


def test_of_iterations_side_by_side_the_last_to_end_gets_what_both_may_have_changed() -> None:
    assert [names(own) for own in shared({"a": [15.0]}, turn(10, 20), turn(12, 22)).own] == [[], ["a"]]


def test_who_has_changed_nothing_may_have_if_a_later_one_has() -> None:
    first, second, open_ = turn(10, 11), turn(20, 21), turn(30)
    assert shared({"a": [20.5]}, first, second).may_have_more(first, [second])
    assert not shared({"a": [20.5]}, first, second).may_have_more(second, [first])
    assert shared({"a": [30.5]}, second).may_have_more(second, [open_])
    assert not shared({"a": [25.0]}, second).may_have_more(second, [open_])
    assert not shared({}, second).may_have_more(second, [open_])


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 20)), min_size=1, max_size=6), st.data())
def test_no_file_is_two_iterations_work_and_none_is_made_up(spans: list[tuple[int, int]], data: st.DataObject) -> None:
    turns = sorted((turn(start, start + length) for start, length in spans), key=lambda each: each.finished)
    times = data.draw(st.dictionaries(st.sampled_from("abcdef"), st.lists(st.integers(0, 80), max_size=2), max_size=6))
    found = shared({name: sorted(map(float, whens)) for name, whens in times.items()}, *turns)
    owned = [name for own in found.own for name in names(own)]
    assert len(owned) == len(set(owned))
    assert set(owned) | set(names(found.later)) <= set(times)


def test_the_time_of_a_file_is_that_of_its_last_change_in_any_way(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    file = folder / "file"
    file.write_text("a")
    assert changed_at(file) == file.stat().st_ctime_ns
    file.unlink()
    assert changed_at(file) == folder.stat().st_mtime_ns
    folder.rmdir()
    assert changed_at(file) == tmp_path.stat().st_mtime_ns
