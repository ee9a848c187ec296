"""A machine that has run out of something for a while: the loop goes on, and is recorded when there is some again."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ralph_otel import MetricsCollector
from ralph_otel.recorder import pipeline, recorder
from support.tape import lines_of
from support.waiting import until

Make = Callable[..., MetricsCollector]


@pytest.mark.parametrize("error", [OSError(errno.EMFILE, "Too many open files"), MemoryError()])
def test_exporters_are_set_up_when_the_machine_has_what_they_need(
    error: Exception, make_collector: Make, monkeypatch: pytest.MonkeyPatch, heard: list[str]
) -> None:
    lacks = [error, error]
    known = pipeline.Pipeline

    def scarce(*arguments: Any) -> Any:
        if lacks:
            raise lacks.pop()
        return known(*arguments)

    monkeypatch.setattr(pipeline, "Pipeline", scarce)
    monkeypatch.setattr(recorder, "_RETRY", 0.01)
    collector = make_collector()
    with collector.loop("l") as loop, loop.iteration():
        until(lambda: collector._recorder is not None and collector._recorder.pipeline is not None)
    assert 'ralph_loop_iterations_total{ralph_loop_name="l",ralph_outcome="success"' in collector.export("prometheus")
    assert len(heard) == 1


def test_a_loop_runs_where_no_thread_can_be_started_and_the_next_one_is_recorded(
    make_collector: Make, monkeypatch: pytest.MonkeyPatch, heard: list[str], home: Path
) -> None:
    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    collector = make_collector()
    with monkeypatch.context() as scarce:
        scarce.setattr(threading.Thread, "start", fail)
        with collector.loop("first") as loop, loop.iteration():
            pass
    [path] = (home / "runs").iterdir()
    assert lines_of(path)[-1]["type"] == "loop.stopped"
    assert len(heard) == 1
    assert "can't start new thread" in heard[0]
    with collector.loop("second") as loop, loop.iteration():
        pass
    assert collector.get_metrics().total_iterations == 2
