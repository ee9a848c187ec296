"""A machine that has run out of something for a while: the loop goes on, and is recorded when there is some again."""

from __future__ import annotations

import errno
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ralph_otel.recorder
from ralph_otel import MetricsCollector, MetricsConfig
from ralph_otel.recorder import pipeline, recorder
from ralph_otel.recorder.housekeeping import Housekeeping
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


def test_what_looks_for_old_journals_may_have_been_removed(monkeypatch: pytest.MonkeyPatch, heard: list[str]) -> None:
    """An agent may remove the environment that all this is installed in."""
    earlier = [thread for thread in threading.enumerate() if thread.name == "ralph-otel-house"]
    until(lambda: not any(thread.is_alive() for thread in earlier), what="for those of earlier tests to be done")
    monkeypatch.setitem(sys.modules, "ralph_otel.recorder.retention", None)
    monkeypatch.delattr(ralph_otel.recorder, "retention", raising=False)
    Housekeeping(MetricsConfig(), sends=False).look(None)
    until(lambda: heard, what="for the line that says so")
    assert heard[0].startswith("ralph-otel: retention: ")
