"""Names that would take over a terminal, a label or a page, by every way out of a journal."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from terminal import OBEYED, call

from ralph_otel import MetricsCollector
from ralph_otel.escapes import all_spelled_out, spelled_out
from support.receiver import HttpReceiver
from support.tape import T0

EVIL = (
    "\x1b[31mE\x1b]0;owned\x07\r\b\x7f\x9b1m\u202e\u2028</script><img src=x onerror=alert(1)>"
    "`|[x](javascript:1)\ud800\x00\n# x"
)
RUN = "20260101T000000Z-ev1100"


def evil_lines() -> list[dict[str, object]]:
    """A run in which everything that can have a name has an evil one."""
    span = {"trace_id": "a" * 32, "span_id": "b" * 16}
    return [
        {"type": "loop.started", "name": EVIL, "runner": EVIL, "runner_version": EVIL, "attributes": {EVIL: EVIL},
         "host": EVIL, **span},
        {"type": "session.started", "session": EVIL},
        {"type": "iteration.started", "iteration": 1, "trace_id": "a" * 32, "span_id": "c" * 16},
        {"type": "agent.started", "agent": EVIL, "model": EVIL, "trace_id": "a" * 32, "span_id": "d" * 16},
        {"type": "usage.measured", "model": EVIL, "input_tokens": 3, "cost_usd": 0.1},
        {"type": "tool.called", "tool": EVIL, "outcome": "success", "trace_id": "a" * 32, "span_id": "e" * 16},
        {"type": "error.raised", "error_type": EVIL},
        {"type": "tests.finished", "passed": 1, "failed": 1, "results": {EVIL: False, EVIL + "2": True}},
        {"type": "counter.added", "name": EVIL, "value": 1, "labels": {EVIL: EVIL}},
        {"type": "gauge.set", "name": "own", "value": 1, "labels": {"a": EVIL}},
        {"type": EVIL, "field": EVIL},
        {"type": "stop_condition.triggered", "condition": EVIL},
        {"type": "agent.finished", "agent": EVIL, "exit_code": 1, "conversation": EVIL, "duration": 1,
         "trace_id": "a" * 32, "span_id": "d" * 16},
        {"type": "iteration.finished", "iteration": 1, "outcome": "failure", "duration": 1, "error_type": EVIL,
         "trace_id": "a" * 32, "span_id": "c" * 16},
    ]  # fmt: skip


def evil_journal(home: Path) -> Path:
    path = home / "runs" / f"{RUN}.jsonl"
    path.parent.mkdir(parents=True, mode=0o700)
    lines = [{"v": 1, "ts": T0 + n, "loop": RUN, **line} for n, line in enumerate(evil_lines())]
    text = "\n".join(json.dumps(line) for line in lines) + f'\n{{"v":1,"type":"{EVIL[:6]}\n'
    path.write_text(text, encoding="utf-8")
    return path


COMMANDS = [
    "runs", "runs --json", "report latest", "report latest --format html", "report latest --format json",
    "top --once", "stream latest", "stream latest --events", "doctor",
    *(f"export latest --format {format_}" for format_ in ("prometheus", "json", "statsd", "console")),
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_prints_what_a_terminal_would_obey(
    command: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evil_journal(home)
    assert call(*command.split()) == 0
    printed = "".join(capsys.readouterr())
    assert "owned" in printed or command in ("doctor", "export latest --format json")
    assert OBEYED.findall(printed) == []
    assert "Traceback" not in printed


def test_no_name_becomes_part_of_a_page(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evil_journal(home)
    for format_ in ("html", "markdown"):
        assert call("report", "latest", "--format", format_) == 0
        printed = capsys.readouterr().out
        assert "owned" in printed
        assert not re.search(r"<img|</script><", printed)
        assert format_ == "html" or not re.search(r"(?<!\\)\[x\]\(javascript", printed)


def test_the_exposition_can_be_read_and_has_the_names_spelled_out(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evil_journal(home)
    assert call("export", "latest", "--format", "prometheus") == 0
    families = list(text_string_to_metric_families(capsys.readouterr().out))
    names = {sample.labels.get("ralph_loop_name") for family in families for sample in family.samples} - {None}
    assert names == {spelled_out(EVIL)}


def test_no_signal_carries_them(make_collector: Callable[..., MetricsCollector], home: Path) -> None:
    """Loops that are recorded as they run, by OTLP: metrics, spans and log records."""
    with HttpReceiver() as receiver:
        collector = make_collector(export_format="otlp", export_target=receiver.url)
        with collector.loop(EVIL, runner=EVIL, attributes={EVIL: EVIL}) as loop, loop.iteration() as iteration:
            with iteration.agent(EVIL, model=EVIL) as agent:
                agent.tool(EVIL)
            iteration.usage(model=EVIL, input_tokens=1)
            iteration.error(EVIL)
            collector.increment("own", 1, {"a": EVIL, EVIL: "b"})
            collector.set_gauge(EVIL, 1)
        collector.shutdown(10)
        sent = [list(texts(MessageToDict(request.message))) for request in receiver.requests]
    assert {request.signal for request in receiver.requests} == {"metrics", "traces", "logs"}
    assert all(any("owned" in text for text in message) for message in sent)
    assert [text for message in sent for text in message if OBEYED.search(text)] == []


def texts(value: object) -> Iterator[str]:
    """Every text in a decoded message, keys included."""
    if isinstance(value, str):
        yield value
    for item in value if isinstance(value, list) else [*value, *value.values()] if isinstance(value, dict) else ():
        yield from texts(item)


@given(st.text(st.characters(exclude_categories=())))
def test_what_is_spelled_out_has_nothing_to_obey_and_plain_text_is_as_it_was(text: str) -> None:
    spelled = spelled_out(text)
    assert not OBEYED.search(spelled.replace("\t", "\x00").replace("\n", "\x00"))
    assert spelled_out(spelled) == spelled
    spelled.encode()
    if not OBEYED.search(text.replace("\t", "\x00").replace("\n", "\x00")):
        assert spelled == text


def test_a_line_that_repeats_itself_in_depth_is_spelled_out_throughout() -> None:
    assert all_spelled_out({"\x1b": ["\x07", {"a": "\x00"}, 1, None]}) == {"\\x1b": ["\\x07", {"a": "\\x00"}, 1, None]}
