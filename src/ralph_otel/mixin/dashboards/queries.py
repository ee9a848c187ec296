"""The queries of panels: metrics by their names in the catalog, filtered by the dashboard's variables."""

from __future__ import annotations

from dataclasses import dataclass

from ralph_otel.catalog import LOOP_NAME, RUNNER
from ralph_otel.mixin.config import MixinConfig
from ralph_otel.mixin.names import Names, label
from ralph_otel.mixin.promql import grown

LOOP_LABEL = label(LOOP_NAME)
RUNNER_LABEL = label(RUNNER)
BY_LOOP = f"by ({LOOP_LABEL})"
ROWS = f"by (job, {LOOP_LABEL}, {RUNNER_LABEL})"
"""A row of a table: a loop."""
LOOP_COLUMNS = ((LOOP_LABEL, "loop"), (RUNNER_LABEL, "runner"), ("job", "job"))
ALL_LOOPS = f'job=~"$job", {LOOP_LABEL}=~"$loop"'
ONE_LOOP = f'job="$job", {LOOP_LABEL}="$loop"'
ITS_RUNS = f'{ONE_LOOP}, instance=~"$instance"'
PROCESSES = 'job=~"$job", instance=~"$instance"'
INTERVAL = "$__interval"
RANGE = "$__range"


@dataclass(frozen=True)
class Queries:
    """Queries of one dashboard.

    Args:
        config: prefix and gap.
        filter: the matchers that every selector has.
    """

    config: MixinConfig
    filter: str

    @property
    def names(self) -> Names:
        """The names."""
        return Names(self.config.prefix)

    def __call__(self, name: str, more: str = "") -> str:
        """A selector of a metric by its name in the catalog.

        Args:
            name: of the metric.
            more: further matchers.
        """
        return self._selector(self.names(name), more)

    def recorded(self, name: str, operation: str, more: str = "") -> str:
        """A selector of what a recording rule records; its series have no instance."""
        return self._selector(self.names.recorded(name, operation), more)

    def _selector(self, name: str, more: str) -> str:
        return f"{name}{{{', '.join(filter(None, (self.filter, more)))}}}"

    def grown(self, name: str, window: str = RANGE, more: str = "") -> str:
        """How much each series has grown, counted from zero: in the time shown, or in each interval of it."""
        return grown(self(name, more), window, self.config.gap)

    def alerts(self, state: str = "firing") -> str:
        """Alerts of these rules."""
        return f'ALERTS{{alertname=~"Ralph.+", alertstate="{state}", {self.filter}}}'


def or_zero(expr: str) -> str:
    """The value, or 0 where there is none."""
    return f"({expr}) or vector(0)"
