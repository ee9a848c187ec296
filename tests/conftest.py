"""Every test has a machine of its own: no variables from outside, a home folder that goes away, nothing said yet."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

from ralph_otel import notices
from support.hosts import FOREIGN

if TYPE_CHECKING:
    from ralph_otel import MetricsCollector
    from support.receiver import Received

settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ci" if os.environ.get("CI") else "here")

for _number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
    if signal.getsignal(_number) is signal.SIG_IGN:  # as in what nohup or a script's & starts, and all below it
        signal.signal(_number, signal.default_int_handler if _number is signal.SIGINT else signal.SIG_DFL)

_INTEGRATION = ("shims", "hooks", "test_watch_command.py", "test_top_terminal.py")
"""Folders and files whose tests run real shells, terminals and signals."""
_E2E = "e2e"
"""The folder whose tests run the programs of `stack/`, and the marker of all tests that do."""
_FAULTS = "faults"
"""The folder whose tests do harm, and their marker."""
_SECONDS = 120


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of real shells, terminals and signals belong to `make integration`; of the stack's programs, to `make e2e`;
    those that do harm, to `make faults`.

    The time to build those programs is no test's.
    """
    for item in items:
        parts = item.path.relative_to(Path(__file__).parent).parts
        if any(part in parts for part in _INTEGRATION):
            item.add_marker(pytest.mark.integration)
        if _E2E in parts:
            item.add_marker(pytest.mark.e2e)
        if _FAULTS in parts:
            item.add_marker(pytest.mark.faults)
        if item.get_closest_marker(_E2E):
            item.add_marker(pytest.mark.timeout(_SECONDS, func_only=True))


@pytest.fixture(scope="session")
def programs() -> dict[str, Path]:
    """The programs of the stack, by their names; the first time they are built, which takes minutes.

    Where they cannot be had, the test is skipped with the line that says why.
    """
    from stack.errors import CannotBuild
    from stack.programs import PROGRAMS, find

    try:
        return {name: find(name) for name in PROGRAMS}
    except CannotBuild as error:
        pytest.skip(str(error))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of `RALPH_OTEL_HOME`, in the test's temporary folder. A registered collector ends with the test."""
    for name in list(os.environ):
        if name.startswith(FOREIGN):
            monkeypatch.delenv(name)
    folder = tmp_path / "ralph-otel"
    monkeypatch.setenv("RALPH_OTEL_HOME", str(folder))
    monkeypatch.setattr(notices, "_said", set())
    yield folder
    _end_registered()


def _end_registered() -> None:
    module = sys.modules.get("ralph_otel.registration")
    registered = getattr(module, "_registered", None)
    if registered is not None:
        registered.shutdown()
        module.__dict__["_registered"] = None


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What ralph-otel has said to a person in this test, one line each; not what a thread of an earlier one says."""
    lines: list[str] = []
    earlier = set(threading.enumerate()) - {threading.current_thread()}

    def hear(text: str, *arguments: object) -> None:
        if threading.current_thread() not in earlier:
            lines.append(text % arguments)

    monkeypatch.setattr(notices.logger, "warning", hear)
    return lines


@pytest.fixture
def receiver() -> Iterator[Received]:
    """A receiver of OTLP by HTTP: set OTEL_EXPORTER_OTLP_ENDPOINT to its `url`."""
    from support.receiver import HttpReceiver

    with HttpReceiver() as received:
        yield received


@pytest.fixture
def grpc_receiver() -> Iterator[Received]:
    """A receiver of OTLP by gRPC."""
    from support.receiver import GrpcReceiver

    with GrpcReceiver() as received:
        yield received


@pytest.fixture
def make_collector() -> Iterator[Callable[..., MetricsCollector]]:
    """Make a collector, without exporters unless told otherwise; all end with the test."""
    from ralph_otel import MetricsCollector, MetricsConfig

    made: list[MetricsCollector] = []

    def make_one(**fields: Any) -> MetricsCollector:
        defaults = {"export_format": "none", "resources": False, "collection_interval": 60}
        made.append(MetricsCollector(MetricsConfig(**{**defaults, **fields})))
        return made[-1]

    yield make_one
    for collector in made:
        collector.shutdown(5)
