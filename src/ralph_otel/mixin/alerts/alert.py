"""What an alert is, and what all of them are built from."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum

from ralph_otel.catalog import LOOP_NAME, Attribute
from ralph_otel.mixin.config import Duration, MixinConfig
from ralph_otel.mixin.names import LOOP, RUN, Names, label
from ralph_otel.mixin.promql import most, over_time, total
from ralph_otel.mixin.recording import STEP, WINDOWS, in_steps

NAME = f"{{{{ $labels.{label(LOOP_NAME)} }}}}"
"""The loop's name, in an annotation."""
INSTANCE = "{{ or $labels.exported_instance $labels.instance }}"
"""The run id, in an annotation."""


class Severity(StrEnum):
    """Whether somebody should get up for it."""

    CRITICAL = "critical"
    WARNING = "warning"


class About(Enum):
    """What an alert is about. The value: where its figures are shown, with the labels that lead there."""

    LOOP = (
        "/d/ralph-loop?var-job={{ $labels.job | urlquery }}"
        f"&var-loop={{{{ $labels.{label(LOOP_NAME)} | urlquery }}}}"
    )
    RECORDER = "/d/ralph-health?var-job={{ $labels.job | urlquery }}&var-instance={{ $labels.instance | urlquery }}"
    COLLECTOR = "/d/ralph-health"


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert. The page `docs/runbooks/<name>.md` says what to do about it.

    Args:
        name: its name, and that of its runbook.
        severity: whether somebody should get up for it.
        expr: the expression.
        summary: what has happened, in a few words; of a loop, its name is put before it.
        description: the value, and what to look at.
        settings: which fields of `MixinConfig` it depends on, the first ones first.
        lasting: for how long it must hold, as Prometheus writes durations.
        about: a loop, or what records or carries its signals.
    """

    name: str
    severity: Severity
    expr: str
    summary: str
    description: str
    settings: tuple[str, ...]
    lasting: str = "0s"
    about: About = About.LOOP


class Expressions:
    """What several alerts say of a loop."""

    def __init__(self, config: MixinConfig) -> None:
        self.config = config
        self.names = Names(config.prefix)

    def lasting(self, usual: str) -> str:
        """For how long something must hold, in place of what is usual: `patience` times as long, to the second."""
        patience = self.config.patience
        return usual if patience == 1 else f"{round(Duration(usual).seconds * patience)}s"

    def running(self) -> str:
        """Runs that go on. A gauge stays at its last value after a run's end, so each alert about one asks this."""
        return f"{self.latest('active_runs')} > 0"

    def latest(self, name: str) -> str:
        """A gauge's value, one a run."""
        return most(self.names(name), RUN)

    def while_running(self, expression: str) -> str:
        """What holds for runs that go on; the expression has the labels of a run."""
        return f"{expression}\nand {self.running()}"

    def increase(self, name: str, window: str, **of: str) -> str:
        """How much a metric of the loop has grown, by the recording rules.

        Args:
            name: of the metric.
            window: 5m, 1h or 24h, for which there are rules; or another, put together from those of 5 minutes.
            of: what `matching` gives.
        """
        if window in WINDOWS:
            return self.names.recorded(name, f"increase{window}") + _braces(of)
        return in_steps(self.names, name, window, _braces(of))

    def lately(self) -> str:
        """Loops that run, or did in the last minutes: of many short runs, none may be seen while it runs."""
        seen = f"{most(over_time('max', self.names('active_runs'), STEP), LOOP)} > 0"
        return f"({seen}\n  or {total(self.increase('iterations', STEP), LOOP)} > 0)"


def matching(attribute: Attribute, operator: str, values: str) -> dict[str, str]:
    """For `Expressions.increase`: `matching(OUTCOME, "=~", "failure|timeout")`."""
    return {label(attribute): f'{operator}"{values}"'}


def _braces(of: dict[str, str]) -> str:
    return "{" + ", ".join(f"{name}{condition}" for name, condition in of.items()) + "}" if of else ""
