"""Alerts about money and context windows: each fires in its incident, and stays silent where it only looks like one."""

from __future__ import annotations

from collections.abc import Callable

from incidents import Incident

from ralph_otel.mixin.config import MixinConfig
from support.promtool import Values, flat, ramp, silence

Judge = Callable[..., None]
FIX_BUGS = {"ralph_loop_name": "fix-bugs"}
R1 = {**FIX_BUGS, "instance": "r1"}
MODEL = {"gen_ai_request_model": "model-x", "ralph_cost_source": "reported"}


class TestRunOverBudget:
    ALERT = "RalphRunOverBudget"

    def test_a_run_that_goes_on_spending(self, judge: Judge) -> None:
        scene = Incident()
        scene.run("active_runs", flat(1, 60))
        scene.run("cost", ramp(1, 2, 60), **MODEL)
        scene.run("cost", flat(5, 60), gen_ai_request_model="model-y", ralph_cost_source="reported")
        scene.fires(self.ALERT, 40)
        scene.fires(self.ALERT, 50, R1)
        judge(scene)

    def test_one_that_ended_several_that_are_cheap_and_one_without_costs(self, judge: Judge) -> None:
        scene = Incident()
        scene.run("active_runs", flat(0, 60))
        scene.run("cost", flat(180, 60), **MODEL)
        for run in ("r2", "r3", "r4"):
            scene.run("active_runs", flat(1, 60), run)
            scene.run("cost", ramp(0, 0.5, 60), run, **MODEL)
        scene.run("active_runs", flat(1, 60), "r5", "without-costs")
        scene.fires(self.ALERT, 59)
        judge(scene)


class TestDayOverBudget:
    ALERT = "RalphDayOverBudget"

    def test_all_runs_of_a_day_together(self, judge: Judge) -> None:
        scene = Incident()
        for hour in range(6):
            scene.run("cost", [*silence(hour * 60), 20, *flat(45, 20), *silence(1)], f"r{hour}", **MODEL)
        scene.fires(self.ALERT, 4 * 60 - 5)
        scene.fires(self.ALERT, 4 * 60 + 10, FIX_BUGS)
        judge(scene)

    def test_as_much_in_two_days(self, judge: Judge) -> None:
        scene = Incident(every=5)
        scene.run("cost", ramp(1, 0.13, 26 * 60), **MODEL)  # 187 USD a day
        scene.fires(self.ALERT, 24 * 60)
        scene.fires(self.ALERT, 26 * 60 - 1)
        judge(scene)


