"""What an iteration costs the whole process, whatever thread works.

Processor time of the process for many iterations until everything is recorded and flushed. Ours: the handles, the
journal, the recorder's thread with the fold, the instruments and the span. By hand: eight instrument calls and a span
with eight attributes. Both on the same kind of SDK: one reader, spans through a batch processor to an exporter that
throws them away, no log records. `usual` is an iteration with 15 events instead, against the instrument calls and spans
that the same takes by hand.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from opentelemetry._logs import NoOpLoggerProvider

from benchmarks.by_hand import OnSdk, UsualOnSdk
from benchmarks.rounds import alternate, middle, ratio
from benchmarks.workload import SPANS, Providers, folder, iterate
from ralph_otel import MetricsCollector, MetricsConfig
from ralph_otel.pipeline import Host
from ralph_otel.probe import Loop


class Ours:
    """A collector that records on providers of a host."""

    def __init__(self, home: Path, stack: ExitStack) -> None:
        self._providers = Providers()
        stack.callback(self._providers.shutdown)
        host = Host(self._providers.meters, lambda: self._providers.tracers, NoOpLoggerProvider)
        self._collector = MetricsCollector(MetricsConfig(home=home, resources=False), host)
        stack.callback(self._collector.shutdown)
        self.loop = self._collector.loop("fix-bugs", runner="ralphify").start()
        self._collector.wait_ready()
        self._iterations = 0

    def settle(self, iterations: int, spans: int) -> None:
        """Record and flush everything.

        Raises:
            RuntimeError: an iteration or a span is missing.
        """
        self._collector.flush_events()
        self._providers.tracers.force_flush()
        self._iterations += iterations
        counted, exported = self._collector.get_metrics().total_iterations, self._providers.exporter.spans
        if counted != self._iterations or exported < self._iterations * spans:  # more: a long loop's trace is parted
            raise RuntimeError(f"{self._iterations} iterations, {counted} recorded, {exported} spans")


def _short(loop: Loop) -> None:
    loop.iteration().start().finish()


def measure(quick: bool = False) -> dict[str, float]:
    """Time both.

    Returns:
        Microseconds of processor time an iteration (`…_us`), and `ratio` and `usual`: ours ÷ by hand.
    """
    times, rounds = (20, 2) if quick else (1000, 15)
    with ExitStack() as stack:
        home = stack.enter_context(folder())
        by_hand = Providers()
        stack.callback(by_hand.shutdown)
        short, usual = Ours(home, stack), Ours(home, stack)
        sdk, usual_sdk = OnSdk(by_hand), UsualOnSdk(by_hand)

        def ours(side: Ours, work: Callable[[Loop], None], spans: int, times: int) -> float:
            begin = time.process_time()
            for _ in range(times):
                work(side.loop)
            side.settle(times, spans)
            return (time.process_time() - begin) / times

        def on_sdk(work: Callable[[int], None], times: int) -> float:
            begin = time.process_time()
            for number in range(times):
                work(number)
            by_hand.tracers.force_flush()
            return (time.process_time() - begin) / times

        few = max(1, times // 10)
        took = alternate(
            {
                "ours": partial(ours, short, _short, 1, times),
                "sdk": partial(on_sdk, sdk.eight, times),
                "usual_ours": partial(ours, usual, iterate, SPANS, few),
                "usual_sdk": partial(on_sdk, usual_sdk.iterate, few),
            },
            rounds,
        )
    return {
        "ratio": ratio(took, "ours", "sdk"),
        "usual": ratio(took, "usual_ours", "usual_sdk"),
        **{f"{name}_us": middle(took, name) * 1e6 for name in took},
    }
