"""What takes the place of a runner's functions: nobody notices, whatever the observer does."""

from __future__ import annotations

import asyncio
import inspect
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from ralph_otel import runners
from ralph_otel.probe import Loop
from ralph_otel.runners.attachment import Attachment, Call
from ralph_otel.runners.patches import Patches
from ralph_otel.runners.processes import agents_by_subprocess

SOURCE = '''
import asyncio, subprocess

def add(first, second=2, *, fail=None):
    """Adds."""
    if fail is not None:
        raise fail
    return first + second

async def add_later(first, second=2, *, fail=None):
    """Adds later."""
    await asyncio.sleep(0)
    return add(first, second, fail=fail)

class Adder:
    def add(self, first):
        return first + 1

add_by_itself = add
'''


class Seen:
    """An attachment to a module `a_runner`, with what it reports and what an observer was told."""

    def __init__(self) -> None:
        self.reports: list[str] = []
        self.told: list[tuple[dict[str, Any], Any, str]] = []
        self.patches = Patches()
        self.attachment = Attachment("a-runner", "1.0", self._start, self.reports.append, self.patches)

    @staticmethod
    def _start(name: str, **arguments: Any) -> Loop:
        raise OSError

    def observe(self, call: Call) -> Iterator[None]:
        arguments = dict(call.arguments)
        yield
        self.told.append((arguments, call.result, type(call.error).__name__))

    @staticmethod
    def fail_before(call: Call) -> Iterator[None]:
        if call.arguments:
            raise ValueError("before")
        yield

    @staticmethod
    def fail_after(call: Call) -> Iterator[None]:
        yield
        raise ValueError("after")


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Any:
    made = ModuleType("a_runner")
    exec(compile(SOURCE, "a_runner.py", "exec"), vars(made))
    monkeypatch.setitem(sys.modules, "a_runner", made)
    return made


@pytest.fixture
def seen() -> Iterator[Seen]:
    made = Seen()
    yield made
    made.patches.undo()


def call_of(module: Any, name: str, *args: Any, **kwargs: Any) -> Any:
    result = getattr(module, name)(*args, **kwargs)

    async def wait() -> Any:
        return await result

    return asyncio.run(wait()) if inspect.isawaitable(result) else result


@pytest.mark.parametrize("name", ["add", "add_later"])
def test_arguments_and_result_pass_and_are_told(module: Any, seen: Seen, name: str) -> None:
    original = getattr(module, name)
    assert seen.attachment.look_on("sums", "a_runner", name, {"first", "second"}, seen.observe)
    watched = getattr(module, name)

    assert call_of(module, name, 1) == 3
    assert call_of(module, name, second=5, first=1) == 6
    assert [told[:2] for told in seen.told] == [
        ({"first": 1, "second": 2, "fail": None}, 3),
        ({"first": 1, "second": 5, "fail": None}, 6),
    ]
    assert inspect.signature(watched) == inspect.signature(original)
    assert (watched.__name__, watched.__doc__) == (original.__name__, original.__doc__)
    assert inspect.iscoroutinefunction(watched) == inspect.iscoroutinefunction(original)


@pytest.mark.parametrize("name", ["add", "add_later"])
@pytest.mark.parametrize("error", [ValueError("wrong"), SystemExit(3), KeyboardInterrupt()])
def test_an_exception_passes_as_it_is_and_is_told(module: Any, seen: Seen, name: str, error: BaseException) -> None:
    def frames() -> list[str]:
        with pytest.raises(type(error)) as caught:
            call_of(module, name, 1, fail=error.with_traceback(None))
        assert caught.value is error
        return [frame.name for frame in traceback.extract_tb(error.__traceback__)]

    expected = frames()
    seen.attachment.look_on("sums", "a_runner", name, set(), seen.observe)
    found = frames()

    assert seen.told[-1][1:] == (None, type(error).__name__)
    assert found == expected
    assert expected


@pytest.mark.parametrize("name", ["add", "add_later"])
def test_a_call_that_does_not_fit_fails_as_without(module: Any, seen: Seen, name: str) -> None:
    with pytest.raises(TypeError) as expected:
        call_of(module, name)
    seen.attachment.look_on("sums", "a_runner", name, set(), seen.observe)
    with pytest.raises(TypeError) as found:
        call_of(module, name)
    assert str(found.value) == str(expected.value)


