"""What an iteration costs the whole process, whatever thread works.

Processor time of the process for the ends of many iterations (`iteration.finished`), and for beginnings and ends, until
everything is recorded and flushed. Ours: the handles, the journal, the recorder's thread with the fold, the instruments
and the span. By hand: eight instrument calls and a span with eight attributes. Either way one reader, spans through a
batch processor to an exporter that throws them away, no log records. `usual` is an iteration with 15 events instead,
against the instrument calls and spans that the same takes by hand.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from unittest import mock

from benchmarks.by_hand import OnSdk, UsualOnSdk
from benchmarks.rounds import alternate, middle, ratio
from benchmarks.workload import SPANS, Discard, Providers, folder, iterate
from ralph_otel import MetricsCollector, MetricsConfig
from ralph_otel.exporters.delivery.deliveries import Deliveries
from ralph_otel.probe import Loop

_ONLY_TRACES = {
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces",
    "OTEL_METRICS_EXPORTER": "none",
    "OTEL_LOGS_EXPORTER": "none",
}


class Ours:
    """A collector with its own pipeline, whose spans go to an exporter that throws them away."""

    def __init__(self, home: Path, stack: ExitStack) -> None:
        self._exporter = Discard()
        stack.enter_context(mock.patch.object(Deliveries, "spans", return_value=self._exporter))
        stack.enter_context(mock.patch.dict("os.environ", _ONLY_TRACES))
        config = MetricsConfig(home=home, resources=False, export_format="otlp")
        self._collector = MetricsCollector(config)
        stack.callback(self._collector.shutdown)
        self.loop = self._collector.loop("fix-bugs", runner="ralphify").start()
        self._collector.wait_ready()
        self._iterations = 0

    def settle(self, iterations: int, spans: int) -> None:
        """Record and flush everything.

        Raises:
            RuntimeError: an iteration or a span is missing.
        """
        self._collector.flush()
        self._iterations += iterations
        counted, exported = self._collector.get_metrics().total_iterations, self._exporter.spans
        if counted != self._iterations or exported < self._iterations * spans:  # more: a long loop's trace is parted
            raise RuntimeError(f"{self._iterations} iterations, {counted} recorded, {exported} spans")


def _short(loop: Loop) -> None:
    loop.iteration().start().finish()


class Ends:
    """The end of iterations that began before: one event `iteration.finished` each."""

    def __init__(self, side: Ours, times: int) -> None:
        self._side = side
        self._begun = [side.loop.iteration().start() for _ in range(times)]
        side.settle(0, 0)

    def __call__(self) -> None:
        """Finish them all, until everything is recorded and flushed."""
        for iteration in self._begun:
            iteration.finish()
        self._side.settle(len(self._begun), 1)


def measure(quick: bool = False) -> dict[str, float]:
    """Time both.

    Returns:
        Microseconds of processor time an iteration (`…_us`), and ours ÷ by hand: `ratio` for the end of an iteration,
        `both` for its beginning and end, `usual` for one with all its events.
    """
    times, rounds = (20, 2) if quick else (1000, 15)
    with ExitStack() as stack:
        home = stack.enter_context(folder())
        by_hand = Providers()
        stack.callback(by_hand.shutdown)
        short, usual = Ours(home, stack), Ours(home, stack)
        sdk, usual_sdk = OnSdk(by_hand), UsualOnSdk(by_hand)

        def ends(side: Ours, times: int) -> float:
            finish = Ends(side, times)
            begin = time.process_time()
            finish()
            return (time.process_time() - begin) / times

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
                "ends": partial(ends, short, times),
                "ours": partial(ours, short, _short, 1, times),
                "sdk": partial(on_sdk, sdk.eight, times),
                "usual_ours": partial(ours, usual, iterate, SPANS, few),
                "usual_sdk": partial(on_sdk, usual_sdk.iterate, few),
            },
            rounds,
        )
    return {
        "ratio": ratio(took, "ends", "sdk"),
        "both": ratio(took, "ours", "sdk"),
        "usual": ratio(took, "usual_ours", "usual_sdk"),
        **{f"{name}_us": middle(took, name) * 1e6 for name in took},
    }
