"""Alerts about a loop that does not move: each fires in its incident, and stays silent where it only looks like one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from incidents import Incident

from ralph_otel.mixin.config import MixinConfig
from support.promtool import Values, flat, ramp, silence

Judge = Callable[..., None]
FIX_BUGS = {"ralph_loop_name": "fix-bugs"}
R1 = {**FIX_BUGS, "instance": "r1"}


def running(minutes: int, run: str = "r1", iterations: int = 1) -> Incident:
    """A run that goes on."""
    scene = Incident()
    goes_on(scene, minutes, run, iterations)
    return scene


def goes_on(scene: Incident, minutes: int, run: str = "r1", iterations: int = 1) -> None:
    scene.run("active_runs", flat(1, minutes), run)
    scene.run("active_iterations", flat(iterations, minutes), run)


class TestIterationStuck:
    ALERT = "RalphIterationStuck"

    def test_an_agent_that_sleeps_for_ever_in_its_first_iteration(self, judge: Judge) -> None:
        scene = running(70)
        scene.run("iteration_age", ramp(0, 60, 70))
        scene.fires(self.ALERT, 59)
        scene.fires(self.ALERT, 63, R1)
        judge(scene)

    def test_an_iteration_far_above_the_usual_of_earlier_runs(self, judge: Judge) -> None:
        scene = Incident()
        scene.durations(250, [*ramp(1, 1, 20), *silence(60)], "r0")
        goes_on(scene, 80)
        scene.run("iteration_age", [*silence(30), *ramp(0, 60, 50)])
        scene.fires(self.ALERT, 30 + 14)  # 3 times what is usual, less than 300 s, is less than 15 minutes
        scene.fires(self.ALERT, 30 + 18, R1)
        judge(scene)

    def test_a_loop_of_quick_iterations_has_ten_minutes(self, judge: Judge) -> None:
        scene = running(60)
        scene.durations(5, [*ramp(1, 2, 20), *flat(40, 40)])
        scene.run("iteration_age", [*flat(3, 20), *ramp(0, 60, 40)])
        scene.fires(self.ALERT, 20 + 9)
        scene.fires(self.ALERT, 20 + 12, R1)
        judge(scene)

    def test_iterations_of_hours_that_are_usual(self, judge: Judge) -> None:
        scene = Incident()
        scene.durations(2 * 3600, [*ramp(1, 1, 10), *silence(300)], "r0")
        goes_on(scene, 300)
        scene.run("iteration_age", ramp(0, 60, 300))
        scene.fires(self.ALERT, 150)
        scene.fires(self.ALERT, 290)
        judge(scene)

    def test_a_paused_loop_without_an_iteration(self, judge: Judge) -> None:
        scene = running(200, iterations=0)
        scene.run("iteration_age", [*flat(30, 5), *silence(195)])
        scene.fires(self.ALERT, 150)
        judge(scene)

    def test_the_last_age_of_an_iteration_that_has_finished(self, judge: Judge) -> None:
        scene = Incident()
        scene.run("active_runs", flat(1, 80))
        scene.run("active_iterations", [*flat(1, 63), *flat(0, 17)])
        scene.run("iteration_age", [*ramp(0, 60, 63), *silence(17)])  # a backend shows it for five minutes more
        scene.fires(self.ALERT, 62, R1)
        scene.fires(self.ALERT, 64)
        judge(scene)

    def test_of_two_runs_side_by_side_the_one_that_hangs(self, judge: Judge) -> None:
        scene = running(70)
        goes_on(scene, 70, "r2")
        scene.run("iteration_age", ramp(0, 60, 70))
        scene.run("iteration_age", flat(45, 70), "r2")
        scene.fires(self.ALERT, 65, R1)
        judge(scene)

    def test_a_gap_in_the_scrapes(self, judge: Judge) -> None:
        scene = Incident()
        for name in ("active_runs", "active_iterations"):
            scene.run(name, [*flat(1, 20), *silence(8), *flat(1, 20)])
        scene.run("iteration_age", [*flat(50, 20), *silence(8), *flat(50, 20)])
        for minute in (22, 27, 29, 40):
            scene.fires(self.ALERT, minute)
        judge(scene)


class TestNoProgress:
    ALERT = "RalphNoProgress"

    def test_a_streak_of_a_run_that_goes_on(self, judge: Judge) -> None:
        scene = running(20)
        scene.run("no_progress_streak", [*ramp(0, 1, 10), *flat(9, 10)])
        scene.fires(self.ALERT, 4)
        scene.fires(self.ALERT, 7, R1)
        judge(scene)

    def test_a_loop_that_ended_and_one_whose_progress_is_not_measured(self, judge: Judge) -> None:
        scene = Incident()
        scene.run("active_runs", flat(0, 20))
        scene.run("no_progress_streak", flat(9, 20))
        scene.run("active_runs", flat(1, 20), "r2", "unmeasured")
        scene.run("no_progress_streak", flat(0, 20), "r2", "unmeasured")
        scene.fires(self.ALERT, 15)
        judge(scene)


class TestLoopSpinning:
    ALERT = "RalphLoopSpinning"

    def spinning(self, **changes: Values) -> Incident:
        scene = running(60)
        scene.run("iterations", ramp(1, 1, 60), ralph_outcome="success")
        scene.run("progress_score", flat(0, 60))
        for name, values in changes.items():
            scene.run(name, values, **({"ralph_change": "added"} if name == "lines_changed" else {}))
        return scene

    def test_many_iterations_that_edit_nothing(self, judge: Judge) -> None:
        scene = self.spinning(iterations_with_progress=flat(0, 60))
        scene.fires(self.ALERT, 15)
        scene.fires(self.ALERT, 25, FIX_BUGS)
        judge(scene)

    @pytest.mark.parametrize("active", [1, 0])  # 0: only their ends were sent
    def test_many_short_runs_that_edit_nothing(self, judge: Judge, active: float) -> None:
        scene = Incident()
        for run in range(20):
            at = silence(run * 2)
            scene.run("active_runs", [*at, active, *silence(1)], f"r{run}")
            scene.run("iterations", [*at, 1, *silence(1)], f"r{run}", ralph_outcome="success")
            scene.run("progress_score", [*at, 0, *silence(1)], f"r{run}")
        scene.fires(self.ALERT, 35, FIX_BUGS)
        judge(scene)

    @pytest.mark.parametrize("name", ["iterations_with_progress", "files_changed", "lines_changed", "commits"])
    def test_it_changes_something_now_and_then(self, judge: Judge, name: str) -> None:
        scene = self.spinning(**{name: [*flat(0, 8), *flat(1, 52)]})
        scene.fires(self.ALERT, 30)
        scene.fires(self.ALERT, 55)
        judge(scene)

    def test_progress_is_not_measured(self, judge: Judge) -> None:
        scene = running(60)
        scene.run("iterations", ramp(1, 1, 60), ralph_outcome="success")
        scene.fires(self.ALERT, 50)
        judge(scene)

    def test_a_slow_loop_and_one_that_ended_with_its_tenth_iteration(self, judge: Judge) -> None:
        scene = running(60)
        scene.run("iterations", ramp(1, 0.1, 60), ralph_outcome="success")
        scene.run("progress_score", flat(0, 60))
        scene.run("active_runs", [*flat(1, 10), 0, *silence(49)], "r2", "ended")
        scene.run("iterations", [*ramp(1, 1, 10), 10, *silence(49)], "r2", "ended", ralph_outcome="success")
        scene.run("progress_score", [*flat(0, 11), *silence(49)], "r2", "ended")
        for minute in (15, 20, 30, 55):
            scene.fires(self.ALERT, minute)
        judge(scene)


class TestIterationsFailing:
    ALERT = "RalphIterationsFailing"

    def outcomes(self, minutes: int, **counts: Values) -> Incident:
        scene = running(minutes)
        for outcome, values in counts.items():
            scene.run("iterations", values, ralph_outcome=outcome)
        return scene

    def test_a_loop_that_fails_from_the_beginning(self, judge: Judge) -> None:
        scene = self.outcomes(20, failure=ramp(1, 1, 20))
        scene.fires(self.ALERT, 3)
        scene.fires(self.ALERT, 6, FIX_BUGS)
        judge(scene)

    def test_a_quick_loop_that_begins_to_fail_after_hours_of_success(self, judge: Judge) -> None:
        scene = self.outcomes(140, success=[*ramp(1, 2, 120), *flat(239, 20)], timeout=[*flat(0, 120), *ramp(1, 2, 20)])
        scene.fires(self.ALERT, 119)
        scene.fires(self.ALERT, 127, FIX_BUGS)
        judge(scene)

    def test_a_slow_loop_whose_iterations_time_out(self, judge: Judge) -> None:
        scene = self.outcomes(360, timeout=[(minute // 50) for minute in range(360)])
        scene.fires(self.ALERT, 240)
        scene.fires(self.ALERT, 300, FIX_BUGS)
        judge(scene)

    def test_many_short_runs_that_fail_at_once(self, judge: Judge) -> None:
        scene = Incident()
        for run in range(20):
            scene.run("active_runs", [*silence(run), 0, *silence(1)], f"r{run}")
            scene.run("iterations", [*silence(run), 1, *silence(1)], f"r{run}", ralph_outcome="failure")
        scene.fires(self.ALERT, 3)
        scene.fires(self.ALERT, 15, FIX_BUGS)
        judge(scene)

    def test_half_of_them_fail(self, judge: Judge) -> None:
        scene = self.outcomes(60, failure=ramp(1, 1, 60), success=ramp(1, 1, 60))
        scene.fires(self.ALERT, 30)
        judge(scene)

    def test_somebody_cancels_them(self, judge: Judge) -> None:
        scene = self.outcomes(60, cancelled=ramp(1, 1, 60))
        scene.fires(self.ALERT, 30)
        judge(scene)

    def test_a_few_failures_of_a_fresh_loop(self, judge: Judge) -> None:
        scene = self.outcomes(60, failure=[*ramp(1, 1, 4), *flat(4, 56)])
        scene.fires(self.ALERT, 5)
        scene.fires(self.ALERT, 50)
        judge(scene)

    def test_a_loop_that_has_ended_and_one_that_has_recovered(self, judge: Judge) -> None:
        scene = Incident()
        scene.run("active_runs", [*flat(1, 10), *flat(0, 50)])
        scene.run("iterations", [*ramp(1, 1, 10), *flat(10, 50)], ralph_outcome="failure")
        scene.run("active_runs", flat(1, 60), "r2", "recovered")
        scene.run("iterations", [*ramp(1, 1, 10), *flat(10, 50)], "r2", "recovered", ralph_outcome="failure")
        scene.run("iterations", [*flat(0, 10), *ramp(1, 1, 50)], "r2", "recovered", ralph_outcome="success")
        scene.fires(self.ALERT, 9, FIX_BUGS, {"ralph_loop_name": "recovered"})
        scene.fires(self.ALERT, 25)
        scene.fires(self.ALERT, 55)
        judge(scene)

    def test_the_other_of_two_runs_side_by_side_succeeds(self, judge: Judge) -> None:
        scene = self.outcomes(60, failure=ramp(1, 1, 60))
        scene.run("iterations", ramp(1, 1, 60), "r2", ralph_outcome="success")
        scene.fires(self.ALERT, 30)
        judge(scene)


class TestTestsFailing:
    ALERT = "RalphTestsFailing"

    def streak_of(self, streak: Values, ratio: Values, active: int = 1) -> Incident:
        scene = Incident()
        scene.run("active_runs", flat(active, len(streak)))
        scene.run("test_failure_streak", streak)
        scene.run("test_pass_ratio", ratio)
        return scene

    def test_a_streak_that_does_not_get_better(self, judge: Judge) -> None:
        scene = self.streak_of(ramp(0, 1, 30), flat(0.8, 30))
        scene.fires(self.ALERT, 9)
        scene.fires(self.ALERT, 13, R1)
        judge(scene)

    def test_it_gets_better_by_and_by(self, judge: Judge) -> None:
        scene = self.streak_of(ramp(0, 1, 60), ramp(0.1, 0.01, 60))
        scene.fires(self.ALERT, 30)
        scene.fires(self.ALERT, 58)
        judge(scene)

    def test_tests_written_first_that_turn_green_one_by_one(self, judge: Judge) -> None:
        scene = self.streak_of([*flat(0, 20), *ramp(1, 1, 50)], [*flat(1, 20), *ramp(0.4, 0.01, 50)])
        for minute in (25, 35, 45, 65):
            scene.fires(self.ALERT, minute)
        judge(scene)

    def test_green_ones_that_were_broken_and_stay_so(self, judge: Judge) -> None:
        scene = self.streak_of([*flat(0, 20), *ramp(1, 1, 20)], [*flat(1, 20), *flat(0.4, 20)])
        scene.fires(self.ALERT, 28)
        scene.fires(self.ALERT, 33, R1)
        judge(scene)

    def test_it_ended_or_has_no_tests(self, judge: Judge) -> None:
        scene = self.streak_of(ramp(0, 1, 30), flat(0.8, 30), active=0)
        scene.run("active_runs", flat(1, 30), "r2", "without-tests")
        scene.fires(self.ALERT, 20)
        judge(scene)


def test_a_threshold_can_be_set(judge: Judge) -> None:
    config = MixinConfig().with_settings(["no_progress_streak=2", "stuck_without_history=5m"])
    scene = running(20)
    scene.run("no_progress_streak", flat(2, 20))
    scene.run("iteration_age", ramp(0, 60, 20))
    scene.fires("RalphNoProgress", 3, R1)
    scene.fires("RalphIterationStuck", 4)
    scene.fires("RalphIterationStuck", 8, R1)
    judge(scene, config)
