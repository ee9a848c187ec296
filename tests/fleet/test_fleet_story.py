"""Simulated loops: their journals are whole, the same for the same seed, and written when their time has come."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from benchmarks.fleet.story import Story
from benchmarks.fleet.writing import write
from hypothesis import given
from hypothesis import strategies as st

from ralph_otel.events import problem_with
from ralph_otel.runs import fold

BEGIN = 1_790_000_000 * 10**9
seeds = st.integers(0, 2**32 - 1)


@given(seeds)
def test_every_line_of_a_story_is_one_that_a_recorder_can_use(seed: int) -> None:
    lines = list(Story("a-run", seed, BEGIN, 1800.0).lines())
    assert [problem for line in lines if (problem := problem_with(line))] == []
    assert (lines[0]["type"], lines[-1]["type"]) == ("loop.started", "loop.stopped")
    assert all(one["ts"] <= other["ts"] for one, other in pairwise(lines))


@given(seeds)
def test_the_same_seed_tells_the_same_story_and_another_one_another(seed: int) -> None:
    assert list(Story("a-run", seed, BEGIN, 900.0).lines()) == list(Story("a-run", seed, BEGIN, 900.0).lines())
    assert list(Story("a-run", seed, BEGIN, 900.0).lines()) != list(Story("a-run", seed + 1, BEGIN, 900.0).lines())


@given(seeds, st.randoms(use_true_random=False))
def test_sums_of_a_story_do_not_depend_on_the_order_in_which_they_are_made(seed: int, order: object) -> None:
    amounts = [
        line[name]
        for line in Story("a-run", seed, BEGIN, 900.0).lines()
        for name in ("cost_usd", "duration")
        if name in line
    ]
    shuffled = amounts[:]
    getattr(order, "shuffle")(shuffled)  # noqa: B009 — hypothesis's own class has no useful type
    assert sum(amounts) == sum(shuffled)


def test_the_journals_hold_the_whole_stories(tmp_path: Path) -> None:
    stories = [Story(f"run-{number}", number, BEGIN + number * 10**9, 600.0) for number in range(3)]
    write(stories, tmp_path, speed=1e6)
    for story in stories:
        folded = fold(tmp_path / f"{story.run_id}.jsonl")
        assert (folded.lines, folded.bad_lines, folded.torn) == (len(list(story.lines())), 0, False)
        assert folded.run.stopped is not None
