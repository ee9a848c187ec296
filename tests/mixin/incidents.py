"""Loops as Prometheus sees them, in trouble or nearly: what the tests of the alerts put before the rules."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

from ralph_otel.mixin import alerts, recording, rules
from ralph_otel.mixin.config import MixinConfig
from ralph_otel.mixin.names import Names
from support.promtool import Scene, Values

LOOP = {"job": "ralph-loop", "ralph_loop_name": "fix-bugs", "ralph_runner": "ralphify"}
RECORDING = [group.name for group in recording.groups(MixinConfig())]
GROUPS = [*RECORDING, *alerts.GROUPS]


@cache
def rules_of(config: MixinConfig) -> dict[str, str]:
    """The files of rules."""
    return {"recording.yaml": rules.recording_rules(config), "alerts.yaml": rules.alert_rules(config)}


@dataclass
class Incident(Scene):
    """A scene with runs of loops."""

    names: Names = field(default_factory=Names)

    def run(self, name: str, values: Values, run: str = "r1", loop: str = "fix-bugs", **labels: str) -> None:
        """A series of a run.

        Args:
            name: of the metric, in the catalog.
            values: one a minute.
            run: the run id.
            loop: the loop's name.
            labels: further ones.
        """
        self.add(self.names(name), {**LOOP, "ralph_loop_name": loop, "instance": run, **labels}, values)

    def durations(self, each: float, counts: Values, run: str = "r1", loop: str = "fix-bugs") -> None:
        """Iterations that all took as many seconds; how many there were by each minute."""
        self.run("iteration_duration_count", counts, run, loop, ralph_outcome="success")
        self.run("iteration_duration_sum", [n and n * each for n in counts], run, loop, ralph_outcome="success")
        for bound in (10.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, None):
            le, inside = ("+Inf", True) if bound is None else (str(bound), each <= bound)
            values = [n if n is None or inside else 0 for n in counts]
            self.run("iteration_duration_bucket", values, run, loop, ralph_outcome="success", le=le)

    def fires(self, alert: str, minute: float, *of: dict[str, str]) -> None:
        """At that minute the alert fires for these loops or processes, and for no others; without any, it is silent.

        Args:
            alert: its name.
            minute: when.
            of: the labels of each, besides the severity and, of a loop, the job and the runner.
        """
        query = f'sum without (severity, job, ralph_runner) (ALERTS{{alertname="{alert}", alertstate="firing"}})'
        self.expect(minute, query, [({"alertname": alert, "alertstate": "firing", **labels}, 1) for labels in of])
