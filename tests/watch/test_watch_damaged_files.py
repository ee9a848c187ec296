"""Whatever is in the files: no exception, and nothing in a journal that a recorder would refuse."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import test_watch_ralph_claude_code as claude_code
import test_watch_ralph_loop as loop
import test_watch_ralph_runner as runner
import test_watch_ralph_tui as tui
from hypothesis import given, settings
from hypothesis import strategies as st
from test_watch_orchestrator import EVENTS, end, start, summary
from watched import Journals, MemoryFolder, claude_result

from ralph_otel.watch.orchestrator import Orchestrator
from ralph_otel.watch.orchestrator_rpc import OrchestratorRpc
from ralph_otel.watch.ralph_claude_code import RalphClaudeCode
from ralph_otel.watch.ralph_loop import RalphLoop
from ralph_otel.watch.ralph_runner import RalphRunner
from ralph_otel.watch.ralph_tui import RalphTui
from ralph_otel.watch.source import Format, moment, record
from support.strategies import json_values
from support.tape import at

Files = dict[str, str]


def dumped(value: Any) -> str:
    return json.dumps(value)


SOUND: list[tuple[Callable[[], Format], Files]] = [
    (Orchestrator, {EVENTS: start() + summary(5, 1) + summary(9, 2) + end(10), ".ralph/loop.lock": '{"pid": 1}'}),
    (
        RalphClaudeCode,
        {
            claude_code.METRICS: claude_code.row(10, 1) + claude_code.row(40, 2) + claude_code.row(100, 1),
            claude_code.STATUS: dumped(claude_code.status(101, 2, "completed", "plan_complete")),
            claude_code.output(30): claude_result(),
            ".ralph/.response_analysis": dumped(claude_code.analysis(39, 2, 3)),
            ".ralph/.circuit_breaker_state": dumped(claude_code.breaker(40, 2, 1)),
            ".ralph/.ralph_session_history": dumped(
                [{"timestamp": "2023-11-14T22:14:01Z", "reason": "project_complete"}]
            ),
        },
    ),
    (
        RalphTui,
        {
            tui.STATE: dumped(tui.session(200, tui.iteration(1, 1), tui.iteration(2, 70), active=True)),
            tui.META: dumped({"id": tui.SESSION, "status": "interrupted", "endedAt": "2023-11-14T23:00:00Z"}),
            tui.LOCK: dumped({"pid": 3, "sessionId": tui.SESSION}),
            tui.log_name(1): tui.log(1, 1, tui.TOKENS),
        },
    ),
    (
        RalphLoop,
        {
            loop.RUN: dumped(loop.running(3, 70)),
            loop.STATE: dumped(loop.state(2)),
            loop.CONFIG: dumped({"max_iterations": 9}),
            loop.name(1): loop.log(1, 30, tests=1),
            loop.name(2): loop.log(2, 60, "ROTATE", crash="empty output"),
        },
    ),
    (
        RalphRunner,
        {
            f"{runner.BASE}stats.json": dumped(runner.stats(runner.iteration(1), runner.iteration(2, "exit_1"))),
            f"{runner.BASE}iter-1.jsonl": claude_result(),
            f"{runner.BASE}iter-1.txt": "x",
            f"{runner.BASE}iter-3.jsonl": "",
        },
    ),
]


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The places in a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inner for place in leaves(item, (*path, key)))]


def with_value(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = with_value(copy[path[0]], path[1:], new)
    return copy


@st.composite
def damaged(draw: st.DrawFn) -> tuple[Callable[[], Format], list[Files]]:
    """A runner's files with something wrong in them, in several states one after the other."""
    make, files = draw(st.sampled_from(SOUND))
    states = []
    for _ in range(draw(st.integers(1, 3))):
        broken = dict(files)
        for name in draw(st.lists(st.sampled_from(sorted(files)), min_size=1, max_size=3)):
            broken[name] = draw(damage(broken.get(name, "")))
        for name in draw(st.lists(st.sampled_from(sorted(files)), max_size=2)):
            broken.pop(name, None)
        states.append(broken)
    return make, states


