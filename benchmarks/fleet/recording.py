"""The recorders of many loops in one process: each with its own journal, pipeline, resource, exporter and threads.

It is what `register()` runs beside a loop, but for what waits for the agent on disk, and for the sampling of the
process's resources, which would be those of all loops here. Where a loop ends, its recorder ends, as it does at the
exit of a process.
"""

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import psutil

from ralph_otel import MetricsConfig
from ralph_otel.recorder.recorder import Recorder

_SWITCH = 0.05
"""Seconds after which a thread that waits for the interpreter asks for it. A hundred that ask often do little else."""
_LOOK = 0.2
"""Seconds between two looks for loops that have ended."""
_LAST_EXPORT = 60.0
"""Seconds that a recorder has to end. A process of its own has 2, and needs far less; here hundreds share one."""
_ENDING = 8
"""Recorders that end side by side."""


@dataclass(frozen=True)
class Loops:
    """What a process is to record.

    Args:
        journals: the loops' journals; a file's stem is the run id.
        endpoint: the agent's OTLP address, `http://host:port`.
        home: a folder for what else there is.
        interval: seconds between two exports of a loop.
    """

    journals: tuple[Path, ...]
    endpoint: str
    home: Path
    interval: float


def record(loops: Loops, parent: Connection) -> None:
    """Record until all loops have ended.

    Tells the parent three numbers: its resident bytes before the first loop; then its loops, once all have a recorder;
    at the end the events that it has recorded.

    The recorders start spread over one interval, as loops do that nobody starts together.
    """
    os.environ["OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"] = f"{loops.endpoint}/v1/metrics"
    sys.setswitchinterval(_SWITCH)
    _warm_up()
    parent.send(psutil.Process().memory_info().rss)
    config = MetricsConfig(
        export_format="otlp", collection_interval=loops.interval, home=loops.home, journal=False, resources=False
    )
    recorders = {}
    for path in loops.journals:
        recorder = Recorder(config, path.stem)
        recorder.follow(path)
        recorder.start()
        recorders[path.stem] = recorder
        time.sleep(loops.interval / len(loops.journals))
    for recorder in recorders.values():
        recorder.wait_ready(60)
    parent.send(len(recorders))
    with ThreadPoolExecutor(_ENDING) as pool:
        endings = _end_each(recorders, pool)
    if not all(ending.result() for ending in endings):
        raise RuntimeError("a recorder has not come to its end")
    parent.send(sum(recorder.events for recorder in recorders.values()))


def _warm_up() -> None:
    """Import what a recorder imports."""
    from ralph_otel.exporters import otlp

    otlp.metric_exporter("http://127.0.0.1:4318").shutdown()


def _end_each(recorders: dict[str, Recorder], pool: ThreadPoolExecutor) -> list[Future[bool]]:
    """Stop each recorder when its loop has stopped."""
    going_on, endings = dict(recorders), []
    while going_on:
        time.sleep(_LOOK)
        for run_id, recorder in list(going_on.items()):
            state = recorder.states.by_run.get(run_id)
            if state is not None and state.stopped is not None:
                endings.append(pool.submit(recorder.stop, _LAST_EXPORT))
                del going_on[run_id]
    return endings
