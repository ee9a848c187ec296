"""Handles that are given nonsense, and those that threads and tasks share."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from opentelemetry import context as otel_context

from ralph_otel import probe
from ralph_otel.events import Line, problem_with
from ralph_otel.probe import Loop, span
from support.sink import Lines, fields


@pytest.fixture
def lines() -> Lines:
    return Lines()


# -- bad input --------------------------------------------------------------------------------------------------------


def test_texts_are_cut_and_empty_ones_left_out(lines: Lines) -> None:
    with Loop("n" * 300, lines, runner="", runner_version="v" * 300) as loop, loop.iteration() as it:
        it.usage(model="", input_tokens=5)
        it.tool("t" * 300)
        it.tests(1, 0, results={"x" * 300: True})
    assert lines.only("loop.started")["name"] == "n" * 256
    assert "runner" not in lines.only("loop.started")
    assert lines.only("loop.started")["runner_version"] == "v" * 256
    assert fields(lines.only("usage.measured")) == {"input_tokens": 5}
    assert lines.only("tool.called")["tool"] == "t" * 256
    assert lines.only("tests.finished")["results"] == {"x" * 256: True}


def test_attributes_that_will_not_do_are_left_out_one_by_one(lines: Lines, heard: list[str]) -> None:
    attributes = {
        "team": "a", "level": 3, "share": 0.5, "urgent": True, 7: "seven", "none": None, "list": ["secret"],
        "nan": float("nan"), "inf": float("inf"), "huge": 2**63,
    }  # fmt: skip
    with Loop("l", lines, attributes=attributes):  # type: ignore[arg-type]  # that is the point
        pass
    assert lines.only("loop.started")["attributes"] == {
        "team": "a", "level": 3, "share": 0.5, "urgent": True, "7": "seven"
    }  # fmt: skip
    assert len(heard) == 5
    assert heard[1] == (
        "ralph-otel: loop attributes: 'list', a list, is left out; it must be a text, a finite number, true or false"
    )


@pytest.mark.parametrize("odd", ["text", 5, ["a"], object()])
def test_what_is_no_mapping_raises_nothing(odd: Any, heard: list[str]) -> None:
    written: list[Line] = []
    with Loop("l", written.append, attributes=odd) as loop, loop.iteration() as it:
        it.tests(1, 0, results=odd)
    assert [problem_with(line) is None for line in written] == [True, True, False, True, True]
    assert len(heard) == 1


def test_an_empty_name_is_called_loop(lines: Lines) -> None:
    with Loop("", lines) as loop:
        assert loop.name == "loop"


def test_values_of_wrong_types_raise_nothing() -> None:
    written: list[Line] = []
    odd: Any = object()
    with Loop(odd, written.append, max_iterations=odd, runner=odd, attributes={"a": odd}) as loop:
        with loop.session(odd), loop.iteration(odd) as it, it.agent(odd, odd, odd):
            it.usage(odd, odd, odd, odd, odd, odd, odd)
            it.context_usage(odd, odd, odd)
            it.tests(odd, odd, odd, odd, odd, {odd: odd})
            it.progress(odd, odd, odd, odd, odd, odd)
            it.tool(odd, odd, odd)
            it.error(odd)
            it.fail(odd)
        loop.reboot(odd, odd)
        loop.stop(odd)
    assert written[-1]["type"] == "loop.stopped"


# -- threads and tasks ------------------------------------------------------------------------------------------------


def test_threads_share_a_loop_without_losing_events_or_numbers(lines: Lines) -> None:
    def work() -> None:
        barrier.wait(20)
        for _ in range(20):
            with loop.iteration() as it, it.agent("claude") as agent:
                agent.usage(output_tokens=1)
                it.progress(0.5)
                it.tests(1, 0)

    barrier = threading.Barrier(20)
    with Loop("l", lines) as loop, loop.session() as session:
        threads = [threading.Thread(target=work) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert len(lines.of("usage.measured")) == len(lines.of("tests.finished")) == 400
    assert sorted(line["iteration"] for line in lines.of("iteration.started")) == list(range(1, 401))
    assert {line["parent_span_id"] for line in lines.of("iteration.started")} == {session.span_id}
    spans = {line["span_id"] for line in lines.of("iteration.started")}
    assert {line["parent_span_id"] for line in lines.of("agent.started")} == spans
    assert lines.types()[-1] == "loop.stopped"


def test_three_loops_at_once_in_asyncio_keep_their_parts_apart() -> None:
    async def run(name: str) -> Lines:
        own = Lines()
        with Loop(name, own) as loop:
            for _ in range(5):
                with loop.session(), loop.iteration() as it:
                    await asyncio.sleep(0)
                    assert probe.current() is it
                    with it.agent("claude"):
                        await asyncio.sleep(0)
        return own

    async def main() -> list[Lines]:
        return await asyncio.gather(*(run(name) for name in "abc"))

    for lines in asyncio.run(main()):
        own = {line["span_id"] for line in lines}
        assert all(line.get("parent_span_id") in {None, *own} for line in lines)
        assert lines.types() == [
            "loop.started",
            *["session.started", "iteration.started", "agent.started", "agent.finished", "iteration.finished",
              "session.ended"] * 5,
            "loop.stopped",
        ]  # fmt: skip
        for session, iteration in zip(lines.of("session.started"), lines.of("iteration.started"), strict=True):
            assert iteration["parent_span_id"] == session["span_id"]


def test_sessions_of_one_loop_in_several_tasks_keep_their_iterations_apart(lines: Lines) -> None:
    async def work(loop: Loop, name: str) -> None:
        with loop.session(name):
            for _ in range(3):
                with loop.iteration():
                    await asyncio.sleep(0)

    async def main() -> None:
        with Loop("l", lines) as loop:
            await asyncio.gather(*(work(loop, name) for name in "abc"))

    asyncio.run(main())
    sessions = {line["span_id"]: line["session"] for line in lines.of("session.started")}
    parents = [sessions[line["parent_span_id"]] for line in lines.of("iteration.started")]
    assert sorted(parents) == list("aaabbbccc")


def test_a_block_left_in_another_thread_or_task_raises_and_says_nothing(
    lines: Lines, caplog: pytest.LogCaptureFixture
) -> None:
    loop = Loop("l", lines)
    loop.__enter__()
    iteration = loop.iteration()
    iteration.__enter__()

    def leave_here() -> None:
        iteration.__exit__(None, None, None)
        loop.__exit__(None, None, None)

    thread = threading.Thread(target=leave_here)
    thread.start()
    thread.join(20)
    assert lines.types() == ["loop.started", "iteration.started", "iteration.finished", "loop.stopped"]
    assert caplog.records == []
    span._current.set(None)
    otel_context.attach(otel_context.Context())


def test_a_generator_that_is_closed_elsewhere_says_nothing(lines: Lines, caplog: pytest.LogCaptureFixture) -> None:
    async def stream() -> Any:
        with Loop("l", lines) as loop, loop.iteration():
            yield 1

    async def main() -> None:
        generator = stream()
        await asyncio.create_task(anext(generator))
        await asyncio.create_task(generator.aclose())

    asyncio.run(main())
    assert lines.only("iteration.finished")["outcome"] == "cancelled"
    assert lines.only("loop.stopped")["reason"] == "user_signal"
    assert caplog.records == []