def damage(text: str) -> st.SearchStrategy[str]:
    lines = text.splitlines(keepends=True)
    kinds = [
        st.integers(0, len(text)).map(lambda cut: text[:cut]),
        st.text(max_size=40).map(lambda more: more + text),
        json_values.map(json.dumps),
        st.permutations(lines[:8]).map("".join),
    ]
    places = [
        (number, path)
        for number, line in enumerate(lines[:8])
        if (value := record(line.encode())) is not None
        for path in leaves(value)
    ]
    if places:
        kinds.append(
            st.tuples(st.sampled_from(places), json_values).map(lambda it: replaced(lines, it[0][0], it[0][1], it[1]))
        )
    return st.one_of(kinds)


def replaced(lines: list[str], number: int, path: tuple[Any, ...], new: Any) -> str:
    whole = lines[:]
    whole[number] = json.dumps(with_value(record(lines[number].encode()), path, new)) + "\n"
    return "".join(whole)


@settings(max_examples=400, deadline=None)
@given(case=damaged(), step=st.integers(0, 4000))
def test_damaged_files_raise_nothing_and_make_only_lines_that_are_valid(
    case: tuple[Callable[[], Format], list[Files]], step: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    make, states = case
    folder, format_, journals = MemoryFolder(), make(), Journals(tmp_path_factory.mktemp("damaged"))
    for number, files in enumerate(states):
        folder.now = at(200 + number * step)
        folder.files = {name: text.encode(errors="replace") for name, text in files.items()}
        format_ = format_ if number % 2 else make()
        make.here(folder)  # type: ignore[attr-defined]  # every format has it
        journals.read(format_, folder)
    for run in range(len(journals.paths())):
        journals.lines(run)
        assert "SECRET" not in journals.paths()[run].read_text()


RPC_TYPES = """loop_started iteration_start iteration_end tool_call_start tool_call_end error orchestration_event
    loop_terminated"""
RPC_FIELDS = """iteration max_iterations started_at duration_ms cost_usd input_tokens context_window context_tokens
    tool_name tool_call_id code reason topic payload backend workspace_root terminated_at"""
rpc_lines = st.fixed_dictionaries(
    {"type": st.sampled_from(RPC_TYPES.split())}, optional=dict.fromkeys(RPC_FIELDS.split(), json_values)
)


@settings(max_examples=200, deadline=None)
@given(lines=st.lists(st.one_of(json_values, rpc_lines), max_size=12))
def test_damaged_lines_of_a_pipe_raise_nothing(lines: list[Any], tmp_path_factory: pytest.TempPathFactory) -> None:
    rpc, journals = OrchestratorRpc(), Journals(tmp_path_factory.mktemp("pipe"))
    for number, line in enumerate(lines):
        fields = record(json.dumps(line).encode())
        if fields is not None:
            journals.take(rpc.feed(fields, at(number)))
    journals.take(rpc.close(at(100)))
    for run in range(len(journals.paths())):
        journals.lines(run)


@given(st.text(max_size=40))
def test_times_raise_nothing(text: str) -> None:
    moment(text)


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("2023-11-14T22:13:20Z", at(0)),
        ("2023-11-14T22:13:20+00:00", at(0)),
        ("2023-11-14T23:13:20.5+01:00", at(0.5)),
        ("2023-11-14T22:13:20.123456789+00:00", at(0) + 123456789),
        ("2023-11-14T23:13:20+0100", at(0)),
        ("2023-02-30T00:00:00Z", None),
        ("0001-01-01T00:00:00Z", None),
        ("9999-12-31T23:59:59Z", None),
        ("2199-01-01T00:00:00Z", None),
        ("tomorrow", None),
        (None, None),
        (17, None),
    ],
)
def test_times_of_every_runner_are_read(text: Any, nanoseconds: int | None) -> None:
    assert moment(text) == nanoseconds
