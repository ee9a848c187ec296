"""A loop that keeps an account of its own and ends as it is told.

    python fault_program.py TELEMETRY COUNT ENDING

TELEMETRY is `ralph-otel` (`register()`), `by hand` (the OpenTelemetry SDK with its defaults) or `none`. The account is
the file that the variable ACCOUNT names: a line `began N` before each iteration, `ended N` when it is over, each with
one write, so that it survives a kill. Further words tell how far the program has come.
"""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol

import fault_limits

FOREVER = 60.0
"""Seconds that a program waits for its end to be made by others."""


class Telemetry(Protocol):
    """What a loop tells."""

    def loop(self) -> AbstractContextManager[Any]:
        """Around everything."""

    def iteration(self) -> AbstractContextManager[Any]:
        """Around one turn."""


class Nothing:
    """No telemetry."""

    def loop(self) -> AbstractContextManager[Any]:
        return contextlib.nullcontext()

    def iteration(self) -> AbstractContextManager[Any]:
        return contextlib.nullcontext()


class Ours:
    """ralph-otel, as the README has it."""

    def __init__(self) -> None:
        note("starts")
        import ralph_otel
        import ralph_otel.registration

        fault_limits.apply()
        self.collector = ralph_otel.register()
        if patience := os.environ.get("FAULT_PATIENCE"):  # what its end would be without a limit on a busy machine
            vars(self.collector)["shutdown"] = functools.partial(self.collector.shutdown, float(patience))
        if os.environ.get("FAULT_LIMIT") not in fault_limits.EARLY:  # a loop lasts longer than that
            self.collector.wait_ready(60)

    def loop(self) -> AbstractContextManager[Any]:
        self._loop = self.collector.loop("faults", runner="faults")
        return self._loop

    def iteration(self) -> AbstractContextManager[Any]:
        return self._loop.iteration()


class ByHand:
    """The SDK, set up as its documentation says: the defaults of processor, reader and exporters."""

    def __init__(self) -> None:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        note("starts")
        fault_limits.apply()
        resource = Resource.create({"service.name": "faults", "service.instance.id": str(os.getpid())})
        provider = TracerProvider(resource=resource)
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        reader = PeriodicExportingMetricReader(OTLPMetricExporter())
        self._tracer = provider.get_tracer("faults")
        self._count = MeterProvider([reader], resource).get_meter("faults").create_counter("iterations")

    def loop(self) -> AbstractContextManager[Any]:
        return self._tracer.start_as_current_span("loop faults")

    @contextlib.contextmanager
    def iteration(self) -> Iterator[None]:
        with self._tracer.start_as_current_span("iteration"):
            yield
        self._count.add(1)


TELEMETRY: dict[str, Callable[[], Telemetry]] = {"ralph-otel": Ours, "by hand": ByHand, "none": Nothing}


def note(text: str) -> None:
    """A line of the account."""
    os.write(_account(), f"{text}\n".encode())


@functools.cache
def _account() -> int:
    """The file handle of the account: one that is there when there are no others any more."""
    return os.open(os.environ["ACCOUNT"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def work(telemetry: Telemetry, count: float) -> None:
    """So many iterations."""
    number = 0
    while number < count:
        number += 1
        note(f"began {os.getpid()}-{number}")
        with telemetry.iteration():
            pass
        note(f"ended {os.getpid()}-{number}")


def wait() -> None:
    """Wait for the end."""
    note("waits")
    time.sleep(FOREVER)


# -- the endings -------------------------------------------------------------------------------------------------------


def return_(telemetry: Telemetry) -> None:
    """It returns."""


def raise_(telemetry: Telemetry) -> None:
    """An exception leaves it."""
    raise ValueError("of this test")


def signalled(telemetry: Telemetry) -> None:
    """It waits for a signal."""
    wait()


def interrupted_twice(telemetry: Telemetry) -> None:
    """Ctrl-C, and once more while the first is worked off."""
    try:
        wait()
    except KeyboardInterrupt:
        wait()


def os_exit(telemetry: Telemetry) -> None:
    """It leaves at once, past everything that would be done at its end."""
    os._exit(3)


def exec_(telemetry: Telemetry) -> None:
    """Another program takes its place."""
    os.execv("/bin/true", ["true"])


def fork(telemetry: Telemetry) -> None:
    """A child without exec does two further iterations, and leaves as children should: by os._exit."""
    child = os.fork()
    if child == 0:
        work(telemetry, 2)
        os._exit(0)
    os.waitpid(child, 0)


def fork_and_exec(telemetry: Telemetry) -> None:
    """A child process that is another program."""
    subprocess.run([sys.executable, "-c", "pass"], check=True)


def daemon_threads(telemetry: Telemetry) -> None:
    """Threads that nobody joins are in the middle of iterations."""
    met = threading.Barrier(4)

    def hang() -> None:
        note("began in a daemon thread")
        with telemetry.iteration():
            met.wait()
            time.sleep(FOREVER)

    for _ in range(3):
        threading.Thread(target=hang, daemon=True).start()
    met.wait()


def _in_child(telemetry: str) -> None:
    made = TELEMETRY[telemetry]()
    with made.loop():
        work(made, 2)


def _go_on(telemetry: Telemetry) -> None:
    work(telemetry, 2)


def multiprocessing_fork(telemetry: Telemetry) -> None:
    """Two children of multiprocessing, forked: they go on where they are."""
    _children("fork", _go_on, telemetry)


def multiprocessing_spawn(telemetry: Telemetry) -> None:
    """Two children of multiprocessing, spawned: each sets up its own telemetry, and has a loop of its own."""
    _children("spawn", _in_child, sys.argv[1])


def _children(method: str, target: Callable[[Any], None], argument: Any) -> None:
    context: Any = multiprocessing.get_context(method)
    children = [context.Process(target=target, args=(argument,)) for _ in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join()


ENDINGS: dict[str, Callable[[Telemetry], None]] = {
    function.__name__.strip("_"): function
    for function in (
        return_, raise_, signalled, interrupted_twice, os_exit, exec_, fork, fork_and_exec, daemon_threads,
        multiprocessing_fork, multiprocessing_spawn,
    )
}  # fmt: skip


def main(name: str, count: float, ending: Callable[[Telemetry], None]) -> None:
    """Be the loop."""
    telemetry = TELEMETRY[name]()
    fault_limits.apply(later=True)
    with telemetry.loop():
        work(telemetry, count)
        ending(telemetry)
    fault_limits.lift()


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), ENDINGS[sys.argv[3]])
    print("done", flush=True)
    note(f"leaves {time.monotonic_ns()}")
