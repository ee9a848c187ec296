"""How the embedded runner finds its telemetry."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import pytest
from scripted_loops import Recording, Workshop

from ralph_otel.collector import MetricsCollector
from ralph_otel.events import Line
from ralph_otel.loop import plugins
from ralph_otel.loop.plugins import Silent, load_collector
from ralph_otel.loop.runner import run_loop
from ralph_otel.probe import Loop

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install plugins: the body of a module each, with a `plugin` in it."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(**modules: str) -> None:
        for name, body in modules.items():
            (tmp_path / f"{name}.py").write_text(body)
        found = [EntryPoint(name, f"{name}:plugin", plugins.GROUP) for name in modules]
        monkeypatch.setattr(plugins, "entry_points", lambda group: found if group == plugins.GROUP else [])

    return install


def test_ours_is_found_by_its_entry_point() -> None:
    assert [entry.value for entry in entry_points(group=plugins.GROUP)] == ["ralph_otel.registration:plugin"]
    said: list[str] = []
    assert isinstance(load_collector(said.append), MetricsCollector)
    assert said == []


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("import no_such_module", "ModuleNotFoundError: \"No module named 'no_such_module'\""),
        ("pass", "AttributeError"),
        ("def plugin(config=None): raise ValueError('bad\\x1b[31m')", "ValueError: 'bad\\x1b[31m'"),
        ("def plugin(config=None): return 3", "TypeError: 'it made a int, which has no loop()'"),
        ("raise SystemExit(3)", "SystemExit: '3'"),
        ("def plugin(config=None) return 3", "SyntaxError"),
    ],
)
def test_a_plugin_that_fails_costs_a_line_and_the_loop_runs(
    workshop: Workshop, install: Install, capfd: pytest.CaptureFixture[str], body: str, says: str
) -> None:
    from ralph_otel.loop.options import LoopOptions

    name = f"plugin_{abs(hash(body))}"
    install(**{name: body})
    agent = workshop.script("echo $TRACEPARENT > traceparent")
    result = run_loop(LoopOptions(command=[agent], max_iterations=1))
    said = capfd.readouterr().err
    assert f"ralph-otel: plugin '{name}' fails to load: {says}" in said
    assert said.count("no telemetry") == 1
    assert "\x1b" not in said
    assert (result.reason, result.exit_code) == ("max_iterations", 0)
    assert len(workshop.read("traceparent")) == 56, "the agent has a trace context all the same"


def test_without_a_plugin_there_is_a_line(install: Install) -> None:
    install()
    said: list[str] = []
    assert isinstance(load_collector(said.append), Silent)
    assert len(said) == 1
    assert said[0].startswith("no telemetry: ")


RECORDING = """
from scripted_loops import Recording
collector = Recording()
def plugin(config=None): return collector
"""


def test_every_plugin_is_told_everything(workshop: Workshop, install: Install) -> None:
    install(plugin_a=RECORDING, plugin_b=RECORDING, plugin_c="pass")
    collector = load_collector(lambda line: None)
    agent = workshop.script("echo $TRACEPARENT > traceparent; exit 3")
    from ralph_otel.loop.options import LoopOptions

    result = run_loop(LoopOptions(command=[agent], max_iterations=2, test="false"), collector)
    assert result.reason == "max_iterations"
    import plugin_a  # type: ignore[import-not-found]  # made by this test
    import plugin_b  # type: ignore[import-not-found]  # made by this test

    told: list[list[Line]] = [plugin_a.collector.lines, plugin_b.collector.lines]
    assert told[0][0]["loop"] == result.run_id
    assert [bare(line) for line in told[0]] == [bare(line) for line in told[1]]
    assert told[0][-1]["type"] == "loop.stopped"
    started = [line for line in told[0] if line["type"] == "agent.started"][-1]
    assert workshop.read("traceparent") == f"00-{started['trace_id']}-{started['span_id']}-01\n"


def bare(line: Line) -> dict[str, Any]:
    """A line without what two recordings of the same event differ in."""
    ids = ("ts", "loop", "trace_id", "span_id", "parent_span_id", "session", "duration")
    return {name: value for name, value in line.items() if name not in ids}


class Breaking(Recording):
    """A collector of somebody else, whose handles raise."""

    def loop(self, name: str, **options: Any) -> Loop:
        def broken(line: Line) -> None:
            super(Breaking, self)._take(line)
            raise RuntimeError("broken")

        return Loop(name, broken, **options)


def test_another_plugin_that_breaks_does_not_stop_the_loop(workshop: Workshop, heard: list[str]) -> None:
    first, second = Recording(), Breaking()
    collector: Any = plugins.Together([first, second])
    from ralph_otel.loop.options import LoopOptions

    result = run_loop(LoopOptions(command=[workshop.script("exit 3")], max_iterations=2), collector)
    assert (result.reason, result.iterations) == ("max_iterations", 2)
    assert [line["type"] for line in first.lines].count("iteration.finished") == 2
    assert second.lines
    assert heard == ["ralph-otel: a plugin of ralph_loop.plugins fails: RuntimeError: 'broken'; the loop goes on"]
