"""The fold: events in, the loop's state and its `LoopMetrics` out.

The same sequence of events gives the same numbers live, replayed and after a crash, because nothing but the events
goes in. A state's memory does not grow with the run's length: what could grow (open parts, test ids) is capped.
"""

from ralph_otel.state.flakiness import MAX_TEST_IDS
from ralph_otel.state.fold import GENERIC_COUNTERS, GENERIC_GAUGES, MAX_OPEN
from ralph_otel.state.run import RunState
from ralph_otel.state.states import States

__all__ = ["GENERIC_COUNTERS", "GENERIC_GAUGES", "MAX_OPEN", "MAX_TEST_IDS", "RunState", "States"]
