"""What the recording rules count: all of it, once."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from incidents import LOOP, Incident

from ralph_otel.mixin.promql import grown
from support.promtool import Scene, Values, flat, ramp, selector, silence

ITERATIONS = "ralph_loop_iterations_total"
Count = Callable[[Scene], None]
OUTCOME = {"ralph_outcome": "success"}


def iterations(scene: Scene, run: str, values: Values) -> None:
    scene.add(ITERATIONS, {**LOOP, "instance": run, **OUTCOME}, values)


def recorded(window: str) -> str:
    return f"loop:ralph_loop_iterations:increase{window}"


def counted(scene: Scene, minute: float, window: str, value: float | None) -> None:
    name = recorded(window)
    labels: Mapping[str, str] = {"__name__": name, **LOOP, **OUTCOME}
    scene.expect(minute, name, [] if value is None else [(labels, value)])


@pytest.mark.parametrize("window", ["5m", "1h", "24h"])
def test_a_run_of_one_sample_counts_fully_and_once(count: Count, window: str) -> None:
    scene = Scene()
    iterations(scene, "short", [None, 7, *silence(1500)])
    for minute in {"5m": (1, 3, 5), "1h": (1, 30, 60), "24h": (1, 5, 60, 720, 1440)}[window]:
        counted(scene, minute, window, 7)
    counted(scene, {"5m": 7, "1h": 62, "24h": 1446}[window], window, None)
    count(scene)


def test_what_a_run_had_before_its_first_sample_counts(count: Count) -> None:
    scene = Scene()
    iterations(scene, "r1", [*silence(10), *ramp(3, 1, 30)])
    counted(scene, 10, "1h", 3)
    counted(scene, 39, "1h", 32)
    counted(scene, 39, "5m", 5)
    count(scene)


def test_windows_that_follow_each_other_add_up_to_the_total(count: Count) -> None:
    scene = Scene()
    iterations(scene, "r1", [None, *ramp(2, 1, 59), *silence(20)])  # 2 in the first minute, 60 in the last
    for minute, value in [(5, 6), (10, 5), (55, 5), (60, 4)]:
        counted(scene, minute, "5m", value)
    counted(scene, 65, "24h", 60)
    counted(scene, 60, "1h", 60)
    count(scene)


def test_a_gap_in_the_scrapes_loses_and_doubles_nothing(count: Count) -> None:
    scene = Scene()
    iterations(scene, "r1", [*ramp(1, 1, 20), *silence(25), *ramp(46, 1, 30)])
    counted(scene, 74, "1h", 60)
    counted(scene, 47, "5m", 28)  # what happened meanwhile shows when it is known: 48 - 20
    counted(scene, 74, "24h", 71)  # the last four minutes are not in it yet
    count(scene)


def test_runs_of_one_loop_add_up_one_after_the_other_and_side_by_side(count: Count) -> None:
    scene = Scene()
    iterations(scene, "r1", [*ramp(1, 1, 10), *silence(60)])
    iterations(scene, "r2", [*silence(5), *ramp(1, 1, 10), *silence(60)])
    iterations(scene, "r3", [*silence(30), 4, *silence(60)])
    counted(scene, 9, "1h", 15)
    counted(scene, 30, "1h", 24)
    count(scene)


def test_a_reset_of_the_counters_is_never_negative(count: Count) -> None:
    scene = Scene()
    iterations(scene, "r1", [*flat(50, 10), *flat(1, 20)])
    counted(scene, 12, "5m", 0)
    counted(scene, 20, "5m", 0)
    count(scene)


def test_an_hour_of_one_series_is_the_sum_of_its_parts_for_a_panel_too(count: Count) -> None:
    """The form that dashboards use, with their range in place of a rule's window."""
    scene, labels = Scene(), {**LOOP, "instance": "r1", **OUTCOME}
    iterations(scene, "r1", [*silence(10), *ramp(5, 1, 51)])
    whole = grown(selector(ITERATIONS, labels), "60m", "1h")
    scene.expect(60, whole, [(labels, 55)])
    quarter = grown(selector(ITERATIONS, labels), "15m", "1h")
    for minute, value in [(15, 10), (30, 15), (45, 15), (60, 15)]:
        scene.expect(minute, quarter, [(labels, value)])
    count(scene)


USUAL = "loop:ralph_loop_iteration_duration_seconds:usual24h"


def test_what_is_usual_is_a_quantile_or_the_mean_if_that_is_more(count: Count) -> None:
    scene = Incident()
    scene.durations(90, ramp(1, 1, 20))
    scene.expect(20, USUAL, [({"__name__": USUAL, **LOOP}, 117)])
    count(scene)
    scene = Incident()
    scene.durations(7200, ramp(1, 1, 20))
    scene.expect(20, USUAL, [({"__name__": USUAL, **LOOP}, 7200)])
    count(scene)


def test_nothing_is_usual_after_too_few_iterations(count: Count) -> None:
    scene = Incident()
    scene.durations(90, [*ramp(1, 1, 2), *flat(2, 20)])
    scene.expect(20, USUAL, [])
    count(scene)