@pytest.mark.parametrize("observer", [Seen.fail_before, Seen.fail_after])
@pytest.mark.parametrize("name", ["add", "add_later"])
def test_an_observer_that_fails_costs_the_runner_nothing(
    module: Any, seen: Seen, name: str, observer: Callable[[Call], Iterator[None]]
) -> None:
    seen.attachment.look_on("sums", "a_runner", name, set(), observer)

    assert call_of(module, name, 1) == 3
    with pytest.raises(ZeroDivisionError):
        call_of(module, name, 1, fail=ZeroDivisionError())
    assert [line.partition(";")[0] for line in seen.reports] == [
        "a-runner 1.0: not seen: sums (ValueError in the adapter)"
    ] * 2


def test_whoever_imported_the_function_by_name_is_seen_until_it_is_detached(
    module: Any, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, original = ModuleType("a_host"), module.add
    host.add = original  # type: ignore[attr-defined]  # as `from a_runner import add` does
    monkeypatch.setitem(sys.modules, "a_host", host)
    seen.attachment.look_on("sums", "a_runner", "add", set(), seen.observe)
    assert host.add is module.add is not original
    assert not seen.attachment.look_on("sums", "a_runner", "add", set(), seen.observe)  # it is looked on already
    assert seen.reports == []

    seen.patches.undo()
    assert host.add is module.add is original


def test_a_method_is_looked_on_in_its_class(module: Any, seen: Seen) -> None:
    original = module.Adder.add
    assert seen.attachment.look_on("sums", "a_runner:Adder", "add", {"first"}, seen.observe)
    adder = module.Adder()
    assert adder.add(1) == 2
    assert seen.told == [({"self": adder, "first": 1}, 2, "NoneType")]
    seen.patches.undo()
    assert module.Adder.add is original


@pytest.mark.parametrize(
    ("owner", "name", "needs"),
    [
        ("a_runner", "gone", set[str]()),
        ("a_runner", "add", {"third"}),
        ("a_runner:Gone", "add", set[str]()),
        ("gone", "add", set[str]()),
    ],
)
def test_what_is_not_there_is_said(module: Any, seen: Seen, owner: str, name: str, needs: set[str]) -> None:
    assert not seen.attachment.look_on("sums", owner, name, needs, seen.observe)
    [line] = seen.reports
    assert "not seen: sums" in line
    assert f"{owner}.{name}" in line


def test_a_stand_in_is_the_module_but_for_what_starts_agents(module: Any, seen: Seen) -> None:
    agents_by_subprocess(seen.attachment, "a_runner")

    assert module.subprocess.PIPE is subprocess.PIPE
    assert module.subprocess.TimeoutExpired is subprocess.TimeoutExpired
    done = module.subprocess.run([sys.executable, "-c", "print(1)"], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"
    with module.subprocess.Popen([sys.executable, "-c", "exit(3)"]) as process:
        assert isinstance(process, subprocess.Popen)
    assert process.returncode == 3
    with pytest.raises(FileNotFoundError) as caught:
        module.subprocess.Popen(["/no/such/agent"])
    assert not any("ralph_otel" in frame.filename for frame in traceback.extract_tb(caught.value.__traceback__))
    seen.patches.undo()
    assert module.subprocess is subprocess


def test_a_module_that_starts_agents_otherwise_is_said(module: Any, seen: Seen) -> None:
    del module.subprocess
    agents_by_subprocess(seen.attachment, "a_runner")
    assert ["not seen: agents" in line for line in seen.reports] == [True]


@pytest.mark.parametrize("runner", runners.RUNNERS, ids=lambda runner: runner.distribution)
def test_an_adapter_of_a_runner_that_has_changed_says_so_and_raises_nothing(
    runner: runners.Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    reports: list[str] = []
    monkeypatch.setitem(sys.modules, runner.module, ModuleType(runner.module))
    runners.attach(runner, "9.0", Seen._start, reports.append)

    [line] = reports
    assert line.startswith(f"{runner.distribution} 9.0: not seen: ")
    assert line.endswith(f"ralph-otel is tested with {runner.distribution} {runner.tested[0]}")
