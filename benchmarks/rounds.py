"""How two ways of doing the same are compared on a machine that does other things, too: in turn, by the median."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Mapping

Side = Callable[[], float]
"""Does its work once, and says what that took."""
Rounds = dict[str, list[float]]
"""Side to what each of its rounds took."""


def alternate(sides: Mapping[str, Side], rounds: int) -> Rounds:
    """Let each side work once a round, in every second round the other way about.

    A first round goes before and does not count, unless only one is wanted.
    """
    order = list(sides)
    if rounds > 1:
        for name in order:
            sides[name]()
    took: Rounds = {name: [] for name in order}
    for _ in range(rounds):
        for name in order:
            took[name].append(sides[name]())
        order.reverse()
    return took


def middle(rounds: Rounds, name: str) -> float:
    """The median of a side's rounds."""
    return statistics.median(rounds[name])


def ratio(rounds: Rounds, name: str, to: str) -> float:
    """How often as much one side takes as the other: the median over the rounds, for both had the same machine then."""
    return statistics.median(one / other for one, other in zip(rounds[name], rounds[to], strict=True))


def timed(calls: Iterable[Callable[[], object]], clock: Callable[[], float] = time.thread_time) -> float:
    """Seconds a call takes, mean of all of them one after another; by default of this thread's processor time."""
    calls = list(calls)
    begin = clock()
    for call in calls:
        call()
    return (clock() - begin) / len(calls)
