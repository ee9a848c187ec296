"""Anything at all, wherever something is read: no exception, and nothing in a signal that could not be one.

A few examples of each in `make test`; thousands in `make faults`.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from terminal import OBEYED

from ralph_otel import agents, tracecontext
from ralph_otel.config import MetricsConfig
from ralph_otel.events import EVENTS, Line, fields_of, problem_with
from ralph_otel.exporters.prometheus import render
from ralph_otel.hooks import LIMIT
from ralph_otel.hooks.handling import handle
from ralph_otel.journal import BadLine, decode
from ralph_otel.runs import fold
from support.figures import Figures
from support.strategies import json_values
from support.tape import lines_of

FUZZED: dict[str, tuple[Callable[..., None], dict[str, Any]]] = {}
"""What is fuzzed: by name, the property and what it is given."""


def _from(**strategies: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Say what a property is given. `given` comes when it runs: with few examples, or with many."""

    def put(fuzz: Callable[..., None]) -> Callable[..., None]:
        FUZZED[fuzz.__name__] = fuzz, strategies
        return fuzz

    return put


ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=40)
WEIRD = st.one_of(
    ANY_TEXT,
    json_values,
    st.sampled_from([2**63, -(2**63), 2**200, 1e308, -0.0, float("nan"), float("inf"), "x" * 5000, [[[[]]]], {"": {}}]),
)
NAMES = sorted({field.name for event in EVENTS for field in fields_of(event)} | {"v", "ts", "loop", "span_id", "x"})
TYPES = sorted(event.type for event in EVENTS)
LINES = st.one_of(
    st.binary(max_size=200),
    st.builds(
        lambda type_, ts, loop, fields: json.dumps(
            {"v": 1, "type": type_, "ts": ts, "loop": loop, "trace_id": "a" * 32, "span_id": "b" * 16, **fields}
        ).encode("utf-8", "replace"),
        st.sampled_from(TYPES),
        st.integers(0, 2**63 - 1),
        st.sampled_from(["a", "b"]),
        st.dictionaries(st.sampled_from(NAMES), WEIRD | st.integers(0, 9) | st.floats(0, 1), max_size=12),
    ),
)


@_from(lines=st.lists(LINES, max_size=12))
def journals(lines: list[bytes]) -> None:
    """A journal: folded, recorded, scraped."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "r.jsonl"
        path.write_bytes(b"\n".join(lines))
        folded = fold(path)
        assert folded.lines + folded.bad_lines <= sum(line.count(b"\n") + 1 for line in lines)
    figures = Figures()
    for line in lines:
        for raw in line.split(b"\n"):
            try:
                figures.play([decode(raw)])
            except BadLine:
                continue
    text = render(figures.read())[0].decode()
    assert not OBEYED.search(text)
    list(text_string_to_metric_families(text))


@_from(agent=st.sampled_from(sorted(agents.PARSERS)), pieces=st.lists(st.binary(max_size=80) | st.builds(
    lambda value: json.dumps(value).encode("utf-8", "replace") + b"\n",
    st.dictionaries(st.sampled_from(
        ["type", "subtype", "message", "content", "usage", "modelUsage", "model", "id", "name", "result", "item",
         "tokens", "part", "stats", "models", "tool_use_id", "session_id", "total_cost_usd", "num_turns", "info", "msg"]
    ), WEIRD | st.sampled_from(["result", "assistant", "user", "system", "turn.completed", "tool_use", "step_finish"])),
), max_size=8))  # fmt: skip
def outputs(agent: str, pieces: list[bytes]) -> None:
    """What agents print."""
    parser = agents.PARSERS[agent]()
    events = [event for piece in pieces for event in parser.feed(piece)] + parser.close()
    for event in events:
        line: Line = {"v": 1, "type": event.type, "ts": 1, "loop": "r", **vars(event)}
        assert problem_with(line) is None


HOOKS = [
    "SessionStart",
    "UserPromptSubmit",
    "PreToolUse",
    "PostToolUse",
    "Stop",
    "SubagentStop",
    "SessionEnd",
    "PreCompact",
]
SAID = ["session_id", "transcript_path", "cwd", "tool_name", "tool_input", "tool_response", "reason", "source", "model",
        "duration_ms", "prompt", "stop_hook_active", "last_assistant_message"]  # fmt: skip


@_from(
    inputs=st.lists(
        st.binary(max_size=60)
        | st.builds(
            lambda event, said: json.dumps({"session_id": "s", "cwd": "/p", "hook_event_name": event, **said}).encode(
                "utf-8", "replace"
            ),
            st.sampled_from(HOOKS) | WEIRD,
            st.dictionaries(st.sampled_from(SAID), WEIRD, max_size=4),
        ),
        max_size=5,
    ),
    traceparent=ANY_TEXT.filter(lambda text: "\0" not in text),
)
def hooks(inputs: list[bytes], traceparent: str) -> None:
    """What Claude Code tells its hooks: whatever that is, their journals are sound."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {"RALPH_OTEL_HOME": folder, "TRACEPARENT": traceparent}
        for data in inputs:
            handle(data[:LIMIT], environment)
        for path in Path(folder).glob("runs/*.jsonl"):
            for line in lines_of(path):
                assert problem_with(line) is None


VARIABLES = ("TRACEPARENT", "TRACESTATE", "BAGGAGE", "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG")


@_from(values=st.dictionaries(st.sampled_from(VARIABLES), ANY_TEXT))
def trace_contexts(values: dict[str, str]) -> None:
    """`TRACEPARENT` and its like: read, and handed on as something that others can read."""
    found = tracecontext.from_environment(values)
    tracecontext.sampled_at_root("a" * 32, values)
    for text in found.environment().values() if found is not None else ():
        assert text.isprintable()
        assert text.isascii()


FIELDS = sorted(set(MetricsConfig.__slots__) - {"sources"})


@_from(
    variables=st.dictionaries(st.sampled_from(FIELDS), ANY_TEXT.filter(lambda text: "\0" not in text), max_size=5),
    table=st.dictionaries(st.sampled_from(FIELDS) | ANY_TEXT, json_values, max_size=4),
    raw=st.binary(max_size=60) | st.none(),
    arguments=st.dictionaries(st.sampled_from(FIELDS), WEIRD, max_size=3),
)
def configurations(
    variables: dict[str, str], table: dict[str, Any], raw: bytes | None, arguments: dict[str, Any]
) -> None:
    """Variables, a file and arguments."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, value in variables.items():
            patch.setattr(os, "environ", {**os.environ, f"RALPH_OTEL_{name.upper()}": value})
        toml = "".join(f"{json.dumps(str(key))} = {json.dumps(value)}\n" for key, value in table.items())
        Path("ralph-otel.toml").write_bytes(raw if raw is not None else toml.encode("utf-8", "replace"))
        config = MetricsConfig(**arguments)
        assert json.dumps(config.to_dict())


def run(name: str, examples: int) -> None:
    """Try a property with so many examples."""
    fuzz, strategies = FUZZED[name]
    slow = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    wanted = settings(max_examples=examples, deadline=None, database=None, suppress_health_check=slow)
    wanted(given(**strategies)(fuzz))()


@pytest.mark.parametrize("name", FUZZED)
def test_whatever_is_read_raises_nothing(name: str) -> None:
    run(name, 40)


@pytest.mark.faults
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", FUZZED)
def test_whatever_is_read_raises_nothing_however_often(name: str) -> None:
    run(name, int(os.environ.get("FAULTS_EXAMPLES", "1000")))
