"""Eight hours of a loop that is well: nobody is woken."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate, cycle, islice

from incidents import Incident

from support.promtool import Values

Judge = Callable[..., None]
NIGHT = 8 * 60
LENGTHS = (2, 5, 40, 12, 3, 25, 8, 18)
"""Minutes that an iteration takes, one after the other."""


def test_no_alert_fires(judge: Judge) -> None:
    scene = Incident()
    one_run(scene, "r1", 'a "night" für 日本', dearness=10 / 60)
    one_run(scene, "r2", "fix-bugs", dearness=1 / 60)
    scene.expect(NIGHT - 1, f'max_over_time(ALERTS{{alertstate="firing"}}[{NIGHT}m:1m])', [])
    scene.expect(NIGHT - 1, "count(loop:ralph_loop_iterations:increase1h > 0)", [({}, 4)])  # and both were looked at
    judge(scene)


def one_run(scene: Incident, run: str, loop: str, dearness: float) -> None:
    """A run of all night: iterations of 2 to 40 minutes, some failures, a pause, planned reboots, tests written first.

    Args:
        scene: where to.
        run: the run id.
        loop: the loop's name.
        dearness: US dollars a minute.
    """
    lengths = list(islice(cycle(LENGTHS), NIGHT))
    ends = [end for end in accumulate(lengths) if end < NIGHT]
    begins = [0, *ends]
    of = [sum(end <= minute for end in ends) for minute in range(NIGHT)]  # iterations that have finished
    age: Values = [float(minute - begins[n]) * 60 for minute, n in enumerate(of)]
    # A pause in the third iteration, which takes 40 minutes: no age meanwhile.
    age = [None if 20 <= minute < 35 else value for minute, value in enumerate(age)]
    failed = [n // 6 for n in of]
    series: dict[str, Values] = {
        "active_runs": [1] * NIGHT,
        "active_iterations": [1] * NIGHT,
        "iteration_age": age,
        "cost": [dearness * minute for minute in range(NIGHT)],
        "context_usage": [10 + 20 * (n % 4) for n in of],
        "no_progress_streak": [n % 3 for n in of],
        "progress_score": [0.3 if n % 3 else 0.0 for n in of],
        "iterations_with_progress": [n - n // 3 for n in of],
        "files_changed": [2 * n for n in of],
        "test_failure_streak": [n % 20 for n in of],
        "test_pass_ratio": [0.4 + (n % 20) / 40 if n % 20 else 1.0 for n in of],
    }
    for name, values in series.items():
        scene.run(name, values, run, loop)
    scene.run("iterations", [n - f for n, f in zip(of, failed, strict=True)], run, loop, ralph_outcome="success")
    scene.run("iterations", failed, run, loop, ralph_outcome="failure")
    reboots = [n // 4 for n in of]
    scene.run("reboots", reboots, run, loop, ralph_reboot_reason="iteration_limit")
    for part, each in (("sum", 70), ("count", 1)):
        values = [n * each for n in reboots]
        scene.run(f"context_at_reboot_{part}", values, run, loop, ralph_reboot_reason="iteration_limit")
    scene.run("iteration_duration_count", of, run, loop, ralph_outcome="success")
    scene.run("iteration_duration_sum", [begins[n] * 60 for n in of], run, loop, ralph_outcome="success")
    for bound in (60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, float("inf")):
        inside = [sum(length * 60 <= bound for length in lengths[:n]) for n in of]
        le = "+Inf" if bound == float("inf") else str(bound)
        scene.run("iteration_duration_bucket", inside, run, loop, ralph_outcome="success", le=le)
