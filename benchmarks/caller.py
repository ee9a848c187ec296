"""What the end of an iteration costs the loop's own thread.

`finish()` of one handle, with and without a journal, against the same told by hand on the SDK (eight instrument calls
and a span with eight attributes, one reader, spans thrown away) and with prometheus_client (eight calls on cached
children, no span). Processor time of the calling thread, one call after another. `first` is a single call after a
pause, when nothing of it is in the processor's caches and the recorder's thread must be woken: so it is in a real loop.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from benchmarks.by_hand import OnPrometheusClient, OnSdk
from benchmarks.rounds import Side, alternate, middle, ratio, timed
from benchmarks.workload import Providers, folder
from ralph_otel import MetricsCollector, MetricsConfig

_OPEN = 20
"""Iterations that are open at a time."""


class Ours:
    """A collector with a loop whose iterations can be ended."""

    def __init__(self, home: Path, journal: bool) -> None:
        config = MetricsConfig(home=home, journal=journal, export_format="none", resources=False, queue_size=100_000)
        self.collector = MetricsCollector(config)
        self._loop = self.collector.loop("fix-bugs", runner="ralphify").start()
        self.collector.wait_ready()

    def finish(self, times: int) -> float:
        """Seconds that the end of one iteration takes, of so many, some of which are open at a time."""
        self.collector.flush_events()
        before, took = self.collector.get_metrics().total_iterations, 0.0
        for _ in range(times // _OPEN):
            took += timed([self._loop.iteration().start().finish for _ in range(_OPEN)])
        if self.collector.get_metrics().total_iterations != before + times:
            raise RuntimeError("an iteration was not recorded")
        return took / (times // _OPEN)

    def first(self, pause: float) -> float:
        """Seconds that the end of one iteration takes after a pause."""
        end = self._loop.iteration().start().finish
        self.collector.flush_events()
        time.sleep(pause)
        return timed([end])


def measure(quick: bool = False) -> dict[str, float]:
    """Time all of them.

    Returns:
        Microseconds (`…_us`), and how often as much as by hand on the SDK: `journal`, `memory`, `prometheus_client`,
        and `journal_six` against the catalog's six calls only; `first`, for single calls after a pause.
    """
    times, rounds, pauses = (20, 2, 2) if quick else (1000, 21, 50)
    providers = Providers()
    sdk, client = OnSdk(providers), OnPrometheusClient()

    def by_hand(work: Callable[[int], None]) -> Side:
        def side() -> float:
            took = timed(partial(work, number) for number in range(times))
            providers.tracers.force_flush()
            return took

        return side

    with ExitStack() as stack:
        stack.callback(providers.shutdown)
        home = stack.enter_context(folder())
        journal, memory = Ours(home, journal=True), Ours(home, journal=False)
        for ours in (journal, memory):
            stack.callback(ours.collector.shutdown)
        took = alternate(
            {
                "journal": lambda: journal.finish(times),
                "memory": lambda: memory.finish(times),
                "sdk": by_hand(sdk.eight),
                "sdk_six": by_hand(sdk.six),
                "prometheus_client": lambda: timed([client.eight] * times),
            },
            rounds,
        )
        first = statistics.median(journal.first(0.01) for _ in range(pauses))
        first_by_hand = statistics.median(_after_pause(partial(sdk.eight, 1)) for _ in range(pauses))
    return {
        "journal": ratio(took, "journal", "sdk"),
        "memory": ratio(took, "memory", "sdk"),
        "prometheus_client": ratio(took, "prometheus_client", "sdk"),
        "journal_six": ratio(took, "journal", "sdk_six"),
        "first": first / first_by_hand,
        **{f"{name}_us": middle(took, name) * 1e6 for name in took},
        "first_us": first * 1e6,
        "first_sdk_us": first_by_hand * 1e6,
    }


def _after_pause(work: Callable[[], object]) -> float:
    time.sleep(0.01)
    return timed([work])
