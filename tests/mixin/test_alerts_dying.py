"""Alerts about loops that died, by every road: each fires then, and stays silent where a loop only ended."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from incidents import LOOP, Incident

from support.promtool import STALE, Values, flat, ramp, silence

Judge = Callable[..., None]
FIX_BUGS = {"ralph_loop_name": "fix-bugs"}
R1 = {**FIX_BUGS, "instance": "r1"}


class TestLoopCrashed:
    ALERT = "RalphLoopCrashed"

    @pytest.mark.parametrize("reason", ["crashed", "error"])
    def test_its_recorder_lived_to_tell(self, judge: Judge, reason: str) -> None:
        scene = Incident()
        scene.run("active_runs", [*flat(1, 10), 0, *silence(100)])
        scene.run("runs", [*silence(10), 1, *silence(100)], ralph_stop_reason=reason)
        scene.fires(self.ALERT, 9)
        scene.fires(self.ALERT, 10, {**FIX_BUGS, "ralph_stop_reason": reason})
        scene.fires(self.ALERT, 60, {**FIX_BUGS, "ralph_stop_reason": reason})
        scene.fires(self.ALERT, 76)
        judge(scene)

    def test_it_ended_as_it_should(self, judge: Judge) -> None:
        scene = Incident()
        for run, reason in enumerate(("completed", "max_iterations", "user_signal", "tests_passed", "max_cost")):
            scene.run("runs", [*silence(10), 1, *silence(50)], f"r{run}", ralph_stop_reason=reason)
        scene.fires(self.ALERT, 11)
        scene.fires(self.ALERT, 40)
        judge(scene)

    def test_an_earlier_crash_of_the_same_process(self, judge: Judge) -> None:
        scene = Incident()
        scene.run("runs", flat(3, 120), ralph_stop_reason="crashed")
        scene.fires(self.ALERT, 119)
        judge(scene)


class TestLoopVanished:
    ALERT = "RalphLoopVanished"

    def test_otlp_its_series_end_while_it_was_running(self, judge: Judge) -> None:
        scene = Incident()
        scene.run("active_runs", [*flat(1, 20), *silence(100)])
        scene.fires(self.ALERT, 23)
        scene.fires(self.ALERT, 25, R1)
        scene.fires(self.ALERT, 70, R1)
        scene.fires(self.ALERT, 81)
        judge(scene)

    def test_otlp_of_two_runs_side_by_side_the_one_that_is_gone(self, judge: Judge) -> None:
        scene = Incident()
        scene.run("active_runs", [*flat(1, 20), *silence(40)])
        scene.run("active_runs", flat(1, 60), "r2")
        scene.fires(self.ALERT, 40, R1)
        judge(scene)

    def test_otlp_it_ended_as_it_should(self, judge: Judge) -> None:
        scene = Incident()
        scene.run("active_runs", [*flat(1, 20), 0, *silence(60)])
        scene.run("runs", [*silence(20), 1, *silence(60)], ralph_stop_reason="completed")
        for minute in (22, 30, 40, 70):
            scene.fires(self.ALERT, minute)
        judge(scene)

    def test_otlp_the_network_is_away_for_a_while(self, judge: Judge) -> None:
        scene = Incident()
        scene.run("active_runs", [*flat(1, 20), *silence(4), *flat(1, 40)])
        for minute in range(20, 60):
            scene.fires(self.ALERT, minute)
        judge(scene)

    def test_otlp_the_network_is_away_for_longer(self, judge: Judge) -> None:
        scene = Incident()
        scene.run("active_runs", [*flat(1, 20), *silence(8), *flat(1, 40)])
        scene.fires(self.ALERT, 27, R1)
        scene.fires(self.ALERT, 29)
        judge(scene)

    @pytest.mark.parametrize("iterating", [1, 0])
    def test_a_collector_shows_the_last_it_heard_for_five_minutes_more(self, judge: Judge, iterating: int) -> None:
        scene = Incident()
        scene.run("active_runs", [*flat(1, 25), *silence(35)])
        scene.run("active_iterations", [*flat(iterating, 25), *silence(35)])
        if iterating:
            scene.run("iteration_age", [*ramp(0, 60, 20), *flat(1140, 5), *silence(35)])
        self.machine(scene, [*noise(19), *flat(0.3, 6), *silence(35)])
        scene.fires(self.ALERT, 22)
        for minute in range(25, 60):
            scene.fires(self.ALERT, minute, R1)
        judge(scene)

    def test_a_run_that_pauses_in_an_iteration(self, judge: Judge) -> None:
        scene = Incident()
        scene.run("active_runs", flat(1, 60))
        scene.run("active_iterations", flat(1, 60))
        scene.run("iteration_age", [*ramp(0, 60, 20), *flat(1140, 40)])
        self.machine(scene, noise(60))
        for minute in (24, 30, 40, 59):
            scene.fires(self.ALERT, minute)
        judge(scene)

    @pytest.mark.parametrize("every", [1, 2], ids=["minute", "other-minute"])
    def test_figures_come_every(self, judge: Judge, every: int) -> None:
        scene = Incident()
        for name, values in (("active_runs", flat(1, 60)), ("active_iterations", flat(1, 60))):
            scene.run(name, seldom(values, every))
        scene.run("iteration_age", seldom(ramp(0, 60, 60), every))
        self.machine(scene, seldom(noise(60), every))
        for minute in range(60):
            scene.fires(self.ALERT, minute)
        judge(scene)

    def scraped(self, active: Values, up: Values) -> Incident:
        scene = Incident()
        scene.run("active_runs", active)
        scene.add("up", {"job": "ralph-loop", "instance": "r1"}, up)
        return scene

    def test_scraped_its_target_is_listed_and_does_not_answer(self, judge: Judge) -> None:
        scene = self.scraped([*flat(1, 20), *silence(40)], [*flat(1, 20), *flat(0, 40)])
        scene.fires(self.ALERT, 23)
        scene.fires(self.ALERT, 25, R1)
        judge(scene)

    def test_scraped_it_ended_between_two_scrapes_and_took_its_target_back(self, judge: Judge) -> None:
        scene = self.scraped([*flat(1, 20), *silence(80)], [*flat(1, 20), STALE, *silence(79)])
        self.machine(scene, [*noise(20), *silence(80)])
        for minute in (*range(20, 30), 45, 60, 79, 80, 81):
            scene.fires(self.ALERT, minute)
        judge(scene)

    def test_scraped_some_scrapes_fail(self, judge: Judge) -> None:
        scene = self.scraped([*flat(1, 20), *silence(4), *flat(1, 30)], [*flat(1, 20), *flat(0, 4), *flat(1, 30)])
        for minute in range(20, 50, 2):
            scene.fires(self.ALERT, minute)
        judge(scene)

    def test_scraped_a_target_without_a_running_loop(self, judge: Judge) -> None:
        scene = self.scraped([*flat(0, 20), *silence(40)], [*flat(1, 20), *flat(0, 40)])
        scene.fires(self.ALERT, 40)
        judge(scene)

    def test_a_file_of_a_run_that_was_killed_in_an_iteration(self, judge: Judge) -> None:
        scene = Incident()
        scene.run("active_runs", flat(1, 60))
        scene.run("active_iterations", flat(1, 60))
        scene.run("iteration_age", [*ramp(0, 60, 20), *flat(1140, 40)])  # node_exporter shows it for ever
        scene.fires(self.ALERT, 22)
        scene.fires(self.ALERT, 25, R1)
        scene.fires(self.ALERT, 59, R1)
        judge(scene)

    def test_files_of_one_node_exporter_that_keeps_its_own_instance(self, judge: Judge) -> None:
        scene = Incident()
        for run, ages in (("r1", [*ramp(0, 60, 20), *flat(1140, 40)]), ("r2", ramp(0, 60, 60))):
            labels = {**LOOP, "job": "node", "instance": "machine:9100", "exported_instance": run}
            scene.add(scene.names("active_runs"), labels, flat(1, 60))
            scene.add(scene.names("active_iterations"), labels, flat(1, 60))
            scene.add(scene.names("iteration_age"), labels, ages)
        scene.fires(self.ALERT, 22)
        scene.fires(self.ALERT, 25, {**FIX_BUGS, "instance": "machine:9100", "exported_instance": "r1"})
        judge(scene)

    def test_a_file_of_a_run_that_was_killed_between_two_iterations(self, judge: Judge) -> None:
        scene = Incident()
        scene.run("active_runs", flat(1, 60))
        scene.run("active_iterations", flat(0, 60))
        self.machine(scene, [*noise(20), *flat(0.3, 40)])
        scene.fires(self.ALERT, 22)
        scene.fires(self.ALERT, 26, R1)
        judge(scene)

    def test_a_file_of_a_run_that_ended_and_of_one_that_waits(self, judge: Judge) -> None:
        scene = Incident()
        scene.run("active_runs", flat(0, 60))
        scene.run("active_iterations", flat(0, 60))
        self.machine(scene, flat(0.3, 60))
        scene.run("active_runs", flat(1, 60), "r2")
        scene.run("active_iterations", flat(0, 60), "r2")
        self.machine(scene, noise(60), "r2")
        for minute in (20, 40, 59):
            scene.fires(self.ALERT, minute)
        judge(scene)

    def test_a_collector_shows_the_last_age_of_an_iteration_that_has_finished(self, judge: Judge) -> None:
        scene = Incident()
        scene.run("active_runs", flat(1, 60))
        scene.run("active_iterations", [*flat(1, 20), *flat(0, 40)])
        scene.run("iteration_age", [*ramp(0, 60, 20), *flat(1140, 12), *silence(28)])
        for minute in (25, 30, 40):
            scene.fires(self.ALERT, minute)
        judge(scene)

    def machine(self, scene: Incident, cpu: Values, run: str = "r1") -> None:
        """The machine's figures as a run tells them: nothing there ever stands still."""
        scene.run("system.cpu.utilization", cpu, run)
        scene.run("system.memory.utilization", [value and value / 2 for value in cpu], run)


def noise(minutes: int) -> list[float | None]:
    """A value that never stands still."""
    return [0.3 + (minute * 7 % 11) / 100 for minute in range(minutes)]


def seldom(values: Values, every: int) -> Values:
    """Of these only every so many."""
    return [None if minute % every else value for minute, value in enumerate(values)]
