"""Windows and quantiles, against the plain reckoning over every single event."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ralph_otel.model import Rollup
from ralph_otel.state.rollups import KEPT, SLOTS, WINDOWS, Rollups
from support.tape import T0, Tape, at

START = T0 // 86_400_000_000_000 * 86_400_000_000_000
"""A time at which a slot of every window begins."""


def moment(seconds: float) -> int:
    return START + round(seconds * 1e9)


def test_windows_are_five_minutes_an_hour_a_day_and_all() -> None:
    assert WINDOWS == {"5m": 300, "1h": 3600, "24h": 86_400}
    assert list(Rollups().at(T0)) == ["5m", "1h", "24h", "all"]


def test_each_window_holds_what_happened_in_it() -> None:
    rollups = Rollups()
    for hours_ago, success, duration in ((30, False, 100.0), (2, True, 50.0), (0.5, True, 10.0), (0.01, False, 1.0)):
        rollups.iteration(moment(200_000 - hours_ago * 3600), success, duration)
    found = rollups.at(moment(200_000))
    assert {name: rollup.iterations for name, rollup in found.items()} == {"5m": 1, "1h": 2, "24h": 3, "all": 4}
    ratios = {"5m": 0.0, "1h": 0.5, "24h": 2 / 3, "all": 0.5}
    assert {name: rollup.success_ratio for name, rollup in found.items()} == pytest.approx(ratios)


def test_tokens_cost_and_reboots_leave_the_window_with_time() -> None:
    rollups = Rollups()
    rollups.usage(moment(0), 1000, 0.25)
    rollups.usage(moment(200), 500, 0.5)
    rollups.reboot(moment(0))
    assert [(r.tokens, r.cost, r.reboots) for r in (rollups.at(moment(210))["5m"],)] == [(1500, 0.75, 1)]
    assert [(r.tokens, r.cost, r.reboots) for r in (rollups.at(moment(310))["5m"],)] == [(500, 0.5, 0)]
    assert [(r.tokens, r.cost, r.reboots) for r in (rollups.at(moment(310))["1h"],)] == [(1500, 0.75, 1)]
    assert rollups.at(moment(10_000))["5m"] == Rollup()
    assert rollups.at(moment(10_000_000))["all"] == Rollup(0, 0.0, 0.0, 0.0, 0.0, 1500, 0.75, 1)


@pytest.mark.parametrize("length", WINDOWS.values(), ids=list(WINDOWS))
def test_a_window_is_as_long_as_it_says_to_one_slot(length: int) -> None:
    name = next(name for name, seconds in WINDOWS.items() if seconds == length)
    rollups = Rollups()
    rollups.reboot(moment(0))
    slot = length / SLOTS
    assert rollups.at(moment(length - slot - 0.001))[name].reboots == 1
    assert rollups.at(moment(length + 0.001))[name].reboots == 0


def test_an_event_that_comes_late_is_counted_where_it_belongs_while_that_is_in_the_window() -> None:
    rollups = Rollups()
    rollups.reboot(moment(10_000))
    rollups.reboot(moment(9_900))
    rollups.reboot(moment(5_000))
    found = rollups.at(moment(10_000))
    assert {name: rollup.reboots for name, rollup in found.items()} == {"5m": 2, "1h": 2, "24h": 3, "all": 3}


def test_slots_do_not_pile_up() -> None:
    rollups = Rollups()
    for minute in range(3000):
        rollups.iteration(moment(minute * 60), True, 1.0)
    assert all(len(window._slots) <= KEPT for window in rollups._windows.values())
    assert rollups.at(moment(3000 * 60))["24h"].iterations == pytest.approx(1440, abs=24)


@given(st.lists(st.integers(0, 2**63 - 1), max_size=300))
def test_slots_do_not_pile_up_whatever_the_times(times: list[int]) -> None:
    rollups = Rollups()
    for ts in times:
        rollups.reboot(ts)
    assert all(len(window._slots) <= KEPT for window in rollups._windows.values())
    assert rollups.at(0)["all"].reboots == len(times)


@pytest.mark.parametrize("far", [-(10**16), 3_600 * 10**9, 2**62])
def test_a_single_event_from_far_away_displaces_no_others(far: int) -> None:
    for when in range(0, 200, 7):
        rollups = Rollups()
        for second in range(200):
            rollups.reboot(moment(second * 5))
            if second == when:
                rollups.reboot(moment(second * 5) + far)
        assert rollups.at(moment(199 * 5))["5m"].reboots == SLOTS


@given(st.lists(st.floats(0.001, 1e6), min_size=1, max_size=200))
def test_quantiles_are_within_one_percent(durations: list[float]) -> None:
    rollups = Rollups()
    for duration in durations:
        rollups.iteration(T0, True, duration)
    ordered, found = sorted(durations), rollups.at(T0)["all"]
    for q, value in ((0.5, found.duration_p50), (0.9, found.duration_p90), (0.99, found.duration_p99)):
        rank = q * (len(ordered) - 1)
        low, high = ordered[math.floor(rank)], ordered[math.ceil(rank)]
        assert low * 0.98999 <= value <= high * 1.01001


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 90_000), st.floats(0.001, 100)), max_size=60))
def test_several_loops_together_are_as_one_loop_with_all_events(events: list[tuple[int, float, float]]) -> None:
    together, loops = Rollups(), [Rollups() for _ in range(4)]
    for loop, second, duration in events:
        for rollups in (together, loops[loop]):
            rollups.iteration(moment(second), loop % 2 == 0, duration)
            rollups.usage(moment(second), loop, 0.5)
    merged = Rollups()
    for rollups in loops:
        merged.absorb(rollups)
    for name, rollup in merged.at(moment(90_000)).items():
        expected = together.at(moment(90_000))[name]
        assert (rollup.iterations, rollup.tokens, rollup.reboots) == (expected.iterations, expected.tokens, 0)
        assert rollup.cost == pytest.approx(expected.cost)
        assert rollup.duration_p90 == pytest.approx(expected.duration_p90)


def test_a_loop_fills_its_rollups() -> None:
    tape = Tape().iteration(1, 1, duration=4.0).iteration(10, 2, outcome="timeout", duration=8.0)
    tape.add(
        20, "usage.measured", input_tokens=10, output_tokens=200, cache_read_tokens=3000, cache_creation_tokens=40000
    )
    tape.add(20, "usage.measured", cost_usd=0.5, output_tokens=5).add(21, "usage.measured").add(
        22, "reboot.started", reason="manual"
    )
    for now in (30, 250):
        found = tape.metrics(now=now).rollups["5m"]
        assert (found.iterations, found.success_ratio, found.tokens, found.cost, found.reboots) == (
            2,
            0.5,
            43215,
            0.5,
            1,
        )
        assert found.duration_p99 == pytest.approx(4.0, rel=0.01)  # the lower of the two: rank 0.99 of 0 … 1
    assert tape.metrics(now=1000).rollups["5m"] == Rollup()
    assert tape.metrics(now=1000).rollups["all"].iterations == 2


def test_the_windows_of_a_stopped_loop_end_with_it() -> None:
    tape = Tape().iteration(1, 1).add(10, "loop.stopped", reason="completed")
    assert tape.metrics(now=100_000).rollups["5m"].iterations == 1
    assert tape.state().metrics(at(100_000)).rollups["5m"].iterations == 1
