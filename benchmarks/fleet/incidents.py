"""What goes wrong while the fleet runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from stack.backends import Collector

from benchmarks.fleet.tiers import Tiers


@dataclass(frozen=True)
class Incident:
    """A Collector that is gone for a while.

    Args:
        what: for people.
        at: when, as a part of the time that the fleet runs.
        down: how long, likewise.
        which: the Collector.
        kill: whether it is killed (SIGKILL) instead of asked to end (SIGTERM).
    """

    what: str
    at: float
    down: float
    which: Callable[[Tiers], Collector]
    kill: bool

    def happen(self, tiers: Tiers, seconds: float, before: Callable[[Collector], None]) -> None:
        """Let it happen, and end: the Collector runs again.

        Args:
            tiers: what runs.
            seconds: the time that the fleet runs.
            before: called with the Collector before it goes.
        """
        collector = self.which(tiers)
        before(collector)
        if self.kill:
            collector.kill()
        else:
            collector.stop()
        time.sleep(self.down * seconds)
        collector.start()


INCIDENTS = (
    Incident("an agent is killed (SIGKILL)", 0.25, 0.03, lambda tiers: tiers.agents[0], kill=True),
    Incident("the gateway is restarted (SIGTERM)", 0.4, 0.05, lambda tiers: tiers.gateway, kill=False),
    Incident("the other agent is restarted (SIGTERM)", 0.55, 0.03, lambda tiers: tiers.agents[1], kill=False),
    Incident(
        "the gateway is killed (SIGKILL), and away while most loops end",
        0.75,
        0.15,
        lambda tiers: tiers.gateway,
        kill=True,
    ),
)
"""In the order of their times. Loops end after 70 % of the time at the earliest, so no agent is away then: what a loop
cannot hand to the agent on its own machine when it ends waits there for the next loop, and here none starts."""
