"""Recorders that were killed: what they had no time to send, the next one on this machine sends.

If a recorder's process is gone and its mark is not (`ralph_otel.recorder.marks`), the spans and log records that have
not been handed over go out, and its metrics as they are at the journals' ends. They are sums of the same series, so
sending them once more counts nothing twice.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from opentelemetry.sdk.metrics.export import MetricsData

from ralph_otel.config import MetricsConfig
from ralph_otel.events import Line
from ralph_otel.exporters.times import at_times
from ralph_otel.journal import Journal
from ralph_otel.notices import notice
from ralph_otel.processes import gone, is_gone
from ralph_otel.recorder import recovery
from ralph_otel.recorder.marks import journals_of, recorders_folder
from ralph_otel.recorder.pipeline import Pipeline
from ralph_otel.runs import fold
from ralph_otel.state import RunState
from ralph_otel.tracecontext import host_name

_BATCH = 256
"""Lines after which what they made is handed to the exporters."""


def into(pipeline: Pipeline) -> recovery.Record:
    """What takes the lines of a dead run, as `recovery.recover` gives them."""
    lines = 0

    def record(line: Line, state: RunState, new: bool) -> None:
        nonlocal lines
        pipeline.record_trace(line, state, new, dead=True)
        lines += 1
        if new or lines % _BATCH == 0:
            pipeline.drain()

    return record


def take_over(config: MetricsConfig, pipeline: Pipeline) -> list[str]:
    """Send what killed recorders of the home folder had no time to send; the journals of killed loops are ended.

    A runner may outlive its recorder; then all of it waits until that has ended.

    Returns:
        The instance ids of those that have been seen to.
    """
    done = []
    for instance_id, journals, file in _left(config.home):
        if any(state.active and not gone(state) for state in (fold(path).run for path in journals)):
            continue
        record = into(pipeline)
        for path in journals:
            recovery.end(path, record)
        pipeline.drain()
        if (data := _metrics(instance_id, journals, config)) is not None:
            pipeline.send_metrics(data)
        file.unlink(missing_ok=True)
        done.append(instance_id)
    return done


def _left(home: Path) -> Iterator[tuple[str, list[Path], Path]]:
    """Of each killed recorder its instance id, the journals it recorded, and its file; while it is ours alone."""
    for file in sorted(recorders_folder(home).glob("*.jsonl")):
        try:
            with _claimed(file) as lines:
                if lines and _is_dead(lines[0]):
                    yield file.stem, journals_of(lines), file
        except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
            notice(f"cannot look at {file}: {error}")


@contextmanager
def _claimed(path: Path) -> Iterator[list[dict[str, str]]]:
    """The lines of a recorder's file; none where another process is at it, or it is gone."""
    if not path.exists():
        yield []
        return
    claim = Journal(path)
    try:
        yield [json.loads(line) for line in path.read_bytes().splitlines()] if claim.lock() else []
    finally:
        claim.close()


def _is_dead(line: dict[str, str]) -> bool:
    return line["host"] == host_name() and is_gone(int(line["pid"]), int(line["began"]))


def _metrics(instance_id: str, journals: list[Path], config: MetricsConfig) -> MetricsData | None:
    """The metrics of a recorder with all that is in its journals, as what holds now; None where there are none."""
    pipeline, began = Pipeline(config, instance_id, list, dict, export=False), time.time_ns()
    for path in journals:
        began = min(began, fold(path, pipeline.record).run.started or began)
    pipeline.end_batch()
    data = pipeline.snapshot()
    return at_times(data, began, time.time_ns()) if data is not None and journals else None
