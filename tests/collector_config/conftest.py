"""Real programs for the tests of this folder; each ends with its test."""

from __future__ import annotations

import contextlib
import itertools
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from real_programs import Collector, Prometheus
from stack.backends import Jaeger
from stack.processes import Process

Start = Callable[[Process], None]


@pytest.fixture(autouse=True)
def _skipped_without_programs(request: pytest.FixtureRequest) -> None:
    """Where they cannot be had, what runs them is skipped with the line that says why."""
    if request.node.get_closest_marker("e2e"):
        request.getfixturevalue("programs")


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a program; it ends with the test."""
    with contextlib.ExitStack() as stack:

        def started(process: Process) -> None:
            stack.enter_context(process)

        yield started


@pytest.fixture
def jaeger(tmp_path: Path, start: Start) -> Jaeger:
    """Jaeger, running."""
    made = Jaeger(tmp_path / "jaeger")
    start(made)
    return made


@pytest.fixture
def prometheus(tmp_path: Path, start: Start) -> Callable[..., Prometheus]:
    """Start Prometheus, which scrapes collectors and finds loops."""

    def started(*collectors: Collector, loops: Path | None = None) -> Prometheus:
        made = Prometheus(tmp_path / "prometheus", collectors, loops)
        start(made)
        return made

    return started


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that signs itself, and its key, made as the README of the folder says."""
    folder = tmp_path_factory.mktemp("tls")
    command = [
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
        "-keyout", "tls.key", "-out", "tls.crt", "-subj", "/CN=gateway",
        "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost",
    ]  # fmt: skip
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder / "tls.crt", folder / "tls.key"


@pytest.fixture
def gateway(tmp_path: Path, certificate: tuple[Path, Path], jaeger: Jaeger) -> Callable[..., Collector]:
    """Make a gateway, not started; more environment and overlays may be given."""

    def made(*overlays: str, **environment: str) -> Collector:
        given = {
            "GATEWAY_TOKEN": "the-right-token",
            "GATEWAY_CERT_FILE": str(certificate[0]),
            "GATEWAY_KEY_FILE": str(certificate[1]),
            "JAEGER_ENDPOINT": jaeger.otlp_grpc,
            "KEEP_PERCENT": "0",
            **environment,
        }
        return Collector(("gateway.yaml", *overlays), tmp_path / "gateway", given)

    return made


@pytest.fixture
def agent(tmp_path: Path, certificate: tuple[Path, Path], home: Path) -> Callable[..., Collector]:
    """Make an agent of a gateway, not started; more environment and overlays may be given."""
    names = (f"agent-{number}" for number in itertools.count())

    def made(gateway: Collector, *overlays: str, **environment: str) -> Collector:
        given = {
            "GATEWAY_ENDPOINT": gateway.otlp_grpc.removeprefix("http://"),
            "GATEWAY_TOKEN": "the-right-token",
            "GATEWAY_CA_FILE": str(certificate[0]),
            "TARGETS": f"{home}/targets/*.json",
            **environment,
        }
        return Collector(("agent.yaml", *overlays), tmp_path / next(names), given)

    return made
