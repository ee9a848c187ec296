"""The runs of one collector: the state of each, and their totals."""

from __future__ import annotations

from ralph_otel.events import Line
from ralph_otel.model import LoopMetrics
from ralph_otel.state.run import RunState


class States:
    """The runs of one collector: by run id, and their totals.

    Args:
        keep: how many finished runs are kept by themselves; older ones only add to the totals.
    """

    def __init__(self, keep: int = 100) -> None:
        self.by_run: dict[str, RunState] = {}
        self._keep = keep
        self._past = RunState()
        self._past_runs = 0

    def apply(self, line: Line) -> RunState | None:
        """Fold a checked line into its run's state.

        Returns:
            The state, or None if the line says nothing new.
        """
        run_id = line["loop"]
        state = self.by_run.get(run_id)
        if state is None:
            self._make_room()
            state = self.by_run[run_id] = RunState(run_id)
        return state if state.apply(line) else None

    def _make_room(self) -> None:
        if len(self.by_run) < self._keep:
            return
        finished = (run_id for run_id, state in self.by_run.items() if state.stopped is not None)
        oldest = next(finished, None) or next(iter(self.by_run))
        self._past.absorb(self.by_run.pop(oldest))
        self._past_runs += 1

    def metrics(self, now: int | None = None) -> LoopMetrics:
        """The aggregate over all runs, at a time in Unix nanoseconds (default: each run's last event)."""
        if len(self.by_run) == 1 and not self._past_runs:
            return next(iter(self.by_run.values())).metrics(now)
        total = RunState()
        for state in (self._past, *self.by_run.values()):
            total.absorb(state)
            if state.active and now is not None:
                total.execution_ns += round((state.execution_time(now) - state.execution_time()) * 1e9)
        return total.metrics(now)

    @property
    def doubted_times(self) -> int:
        """Lines whose times were not believed."""
        return sum(state.doubted_times for state in (self._past, *list(self.by_run.values())))

    def reset(self) -> None:
        """Count from nothing, and remember only which runs there are, which go on, and what is open in them."""
        self.by_run = {run_id: state.fresh() for run_id, state in self.by_run.items()}
        self._past, self._past_runs = RunState(), 0