class TestCostSpike:
    ALERT = "RalphCostSpike"

    def spent(self, values: Values, run: str = "r1") -> Incident:
        scene = Incident()
        scene.run("cost", values, run, **MODEL)
        return scene

    def test_a_fresh_loop_over_the_limit(self, judge: Judge) -> None:
        scene = self.spent(ramp(1, 1, 40))
        scene.fires(self.ALERT, 20)
        scene.fires(self.ALERT, 30, FIX_BUGS)
        judge(scene)

    def test_far_above_its_usual(self, judge: Judge) -> None:
        scene = self.spent([*ramp(0, 0.05, 300), *ramp(15, 0.5, 30)])  # from 3 USD an hour to 30
        scene.fires(self.ALERT, 299)
        scene.fires(self.ALERT, 310)
        scene.fires(self.ALERT, 322, FIX_BUGS)
        judge(scene)

    def test_a_fresh_loop_without_history(self, judge: Judge) -> None:
        scene = self.spent(ramp(0, 0.2, 170))  # 12 USD an hour
        for minute in (10, 61, 90, 120, 169):
            scene.fires(self.ALERT, minute)
        judge(scene)

    def test_a_dearer_task_at_an_ordinary_price(self, judge: Judge) -> None:
        scene = self.spent([*ramp(0, 0.02, 300), *ramp(6, 0.16, 100)])  # from 1 USD an hour to 9
        for minute in (330, 360, 399):
            scene.fires(self.ALERT, minute)
        judge(scene)

    def test_a_spike_of_cents(self, judge: Judge) -> None:
        scene = self.spent([*ramp(0, 0.001, 300), *ramp(0.3, 0.05, 59)])
        scene.fires(self.ALERT, 358)
        judge(scene)

    def test_more_runs_side_by_side_than_usual(self, judge: Judge) -> None:
        scene = self.spent(ramp(0, 0.2, 400))  # 12 USD an hour each
        for run in ("r2", "r3", "r4"):
            scene.run("cost", [*silence(300), *ramp(0, 0.2, 100)], run, **MODEL)
        for minute in (290, 320, 360, 399):
            scene.fires(self.ALERT, minute)
        judge(scene, MixinConfig().with_settings(["hour_limit=100"]))

    def test_costs_that_come_in_large_lumps(self, judge: Judge) -> None:
        scene = self.spent([12 * (minute // 90) for minute in range(600)])
        for minute in range(0, 600, 45):
            scene.fires(self.ALERT, minute)
        judge(scene)


class TestRebootStorm:
    ALERT = "RalphRebootStorm"

    def test_a_reboot_in_each_iteration(self, judge: Judge) -> None:
        scene = Incident()
        scene.run("reboots", ramp(0, 0.5, 40), ralph_reboot_reason="redline")
        scene.run("iterations", ramp(0, 0.4, 40), ralph_outcome="success")
        scene.fires(self.ALERT, 8)
        scene.fires(self.ALERT, 20, FIX_BUGS)
        judge(scene)

    def test_no_iteration_ever_finishes(self, judge: Judge) -> None:
        scene = Incident()
        scene.run("reboots", ramp(1, 1, 20), ralph_reboot_reason="error_recovery")
        scene.fires(self.ALERT, 10, FIX_BUGS)
        judge(scene)

    def test_planned_ones_and_some_in_many_iterations(self, judge: Judge) -> None:
        scene = Incident()
        scene.run("reboots", ramp(0, 1, 60), ralph_reboot_reason="iteration_limit")
        scene.run("iterations", ramp(0, 1, 60), ralph_outcome="success")
        scene.run("reboots", ramp(0, 0.2, 60), "r2", "long", ralph_reboot_reason="redline")
        scene.run("iterations", ramp(0, 1, 60), "r2", "long", ralph_outcome="success")
        scene.run("reboots", [*ramp(0, 1, 4), *flat(4, 56)], "r3", "few", ralph_reboot_reason="redline")
        for minute in (10, 30, 59):
            scene.fires(self.ALERT, minute)
        judge(scene)


class TestContextFillsFast:
    ALERT = "RalphContextFillsFast"

    def test_it_climbs_and_will_soon_be_full(self, judge: Judge) -> None:
        scene = Incident()
        scene.run("active_runs", flat(1, 20))
        scene.run("context_usage", [*ramp(60, 2.5, 16), *flat(99, 4)])
        scene.fires(self.ALERT, 9)
        scene.fires(self.ALERT, 13, R1)
        judge(scene)

    def test_reboots_of_full_contexts_after_an_iteration_each(self, judge: Judge) -> None:
        scene = Incident()
        for part, step in (("count", 0.2), ("sum", 0.2 * 92)):
            scene.run(f"context_at_reboot_{part}", ramp(0, step, 40), ralph_reboot_reason="redline")
        scene.run("iterations", ramp(0, 0.2, 40), ralph_outcome="success")
        scene.fires(self.ALERT, 12)
        scene.fires(self.ALERT, 25, FIX_BUGS)
        judge(scene)

    def test_it_is_high_but_rests_or_begins_anew_each_time(self, judge: Judge) -> None:
        scene = Incident()
        for run, values in (
            ("rests", flat(88, 60)),
            ("anew", [10 + 12 * (minute % 8) for minute in range(60)]),
            ("slow", ramp(78, 0.2, 60)),
        ):
            scene.run("active_runs", flat(1, 60), run)
            scene.run("context_usage", values, run)
        for minute in range(5, 60, 6):
            scene.fires(self.ALERT, minute)
        judge(scene)

    def test_reboots_after_many_iterations_and_of_contexts_that_are_not_full(self, judge: Judge) -> None:
        scene = Incident()
        for loop, percent, iterations in (("many", 92, 1.0), ("half", 50, 0.2)):
            for part, step in (("count", 0.2), ("sum", 0.2 * percent)):
                scene.run(f"context_at_reboot_{part}", ramp(0, step, 60), loop, loop, ralph_reboot_reason="redline")
            scene.run("iterations", ramp(0, iterations, 60), loop, loop, ralph_outcome="success")
        for minute in (20, 40, 59):
            scene.fires(self.ALERT, minute)
        judge(scene)

    def test_a_loop_that_ended(self, judge: Judge) -> None:
        scene = Incident()
        scene.run("active_runs", flat(0, 20))
        scene.run("context_usage", ramp(80, 1, 20))
        scene.fires(self.ALERT, 15)
        judge(scene)
